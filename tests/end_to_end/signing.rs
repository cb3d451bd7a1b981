//! Signatures over a published model; against the real Python tool see `scripts/check_signing.sh`.

use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use tests::root;
use zoo::signature::{Policy, PrivateKey, PublicKey, Report, WHOLE, processors};
use zoo::{VersionDir, Zoo};

fn keys(seed: u8) -> (PrivateKey, PublicKey) {
    let key = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
    let public = key.public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let private = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    (PrivateKey::from_pem(&private).unwrap(), PublicKey::from_pem(&public).unwrap())
}

/// A copy of a published model in a zoo of its own.
fn copied() -> (tempfile::TempDir, Zoo, VersionDir) {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("models/mnist-cnn/1");
    tests::copy_dir(&root().join("zoo/models/mnist-cnn/1"), &target).unwrap();
    let zoo = Zoo::open(dir.path()).unwrap();
    let version = zoo.version(&"mnist-cnn@1".parse().unwrap()).unwrap();
    (dir, zoo, version)
}

#[test]
fn a_signature_holds_for_its_key_and_exactly_these_files() {
    let (_dir, zoo, version) = copied();
    let (private, public) = keys(7);
    let unsigned = zoo.verify_signature(&version, &public).unwrap_err().to_string();
    assert!(unsigned.contains("the version is not signed"), "{unsigned}");
    zoo.sign(&version, &private).unwrap();
    let files = zoo.verify_signature(&version, &public).unwrap().len();
    assert_eq!(files, version.manifest.files.len() + 1, "every file, and the manifest");

    let refused = |expected: &str| {
        let problem = zoo.verify_signature(&version, &public).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    };
    let card = version.path.join("README.md");
    let text = std::fs::read(&card).unwrap();
    std::fs::write(&card, [text.as_slice(), b" "].concat()).unwrap();
    refused("README.md: changed");
    std::fs::write(&card, text).unwrap();
    std::fs::write(version.path.join("extra"), "").unwrap();
    refused("extra: extra");
    std::fs::remove_file(version.path.join("extra")).unwrap();
    let other = zoo.verify_signature(&version, &keys(8).1).unwrap_err().to_string();
    assert!(other.contains("signed with another key"), "{other}");
    zoo.verify_signature(&version, &public).unwrap();
}

#[test]
fn a_signed_reproduction_report_says_what_came_out() {
    let (_dir, zoo, version) = copied();
    let (private, public) = keys(7);
    for (passed, result, test) in [(true, "PASSED", WHOLE), (false, "FAILED", "different/whole")] {
        let details = json!({ "verdict": result, "processor": "a", "epochs_retrained": 3 });
        let report = Report { test, passed, processor: "a", details: &details };
        let path = zoo.sign_reproduction(&version, &private, &report).unwrap();
        assert!(!path.starts_with(&version.path), "a version's folder never changes");
        let payload = public.open(&std::fs::read_to_string(path).unwrap()).unwrap();
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(statement["predicate"]["result"], result);
        assert_eq!(statement["predicate"]["annotations"], details);
    }
    // The same again, and then from another processor: one more report.
    for processor in ["a", "b"] {
        let details = json!({ "processor": processor });
        let report = Report { test: WHOLE, passed: true, processor, details: &details };
        zoo.sign_reproduction(&version, &private, &report).unwrap();
    }
    let reports: Vec<_> = zoo.reproductions(&version).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(reports.len(), 3);
    assert_eq!(processors(&reports), ["a", "b"], "a failed one does not count");
    assert!(version.problems().unwrap().is_empty());
}

/// Of bundles of one name, as after a change of keys, or from somebody who would hide the right one.
#[test]
fn of_several_signatures_the_trusted_one_about_this_version_is_kept() {
    let (dir, zoo, version) = copied();
    let signed = |seed: u8| {
        let folder = zoo.sign(&version, &keys(seed).0).unwrap();
        std::fs::read_to_string(folder.join("model.sig")).unwrap()
    };
    let [old, new, stranger] = [1, 2, 3].map(signed);
    // A statement by the trusted key, about something else.
    let other = keys(2).0.sign(br#"{"subject": [], "predicateType": "x"}"#);
    // And by the same about this version, but not that it is whole.
    zoo.sign(&version, &keys(2).0).unwrap();
    let signatures = zoo.signature_dir_of("mnist-cnn", 1);
    let provenance = std::fs::read_to_string(signatures.join("provenance.sig")).unwrap();
    let policy_dir = dir.path().join("policy");
    std::fs::create_dir(&policy_dir).unwrap();
    for seed in [1u8, 2] {
        let key = p256::SecretKey::from_slice(&[seed; 32]).unwrap().public_key();
        let pem = key.to_public_key_pem(LineEnding::LF).unwrap();
        std::fs::write(policy_dir.join(format!("{seed}.pub")), pem).unwrap();
    }
    let path = policy_dir.join("policy.yaml");
    std::fs::write(&path, "keys: {old: 1.pub, new: 2.pub}\nsigned_by: [new]\n").unwrap();
    let policy = Policy::read(&path).unwrap();
    let best = |bundles: &[&String], policy: Option<&Policy>| {
        let bundles: Vec<String> = bundles.iter().map(|text| (*text).clone()).collect();
        zoo::signature::best(&version, "model.sig", &bundles, policy).map(str::to_owned)
    };
    let junk = "junk".to_owned();
    for bundles in [
        [&new, &old, &stranger, &other, &junk, &provenance],
        [&provenance, &junk, &other, &stranger, &old, &new],
    ] {
        assert_eq!(best(&bundles, Some(&policy)).as_ref(), Some(&new));
    }
    assert_eq!(
        best(&[&old, &stranger], Some(&policy)).as_ref(),
        Some(&old),
        "one of the policy's keys at least"
    );
    // Nobody says who is trusted: the newest that is about this version.
    assert_eq!(best(&[&old, &new, &other, &junk, &provenance], None).as_ref(), Some(&new));
    assert_eq!(best(&[], None), None);
}

/// What is called a report of one witness, and is another's, or the publisher's own test result.
#[test]
fn a_report_is_not_displaced_by_what_is_called_so() {
    let (_dir, zoo, version) = copied();
    let report = |seed: u8, processor: &str| {
        let details = json!({ "processor": processor });
        let report = Report { test: WHOLE, passed: true, processor, details: &details };
        let path = zoo.sign_reproduction(&version, &keys(seed).0, &report).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    let (name, genuine) = report(5, "a");
    let (_, of_another_processor) = report(5, "b");
    let (_, of_another_key) = report(6, "a");
    let signatures = zoo.sign(&version, &keys(1).0).unwrap();
    let own = std::fs::read_to_string(signatures.join("test_result.sig")).unwrap();
    for other in [of_another_processor, of_another_key, own, "junk".into()] {
        for bundles in [[genuine.clone(), other.clone()], [other.clone(), genuine.clone()]] {
            assert_eq!(zoo::signature::best(&version, &name, &bundles, None), Some(genuine.as_str()));
        }
    }
}

/// Nothing is written where one of several is in the way.
#[test]
fn attestations_are_added_all_or_none() {
    let (_dir, zoo, version) = copied();
    let signatures = zoo.sign(&version, &keys(1).0).unwrap();
    let read = |name: &str| std::fs::read_to_string(signatures.join(name)).unwrap();
    let [model, result] = ["model.sig", "test_result.sig"].map(read);
    zoo.sign(&version, &keys(2).0).unwrap();
    let texts = [("a.sig".to_owned(), result.clone()), ("model.sig".to_owned(), model)].into();
    let problem = zoo.add_attestations(&version, &texts).unwrap_err().to_string();
    assert!(problem.contains("model.sig") && problem.contains("another one is there"), "{problem}");
    assert!(!signatures.join("a.sig").exists());
    zoo.add_attestations(&version, &[("a.sig".to_owned(), result)].into()).unwrap();
    assert!(signatures.join("a.sig").exists());
}

/// Two reproducers who are not the publisher, on two kinds of processor.
#[test]
fn a_policy_asks_for_independent_reproductions() {
    let (dir, zoo, version) = copied();
    let policy_dir = dir.path().join("policy");
    std::fs::create_dir(&policy_dir).unwrap();
    for seed in 1..=4u8 {
        let key = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
        let public = key.public_key().to_public_key_pem(LineEnding::LF).unwrap();
        std::fs::write(policy_dir.join(format!("{seed}.pub")), public).unwrap();
    }
    let policy = |text: &str| {
        let path = policy_dir.join("policy.yaml");
        std::fs::write(&path, text).unwrap();
        Policy::read(&path)
    };
    let keys_of = "keys: {house: 1.pub, one: 2.pub, two: 3.pub}\n";
    let strict = format!("{keys_of}signed_by: [house]\nreproduced: {{keys: 2, processors: 2}}\n");
    let missing = || policy(&strict).unwrap().check(&zoo, &version).unwrap().missing;
    let report = |seed: u8, test: &str, processor: &str| {
        let details = json!({ "processor": processor, "epochs_retrained": 20 });
        let report = Report { test, passed: test == WHOLE, processor, details: &details };
        zoo.sign_reproduction(&version, &keys(seed).0, &report).unwrap()
    };
    assert_eq!(missing().len(), 4, "without a signature, nobody is known to be independent");
    zoo.sign(&version, &keys(1).0).unwrap();
    assert_eq!(missing().len(), 2);
    report(1, WHOLE, "a");
    assert_eq!(missing().len(), 2, "who published it is no witness");
    report(2, WHOLE, "a");
    report(4, WHOLE, "b");
    assert_eq!(missing().len(), 2, "a key that the policy does not know counts for nothing");
    report(3, "bit-identical/first-epochs", "b");
    assert_eq!(missing().len(), 2, "some epochs are not all");
    let second = report(3, WHOLE, "b");
    assert_eq!(missing(), [""; 0]);
    let found = policy(&strict).unwrap().check(&zoo, &version).unwrap();
    assert_eq!((found.signed_by.as_deref(), found.reproduced_by.len()), (Some("house"), 2));

    // A report that names a trusted key, and was signed with another.
    let text = std::fs::read_to_string(&second).unwrap();
    let forged = report(4, WHOLE, "c");
    let forged_text = std::fs::read_to_string(&forged).unwrap();
    let hint = |text: &str| {
        let bundle: Value = serde_json::from_str(text).unwrap();
        bundle["verificationMaterial"]["publicKey"]["hint"].as_str().unwrap().to_owned()
    };
    std::fs::write(&second, forged_text.replace(&hint(&forged_text), &hint(&text))).unwrap();
    assert_eq!(missing().len(), 2);

    for (text, expected) in [
        ("", "empty"),
        ("keys: {}\n", "at least one rule"),
        ("keys: {a: 1.pub}\nsigned_by: [b]\n", "signed_by: found `b`"),
        ("keys: {a: 1.pub, b: 1.pub}\nsigned_by: [a]\n", "each key once"),
        ("keys: {a: 1.pub}\nreproduced: {keys: 2}\n", "reproduced.keys: found 2"),
        ("keys: {a: nothing.pub}\nsigned_by: [a]\n", "nothing.pub"),
        ("keys: {a: policy.yaml}\nsigned_by: [a]\n", "a public key"),
        ("keys: {a: 1.pub}\nsigned_by: [a]\nmore: 1\n", "unknown field"),
    ] {
        let error = policy(text).err().unwrap().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}
