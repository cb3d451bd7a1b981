//! The committed schemas are those of the types.

#[test]
fn schemas_are_up_to_date() {
    for (file, schema) in [
        ("manifest.schema.json", trainer::schema::manifest()),
        ("recipe.schema.json", trainer::schema::recipe()),
        ("study.schema.json", trainer::schema::study()),
    ] {
        let committed = std::fs::read_to_string(format!("../schemas/{file}")).unwrap_or_default();
        let expected = format!("{schema:#}\n");
        assert!(
            committed == expected,
            "schemas/{file} is old: `trainer schema` prints the new one:\n{expected}"
        );
    }
}
