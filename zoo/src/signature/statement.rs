//! The in-toto statements that are signed.

use std::collections::BTreeMap;

use datasets::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::report::{Report as RetrainingReport, Reproduction};
use crate::{MANIFEST, Origin, VersionDir};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const MODEL_SIGNATURE: &str = "https://model_signing/signature/v1.0";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// Digests of all files of a version, the manifest too, by path: as the manifest that was read names them.
pub(super) fn digests(version: &VersionDir) -> BTreeMap<String, Digest> {
    let files = version.manifest.files.iter().map(|(name, record)| (name.clone(), record.sha256));
    files.chain([(MANIFEST.to_owned(), version.manifest_sha256)]).collect()
}

/// sha256 over the raw digests in order: one name for all files together.
fn root_digest<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let bytes: Vec<u8> = digests.into_iter().flat_map(|digest| *digest.as_bytes()).collect();
    Digest::of(&bytes)
}

fn statement(version: &VersionDir, files: &BTreeMap<String, Digest>, kind: &str, predicate: Value) -> Value {
    let name = format!("{}-{}", version.manifest.name, version.manifest.version);
    json!({
        "_type": STATEMENT,
        "subject": [{ "name": name, "digest": { "sha256": root_digest(files.values()) } }],
        "predicateType": kind,
        "predicate": predicate,
    })
}

/// The OpenSSF model signature over all files.
pub(super) fn model_signature(version: &VersionDir, files: &BTreeMap<String, Digest>) -> Value {
    let resources: Vec<Value> = files
        .iter()
        .map(|(name, digest)| json!({ "name": name, "algorithm": "sha256", "digest": digest }))
        .collect();
    let serialization = json!({ "method": "files", "hash_type": "sha256", "allow_symlinks": false });
    let predicate = json!({ "serialization": serialization, "resources": resources });
    statement(version, files, MODEL_SIGNATURE, predicate)
}

/// SLSA provenance v1: what went in (recipe, data, or a file from elsewhere) and what worked on it (tools).
pub(super) fn provenance(version: &VersionDir, files: &BTreeMap<String, Digest>) -> Value {
    let manifest = &version.manifest;
    let mut dependencies = data_files(version);
    let (program, kind, external, internal) = match (&manifest.training, &manifest.origin) {
        (Some(training), _) => {
            let profile = &training.numeric_profile;
            (
                "trainer",
                "publish",
                json!({ "recipe": recipe(version), "seed": training.seed, "epochs": training.epochs }),
                json!({ "threads": profile.threads, "isa": profile.isa, "cpu": training.cpu }),
            )
        }
        (None, Some(Origin::Weights(weights))) => {
            dependencies.push(foreign(&weights.file, weights.sha256));
            ("trainer", "publish-weights", json!({ "recipe": recipe(version) }), json!({}))
        }
        (None, Some(Origin::Adopted(adopted))) => {
            dependencies.push(foreign(&adopted.file, adopted.sha256));
            ("zoo", "adopt", json!({ "changes": adopted.changes }), json!({}))
        }
        (None, None) => unreachable!("a manifest has training or origin, which is checked on reading"),
    };
    let parameters = manifest.parameters_sha256().into_iter();
    let parameters = parameters.map(|sha256| json!({ "name": "parameters", "digest": { "sha256": sha256 } }));
    let predicate = json!({
        "buildDefinition": {
            "buildType": format!("urn:model-zoo:{program}:{kind}:v1"),
            "externalParameters": external,
            "internalParameters": internal,
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": { "id": format!("urn:model-zoo:{program}"), "version": manifest.tools },
            "byproducts": parameters.collect::<Vec<_>>(),
        },
    });
    statement(version, files, PROVENANCE, predicate)
}

/// The recipe as an in-toto resource descriptor; `null` without one.
fn recipe(version: &VersionDir) -> Value {
    let sha256 = version.manifest.recipe_sha256();
    sha256.map_or(Value::Null, |sha256| json!({ "name": "recipe.yaml", "digest": { "sha256": sha256 } }))
}

fn foreign(file: &str, sha256: Digest) -> Value {
    json!({ "name": file, "digest": { "sha256": sha256 } })
}

/// in-toto test result v0.1: the claim about the test split.
pub(super) fn test_result(version: &VersionDir, files: &BTreeMap<String, Digest>) -> Value {
    let manifest = &version.manifest;
    let passed = [
        format!("test split: {} right", manifest.test.correct),
        format!("sha256 of the predictions: {}", manifest.test.predictions_sha256),
        format!("same class as libtorch: {}", manifest.self_check.identical_predictions),
    ];
    let predicate =
        json!({ "result": "PASSED", "configuration": data_files(version), "passedTests": passed });
    statement(version, files, TEST_RESULT, predicate)
}

/// in-toto test result v0.1: what retraining gave; its details are what `trainer reproduce --json` prints.
pub(super) fn reproduction(
    version: &VersionDir,
    files: &BTreeMap<String, Digest>,
    report: &RetrainingReport<'_>,
) -> Value {
    let (result, list) = if report.passed { ("PASSED", "passedTests") } else { ("FAILED", "failedTests") };
    let configuration = [vec![recipe(version)], data_files(version)].concat();
    let predicate = json!({
        "result": result,
        "configuration": configuration,
        list: [report.test],
        "annotations": report.details,
    });
    statement(version, files, TEST_RESULT, predicate)
}

/// The dataset's files as in-toto resource descriptors.
fn data_files(version: &VersionDir) -> Vec<Value> {
    let dataset = &version.manifest.dataset;
    let files = dataset.files.iter();
    files
        .map(|(name, digest)| {
            json!({ "name": format!("{}/{name}", dataset.name), "digest": { "sha256": digest } })
        })
        .collect()
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, Digest>,
}

#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: Digest,
}

#[derive(Deserialize)]
struct Report {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    result: String,
    #[serde(default)]
    passed_tests: Vec<String>,
    #[serde(default)]
    failed_tests: Vec<String>,
    #[serde(default)]
    annotations: Details,
}

#[derive(Deserialize, Default)]
struct Details {
    processor: Option<String>,
    epochs_retrained: Option<u32>,
}

/// What a report on retraining a version with these files says.
pub(super) fn read_reproduction(
    payload: &[u8],
    files: &BTreeMap<String, Digest>,
    file: String,
    key: String,
) -> std::result::Result<Reproduction, String> {
    let report: Report =
        serde_json::from_slice(payload).map_err(|e| format!("not a report of a retraining: {e}"))?;
    expect("statement type", &report.kind, STATEMENT)?;
    expect("predicate type", &report.predicate_type, TEST_RESULT)?;
    check_subject(&report.subject, &root_digest(files.values()))?;
    let Outcome { result, passed_tests, failed_tests, annotations } = report.predicate;
    let passed = result == "PASSED";
    let test = if passed { passed_tests } else { failed_tests }.into_iter().next().unwrap_or_default();
    let Details { processor, epochs_retrained } = annotations;
    Ok(Reproduction { file, key, passed, test, processor, epochs_retrained })
}

fn expect(what: &str, found: &str, expected: &str) -> std::result::Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} {found}, expected {expected}")) }
}

fn check_subject(subjects: &[Subject], root: &Digest) -> std::result::Result<(), String> {
    let [subject] = subjects else {
        return Err(format!("{} subjects, expected one", subjects.len()));
    };
    let found = subject.digest.get("sha256");
    if found == Some(root) {
        Ok(())
    } else {
        Err(format!("subject digest {found:?}, expected {root}, that of the files"))
    }
}

#[derive(Deserialize)]
struct AnyStatement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

/// The predicate type that a file's name promises; `None` for names that promise none.
pub(super) fn kind_of_file(file: &str) -> Option<&'static str> {
    match file {
        super::SIGNATURE => Some(MODEL_SIGNATURE),
        super::PROVENANCE => Some(PROVENANCE),
        super::TEST_RESULT => Some(TEST_RESULT),
        _ if file.starts_with(super::REPRODUCTION) => Some(TEST_RESULT),
        _ => None,
    }
}

/// What kind of statement about a version with these files a payload is.
pub(super) fn kind_of(
    payload: &[u8],
    files: &BTreeMap<String, Digest>,
) -> std::result::Result<String, String> {
    let statement: AnyStatement =
        serde_json::from_slice(payload).map_err(|e| format!("not an in-toto statement: {e}"))?;
    expect("statement type", &statement.kind, STATEMENT)?;
    check_subject(&statement.subject, &root_digest(files.values()))?;
    let known = [MODEL_SIGNATURE, PROVENANCE, TEST_RESULT];
    if known.contains(&statement.predicate_type.as_str()) {
        Ok(statement.predicate_type)
    } else {
        Err(format!("predicate type {}, expected one of {known:?}", statement.predicate_type))
    }
}

/// The files that a model signature lists. What a signature asks to ignore is not ignored:
/// every file of a version must be listed.
pub(super) fn signed_files(payload: &[u8]) -> std::result::Result<BTreeMap<String, Digest>, String> {
    let signed: Signed =
        serde_json::from_slice(payload).map_err(|e| format!("not a model signature: {e}"))?;
    expect("statement type", &signed.kind, STATEMENT)?;
    expect("predicate type", &signed.predicate_type, MODEL_SIGNATURE)?;
    expect("serialization method", &signed.predicate.serialization.method, "files")?;
    let resources = signed.predicate.resources;
    for resource in &resources {
        expect("digest algorithm", &resource.algorithm, "sha256")?;
    }
    let root = root_digest(resources.iter().map(|resource| &resource.digest));
    check_subject(&signed.subject, &root)?;
    let count = resources.len();
    let files: BTreeMap<String, Digest> = resources.into_iter().map(|r| (r.name, r.digest)).collect();
    if files.len() == count { Ok(files) } else { Err("a file is listed twice".into()) }
}
