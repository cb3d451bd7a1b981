//! What somebody changed in a zoo is noticed: every field of a manifest, every file, index, log and attestation, each
//! also where hashes were adjusted to fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use infer::{Check, FIELDS, Options, Proof, Report};
use serde_json::Value;
use tests::{copy_dir, root, run};
use zoo::{Manifest, Spec, Zoo};

const MODEL: &str = "mnist-robust";

/// A zoo with one version, and that version's folder.
fn zoo_copy(dir: &Path, model: &str) -> (Zoo, PathBuf) {
    let version = dir.join("zoo/models").join(model).join("1");
    copy_dir(&root().join("zoo/models").join(model).join("1"), &version).unwrap();
    let zoo = Zoo::open(&dir.join("zoo")).unwrap();
    zoo.write_index().unwrap();
    (zoo, version)
}

/// Checks a version; without datasets nothing is measured, which takes a second or two.
fn verify(zoo: &Zoo, model: &str, datasets: &Path) -> Report {
    let options = Options { datasets, key: None, policy: None, corruptions: false };
    infer::verify(zoo, &Spec::version(model, 1), &options).unwrap()
}

fn failed(report: &Report) -> Vec<Check> {
    report.findings.iter().filter(|finding| !finding.ok).map(|finding| finding.check).collect()
}

/// Paths of all values that hold no others, `*` for keys that differ from manifest to manifest.
fn leaves(value: &Value, path: &str, pointer: &str, out: &mut Vec<(String, String)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_open = ["files", "dataset.files", "corruptions"].contains(&path);
                let name = if is_open { "*" } else { key };
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(value, &below(name), &format!("{pointer}/{key}"), out);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                leaves(value, &below("*"), &format!("{pointer}/{index}"), out);
            }
        }
        Value::Null => {}
        _ => out.push((path.to_owned(), pointer.to_owned())),
    }
}

/// The entry of [`FIELDS`] for a path; a last `*` stands for whatever follows.
fn proof(path: &str) -> Option<Proof> {
    let fits = |pattern: &str| {
        path == pattern
            || pattern.strip_suffix(".*").is_some_and(|start| {
                path.strip_prefix(start).is_some_and(|rest| rest.starts_with('.'))
                    && !FIELDS.iter().any(|(other, ..)| *other != pattern && *other == path)
            })
    };
    FIELDS.iter().find(|(pattern, ..)| fits(pattern)).map(|(_, proof, _)| *proof)
}

/// Another value of the same form.
fn changed(field: &str, value: &Value) -> Value {
    // An image whose probability is at the threshold may count or not.
    let few = if field.starts_with("confidence.coverage") { 20 } else { 1 };
    match value {
        Value::Bool(value) => Value::Bool(!value),
        Value::Number(number) => match number.as_u64() {
            Some(number) => (number + 1).into(),
            None => (number.as_f64().unwrap() * 0.97 + 0.001).into(),
        },
        Value::String(text) => match text.parse::<zoo::Count>() {
            Ok(count) if count.correct == 0 => format!("0/{}", count.total + 1).into(),
            Ok(count) => format!("{}/{}", count.correct.saturating_sub(few), count.total).into(),
            Err(_) if text.len() == 64 => {
                let first = if text.starts_with('0') { "1" } else { "0" };
                format!("{first}{}", &text[1..]).into()
            }
            Err(_) => format!("{text}x").into(),
        },
        other => panic!("not a leaf: {other}"),
    }
}

/// Each field is as well held as is said of it, although whoever changed it wrote a new index.
#[test]
fn every_field_of_a_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, version) = zoo_copy(dir.path(), MODEL);
    let (datasets, nowhere) = (root().join("datasets"), dir.path().join("nowhere"));
    let path = version.join(zoo::MANIFEST);
    let original = std::fs::read_to_string(&path).unwrap();
    let manifest =
        serde_json::to_value(datasets::yaml::parse::<Manifest>(&original, &path).unwrap()).unwrap();
    let mut found = Vec::new();
    leaves(&manifest, "", "", &mut found);
    assert!(found.len() > 200, "{}", found.len());

    let unmeasured = failed(&verify(&zoo, MODEL, &nowhere));
    assert_eq!(unmeasured, [Check::Dataset]);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut noticed, mut passed) = (0, Vec::new());
    for (field, pointer) in &found {
        // Of long lists, the first entries.
        let count = seen.entry(field.clone()).or_default();
        *count += 1;
        if *count > 2 {
            continue;
        }
        let mut altered = manifest.clone();
        let place = altered.pointer_mut(pointer).unwrap();
        *place = changed(field, place);
        let text = datasets::yaml::to_string(&altered).unwrap();
        std::fs::write(&path, text).unwrap();
        zoo.write_index().unwrap();
        let is_measured =
            ["labels", "test", "dataset", "confidence"].iter().any(|start| field.starts_with(start));
        let (report, expected) = if is_measured {
            (verify(&zoo, MODEL, &datasets), Vec::new())
        } else {
            (verify(&zoo, MODEL, &nowhere), unmeasured.clone())
        };
        let proof = proof(field).unwrap_or_else(|| panic!("{field} is not in FIELDS"));
        if failed(&report) == expected {
            passed.push(field.clone());
            assert_eq!(proof, Proof::Covered, "{field} was changed unseen");
        } else {
            noticed += 1;
        }
    }
    passed.dedup();
    assert!(noticed > 55 && passed.len() < 30, "{noticed} noticed; not: {passed:?}");
    // Without a new index, any change is noticed.
    std::fs::write(&path, &original).unwrap();
    zoo.write_index().unwrap();
    std::fs::write(&path, original.replace("in_force: true", "in_force: false")).unwrap();
    assert!(failed(&verify(&zoo, MODEL, &nowhere)).contains(&Check::Index));
}

/// Rewrites the manifest so that it has the hash of every file that is there, and the index so that it has the manifest's.
fn adjust_hashes(zoo: &Zoo, version: &Path) {
    let path = version.join(zoo::MANIFEST);
    let mut manifest: Manifest = datasets::yaml::read(&path).unwrap();
    for (name, record) in &mut manifest.files {
        (record.sha256, record.bytes) = datasets::Digest::of_file(&version.join(name)).unwrap();
    }
    manifest.training.as_mut().unwrap().recipe_sha256 = manifest.files["recipe.yaml"].sha256;
    std::fs::write(&path, datasets::yaml::to_string(&manifest).unwrap()).unwrap();
    zoo.write_index().unwrap();
}

/// The findings of the project's first reviewers: all of these passed once.
#[test]
fn files_replaced_with_their_hashes_adjusted() {
    let datasets = root().join("datasets");
    let other = root().join("zoo/models/mnist-lite/2");
    let zeroed = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[header..].fill(0);
        std::fs::write(path, bytes).unwrap();
    };
    let append = |path: &Path, text: &str| {
        let old = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, old + text).unwrap();
    };
    let replace = |version: &Path, file: &str| {
        std::fs::copy(other.join(file), version.join(file)).unwrap();
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&Path), Check);
    let changes: [Change<'_>; 7] = [
        ("all weights zero", &|v| zeroed(&v.join("model.safetensors")), Check::Weights),
        ("first layer zero", &|v| zeroed(&v.join("first_layer.safetensors")), Check::Weights),
        ("the weights of another version", &|v| replace(v, "model.safetensors"), Check::Weights),
        ("the network of another version", &|v| replace(v, "model.onnx"), Check::Weights),
        ("another recipe", &|v| append(&v.join("recipe.yaml"), "# and more\n"), Check::Network),
        (
            "another seed in the recipe",
            &|v| {
                let path = v.join("recipe.yaml");
                let text = std::fs::read_to_string(&path).unwrap().replace("seed: 1\n", "seed: 2\n");
                std::fs::write(path, text).unwrap();
            },
            Check::Recipe,
        ),
        (
            "a history that says more",
            &|v| append(&v.join("history.csv"), "41,0,0,1,0,1,00\n"),
            Check::History,
        ),
    ];
    for (name, change, check) in changes {
        let dir = tempfile::tempdir().unwrap();
        let (zoo, version) = zoo_copy(dir.path(), "mnist-lite");
        assert_eq!(failed(&verify(&zoo, "mnist-lite", &datasets)), [], "before");
        change(&version);
        adjust_hashes(&zoo, &version);
        let report = verify(&zoo, "mnist-lite", &datasets);
        assert!(failed(&report).contains(&check), "{name}: {report:?}");
    }
}

/// One line of the output of `infer verify` for a zoo.
fn told(dir: &Path) -> (Option<i32>, String) {
    let datasets = root().join("datasets");
    let outcome = run("infer", dir, ["verify", "--datasets", datasets.to_str().unwrap()]);
    (outcome.code, outcome.stdout)
}

/// An index with a forged entry before that of each version.
fn twice(index: String) -> String {
    let mut index: Value = serde_json::from_str(&index).unwrap();
    for model in index["models"].as_array_mut().unwrap() {
        let versions = model["versions"].as_array_mut().unwrap();
        let mut forged = versions[0].clone();
        forged["test"] = "9999/10000".into();
        versions.insert(0, forged);
    }
    index.to_string()
}

#[test]
fn index_log_and_attestations() {
    let dir = tempfile::tempdir().unwrap();
    let (zoo, _) = zoo_copy(dir.path(), "mnist-lite");
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let pem = p256::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, p256::pkcs8::LineEnding::LF).unwrap();
    let version = zoo.version(&Spec::latest("mnist-lite")).unwrap();
    zoo.sign(&version, &zoo::signature::PrivateKey::from_pem(&pem).unwrap()).unwrap();
    zoo.set_alias(&Spec::latest("mnist-lite"), "stable").unwrap();
    zoo.set_alias(&Spec::latest("mnist-lite"), "tested").unwrap();
    assert_eq!(told(dir.path()).0, Some(0), "{}", told(dir.path()).1);
    let replace = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
    let signatures = "signatures/mnist-lite/1/";
    type Change<'a> = (String, Box<dyn Fn(String) -> String>, &'a str);
    let changes: Vec<Change<'_>> = vec![
        ("index.json".into(), Box::new(|_| String::new()), "not an index"),
        ("index.json".into(), Box::new(|_| "{}".into()), "not an index"),
        (
            "index.json".into(),
            Box::new(replace("\"parameters\": 4", "\"parameters\": 5")),
            "mnist-lite@1 differs",
        ),
        ("index.json".into(), Box::new(replace("\"stable\": 1", "\"stable\": 2")), "aliases differs"),
        // What readers of the file may take first, or besides.
        ("index.json".into(), Box::new(twice), "the manifests say no more"),
        (
            "index.json".into(),
            Box::new(replace(
                "\"models\": [",
                "\"models\": [{\"name\": \"mnist-lite\", \"latest\": 1, \"aliases\": {\"stable\": 1, \"tested\": 1}, \"versions\": []},",
            )),
            "the manifests say no more",
        ),
        (
            "index.json".into(),
            Box::new(replace("\"stable\": 1", "\"stable\": 9, \"stable\": 1")),
            "the manifests say no more",
        ),
        (
            "index.json".into(),
            Box::new(replace("\"latest\": 1", "\"latest\": 1, \"license\": \"any\"")),
            "the manifests say no more",
        ),
        ("aliases.jsonl".into(), Box::new(replace("stable", "stabler")), "line 2: previous"),
        ("aliases.jsonl".into(), Box::new(|log| log.lines().skip(1).collect()), "line 1: previous"),
        (
            "aliases.jsonl".into(),
            Box::new(|log| log.lines().next().unwrap().into()),
            "aliases_sha256 differs",
        ),
        (
            "aliases.jsonl".into(),
            Box::new(|log| log + r#"{"model":"mnist-lite","alias":"stable","version":7}"# + "\n"),
            "line 3: previous",
        ),
        ("aliases.jsonl".into(), Box::new(|_| "junk\n".into()), "line 1"),
        (format!("{signatures}provenance.sig"), Box::new(|_| "junk".into()), "not a signature bundle"),
        (format!("{signatures}test_result.sig"), Box::new(|_| "{}".into()), "not a signature bundle"),
        (format!("{signatures}notes.txt"), Box::new(|_| "hello".into()), "not a signature"),
    ];
    for (file, change, expected) in changes {
        let path = dir.path().join("zoo").join(&file);
        let original = std::fs::read_to_string(&path).ok();
        std::fs::write(&path, change(original.clone().unwrap_or_default())).unwrap();
        let (code, text) = told(dir.path());
        assert_eq!(code, Some(1), "{file}: {text}");
        assert!(text.contains(expected), "{file}: expected {expected}: {text}");
        match original {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
    }
    std::fs::remove_file(dir.path().join("zoo/index.json")).unwrap();
    let (code, text) = told(dir.path());
    assert!(code == Some(1) && text.contains("`zoo index` writes it"), "{text}");
}
