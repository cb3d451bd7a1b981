//! Changing a recipe's fields by path.

use std::path::Path;

use datasets::yaml;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::layers::chain::stem;
use crate::recipe::{Recipe, RecipeFile};

/// A copy of `recipe` with changes, checked like a file; `path` is only for errors.
///
/// # Errors
/// [`Error::Recipe`] naming the path that leads nowhere or does not take the value.
pub(crate) fn apply(recipe: &Recipe, changes: &[(&str, &Value)], path: &Path) -> Result<RecipeFile> {
    let wrong = |field: &str, found: String, expected: String| Error::Recipe {
        path: path.to_owned(),
        field: field.into(),
        found,
        expected,
    };
    let mut tree =
        serde_json::to_value(recipe).map_err(|e| wrong("recipe", e.to_string(), "a recipe".into()))?;
    for (field, value) in changes {
        set(&mut tree, field, value).map_err(|expected| wrong(field, value.to_string(), expected))?;
        // Parsed after each change, so that the error names the one that does not fit.
        serde_json::from_value::<Recipe>(tree.clone()).map_err(|e| {
            wrong(
                field,
                value.to_string(),
                format!("a value that a recipe takes there ({})", datasets::plain_message(&e.to_string())),
            )
        })?;
    }
    let recipe: Recipe =
        serde_json::from_value(tree).map_err(|e| wrong("recipe", e.to_string(), "a recipe".into()))?;
    RecipeFile::parse(yaml::to_string(&recipe)?, path)
}

/// Puts `value` at every place that `field` leads to; what was expected, if there is none.
fn set(tree: &mut Value, field: &str, value: &Value) -> std::result::Result<(), String> {
    let segments: Vec<&str> = field.split('.').collect();
    match place(tree, &segments, value)? {
        0 => Err("a path that leads to a field".into()),
        _ => Ok(()),
    }
}

fn place(node: &mut Value, segments: &[&str], value: &Value) -> std::result::Result<usize, String> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(0) };
    match node {
        Value::Object(map) => place_in_map(map, segment, rest, value),
        Value::Array(layers) => place_in_layers(layers, segment, rest, value),
        other => Err(format!("{segment:?} inside a field, but there is only {other}")),
    }
}

fn place_in_map(
    map: &mut Map<String, Value>,
    segment: &str,
    rest: &[&str],
    value: &Value,
) -> std::result::Result<usize, String> {
    // `ensemble1.member2`, as the network's table has it: the list of members need not be named.
    if let Some(members) = map.get_mut("members")
        && segment != "members"
    {
        return place(members, &[&[segment], rest].concat(), value);
    }
    if rest.is_empty() {
        // A key that the recipe does not know is found when it is parsed again.
        map.insert(segment.into(), value.clone());
        return Ok(1);
    }
    let keys: Vec<String> = map.keys().cloned().collect();
    match map.get_mut(segment) {
        Some(inner) => place(inner, rest, value),
        None => Err(format!("one of {} instead of {segment:?}", keys.join(", "))),
    }
}

/// Layers go by the names that the network's table shows: `conv1`, `relu2`; `conv*` is all of them.
fn place_in_layers(
    layers: &mut Vec<Value>,
    segment: &str,
    rest: &[&str],
    value: &Value,
) -> std::result::Result<usize, String> {
    let names = names(layers);
    let wanted = |name: &String| match segment.strip_suffix('*') {
        Some(start) => name.strip_prefix(start).is_some_and(|end| end.bytes().all(|b| b.is_ascii_digit())),
        None => name == segment,
    };
    let mut places = 0;
    for (layer, _) in layers.iter_mut().zip(&names).filter(|(_, name)| wanted(name)) {
        places += match (rest, &mut *layer) {
            ([], layer) => {
                *layer = value.clone();
                1
            }
            // The members of an ensemble are lists.
            ([first, after @ ..], Value::Array(member)) => place_in_layers(member, first, after, value)?,
            (rest, Value::Object(map)) => match map.values_mut().next() {
                Some(fields) => place(fields, rest, value)?,
                None => 0,
            },
            (_, other) => return Err(format!("a layer with fields, not {other}")),
        };
    }
    layers.retain(|layer| !layer.is_null());
    if places == 0 {
        return Err(format!("one of {} instead of {segment:?}", names.join(", ")));
    }
    Ok(places)
}

fn names(layers: &[Value]) -> Vec<String> {
    let mut stems: Vec<&str> = Vec::new();
    fn kind(layer: &Value) -> Option<&str> {
        match layer {
            Value::String(kind) => Some(kind.as_str()),
            Value::Object(map) => map.keys().next().map(String::as_str),
            Value::Array(_) => Some("member"),
            _ => None,
        }
    }
    let named = layers.iter().map(|layer| {
        let stem = stem(kind(layer).unwrap_or_default());
        stems.push(stem);
        format!("{stem}{}", stems.iter().filter(|other| **other == stem).count())
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::chain::Named;
    use serde_json::json;

    fn base() -> Recipe {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/mnist-cnn.yaml");
        RecipeFile::read(&path).unwrap().recipe
    }

    fn changed(field: &str, value: Value) -> std::result::Result<Recipe, String> {
        apply(&base(), &[(field, &value)], Path::new("study.yaml"))
            .map(|f| f.recipe)
            .map_err(|e| e.to_string())
    }

    fn kinds(recipe: &Recipe) -> Vec<&'static str> {
        recipe.network.iter().map(|layer| layer.kind()).collect()
    }

    #[test]
    fn nothing_changed_is_the_same_recipe() {
        assert_eq!(apply(&base(), &[], Path::new("x")).unwrap().recipe, base());
    }

    #[test]
    fn one_layer_all_layers_and_layers_that_go() {
        let text = |field, value| datasets::yaml::to_string(&changed(field, value).unwrap()).unwrap();
        assert_eq!(text("network.conv1.kernel_size", json!(3)).matches("kernel_size: 3").count(), 1);
        assert_eq!(text("network.conv*.kernel_size", json!(3)).matches("kernel_size: 3").count(), 2);
        assert_eq!(text("network.conv2.padding", json!("same")).matches("padding: same").count(), 1);
        let tanh = changed("network.relu*", json!("tanh")).unwrap();
        assert_eq!(kinds(&tanh).iter().filter(|kind| **kind == "tanh").count(), 3);
        let none = changed("network.max_pool2", Value::Null).unwrap();
        assert_eq!(kinds(&none).iter().filter(|kind| **kind == "max_pool").count(), 1);
        let average = json!({"avg_pool": {"kernel_size": 2, "stride": 2}});
        assert_eq!(kinds(&changed("network.max_pool*", average).unwrap())[2], "avg_pool");
    }

    #[test]
    fn members_of_an_ensemble() {
        let ensemble = json!([
            {"ensemble": {"members": [
                ["flatten", {"dense": {"features": 10}}],
                [{"conv2d": {"features": 4, "kernel_size": 3}}, "relu", "flatten", {"dense": {"features": 10}}],
                [{"conv2d": {"features": 8, "kernel_size": 3}}, "flatten", {"dense": {"features": 10}}],
            ]}},
            "softmax",
        ]);
        let text = |field: &str, value: Value| {
            apply(&base(), &[("network", &ensemble), (field, &value)], Path::new("study.yaml"))
                .map(|file| datasets::yaml::to_string(&file.recipe).unwrap())
                .map_err(|e| e.to_string())
        };
        let one = text("network.ensemble1.member2.conv1.features", json!(5)).unwrap();
        assert!(
            one.contains("features: 5") && one.contains("features: 8") && !one.contains("features: 4"),
            "{one}"
        );
        assert_eq!(one, text("network.ensemble1.members.member2.conv1.features", json!(5)).unwrap());
        let all = text("network.ensemble1.member*.conv1.kernel_size", json!(5));
        assert!(all.unwrap_err().contains("one of flatten1, dense1 instead of \"conv1\""));
        assert_eq!(
            text("network.ensemble1.member*.flatten1", json!("global_avg_pool"))
                .unwrap()
                .matches("global_avg_pool")
                .count(),
            3
        );
        let two = text("network.ensemble1.member1", Value::Null).unwrap();
        assert_eq!((two.matches("dense:").count(), two.matches("conv2d:").count()), (2, 2));
        let other =
            text("network.ensemble1.member1", json!(["flatten", {"dense": {"features": 10, "bias": false}}]));
        assert!(other.unwrap().contains("bias: false"));
        let problem = text("network.ensemble1.member4.conv1.features", json!(5)).unwrap_err();
        assert!(problem.contains("one of member1, member2, member3 instead of \"member4\""), "{problem}");
    }

    #[test]
    fn plain_fields_and_whole_parts() {
        assert_eq!(changed("batch_size", json!(32)).unwrap().batch_size, 32);
        assert_eq!(changed("augmentation.shift", json!(0)).unwrap().augmentation.shift, 0);
        let sgd = json!({"sgd": {"momentum": 0.9}});
        assert_eq!(changed("optimizer", sgd).unwrap().optimizer.constants().first().unwrap().0, "momentum");
    }

    #[test]
    fn a_path_or_value_that_cannot_be_is_refused_with_what_could() {
        for (field, value, expected) in [
            ("network.conv3.features", json!(3), "conv1, relu1, max_pool1, conv2"),
            ("network.relu1.alpha", json!(3), "a layer with fields, not \"relu\""),
            ("network.conv1.size", json!(3), "size"),
            ("optimiser", json!(3), "unknown field `optimiser`"),
            ("optimizer.sgd.momentum", json!(3), "one of adam"),
            ("epochs.number", json!(3), "inside a field"),
            ("epochs", json!("many"), "epochs"),
            ("epochs", json!(0), "1 to 100000"),
            ("", json!(3), "unknown field ``"),
        ] {
            let problem = changed(field, value).unwrap_err();
            assert!(problem.contains(expected) && problem.starts_with("study.yaml: "), "{field}: {problem}");
        }
    }
}
