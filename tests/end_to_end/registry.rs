//! `zoo pull` from a registry that lies, never ends, or takes its time; against a real one see `scripts/check_registry.sh`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datasets::Digest;
use serde_json::{Value, json};
use tests::{Outcome, root, run};

/// What the registry answers to a path.
pub(crate) enum Answer {
    Bytes(Vec<u8>),
    /// For ever.
    Endless,
    /// A byte now and then.
    Trickle,
    /// None.
    Silence,
    /// A token is to be had from this path of the registry.
    Challenge(&'static str),
}

/// A registry with these answers; returns its address. It lives as long as the test.
pub(crate) fn registry(answers: BTreeMap<String, Answer>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers = Arc::new(answers);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || answer(stream, &answers));
        }
    });
    address
}

fn answer(mut stream: TcpStream, answers: &BTreeMap<String, Answer>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut rest = String::new();
        while reader.read_line(&mut rest)? > 2 {
            rest.clear();
        }
        let path = line.split([' ', '?']).nth(1).unwrap_or_default();
        match answers.get(path) {
            None => write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?,
            Some(Answer::Bytes(bytes)) => {
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len())?;
                stream.write_all(bytes)?;
            }
            Some(Answer::Challenge(path)) => {
                let realm = format!("http://{}{path}", stream.local_addr()?);
                let head = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nwww-authenticate";
                write!(stream, "{head}: Bearer realm=\"{realm}\",service=\"x\"\r\n\r\n")?;
            }
            Some(Answer::Silence) => std::thread::sleep(Duration::from_secs(60)),
            Some(Answer::Endless) => {
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
                loop {
                    stream.write_all(&[b' '; 65_536])?;
                }
            }
            Some(Answer::Trickle) => {
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
                loop {
                    stream.write_all(b" ")?;
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}

/// A version as a registry has it, its manifest put through `change`.
pub(crate) fn pack(change: impl Fn(String) -> String) -> BTreeMap<String, Answer> {
    let folder = root().join("zoo/models/mnist-lite/1");
    let mut answers = BTreeMap::new();
    let mut layers = Vec::new();
    for file in zoo::list_files(&folder).unwrap() {
        let mut bytes = std::fs::read(folder.join(&file)).unwrap();
        if file == zoo::MANIFEST {
            bytes = change(String::from_utf8(bytes).unwrap()).into_bytes();
        }
        let digest = format!("sha256:{}", Digest::of(&bytes));
        layers.push(json!({
            "mediaType": "application/vnd.cncf.model.doc.v1.raw",
            "digest": digest,
            "size": bytes.len(),
            "annotations": { "org.cncf.model.filepath": file },
        }));
        answers.insert(format!("/v2/zoo/blobs/{digest}"), Answer::Bytes(bytes));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": { "mediaType": "application/vnd.cncf.model.config.v1+json", "digest": format!("sha256:{}", Digest::of(b"{}")), "size": 2 },
        "layers": layers,
    });
    answers.insert("/v2/zoo/manifests/1".into(), Answer::Bytes(manifest.to_string().into_bytes()));
    answers
}

/// Changes the OCI manifest.
fn repacked(mut answers: BTreeMap<String, Answer>, change: impl Fn(&mut Value)) -> BTreeMap<String, Answer> {
    let path = "/v2/zoo/manifests/1";
    let Some(Answer::Bytes(bytes)) = answers.remove(path) else { panic!("no manifest") };
    let mut manifest = serde_json::from_slice(&bytes).unwrap();
    change(&mut manifest);
    answers.insert(path.into(), Answer::Bytes(manifest.to_string().into_bytes()));
    answers
}

fn pull(dir: &Path, answers: BTreeMap<String, Answer>, options: &[&str]) -> Outcome {
    let reference = format!("{}/zoo:1", registry(answers));
    let start = Instant::now();
    let fixed = ["pull", reference.as_str(), "--plain-http", "--timeout", "2"];
    let outcome = run("zoo", dir, fixed.iter().chain(options));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    outcome
}

#[test]
fn a_registry_is_not_believed_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = pull(dir.path(), pack(|manifest| manifest), &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let same = |manifest: String| manifest;
    let manifests = "/v2/zoo/manifests/1";
    let only = |answer: Answer| BTreeMap::from([(manifests.to_owned(), answer)]);
    let with = |path: fn(&str) -> bool, answer: fn() -> Answer| {
        let mut answers = pack(same);
        answers.iter_mut().filter(|(key, _)| path(key)).for_each(|(_, value)| *value = answer());
        answers
    };
    let blobs: fn(&str) -> bool = |path| path.contains("/blobs/");
    let cases: Vec<(&str, BTreeMap<String, Answer>, &str)> = vec![
        ("nothing", BTreeMap::new(), "manifest unknown"),
        ("an endless manifest", only(Answer::Endless), "more than 4194304 bytes"),
        ("a manifest that trickles", only(Answer::Trickle), "not there within 2s"),
        ("junk", only(Answer::Bytes(b"junk".to_vec())), "not a manifest"),
        ("deep junk", only(Answer::Bytes(vec![b'['; 1 << 20])), "not a manifest"),
        ("endless files", with(blobs, || Answer::Endless), "more than"),
        ("other files", with(blobs, || Answer::Bytes(b"junk".to_vec())), "expected"),
        (
            "files of a terabyte",
            repacked(pack(same), |pack| {
                pack["layers"]
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .for_each(|layer| layer["size"] = json!(1u64 << 40));
            }),
            "expected at most",
        ),
        ("negative lengths", repacked(pack(same), |pack| pack["layers"][0]["size"] = json!(-1)), "README.md"),
        (
            "a version of a made-up number",
            pack(|manifest| manifest.replace("\nversion: 1\n", "\nversion: 4294967295\n")),
            "expected 1 to 1000000",
        ),
        (
            "another version than the tag says",
            pack(|manifest| manifest.replace("\nversion: 1\n", "\nversion: 7\n")),
            "expected 1, as the tag says",
        ),
        (
            "a path that leads out",
            repacked(pack(same), |pack| {
                pack["layers"][0]["annotations"]["org.cncf.model.filepath"] = json!("../../evil");
            }),
            "README.md",
        ),
        (
            "referrers that never end",
            {
                let mut answers = pack(same);
                let Some(Answer::Bytes(text)) = answers.get(manifests) else { panic!() };
                let path = format!("/v2/zoo/referrers/sha256:{}", Digest::of(text));
                answers.insert(path, Answer::Endless);
                answers
            },
            "more than 4194304 bytes",
        ),
    ];
    for (name, answers, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let outcome = pull(dir.path(), answers, &[]);
        assert_eq!(outcome.code, Some(2), "{name}: {outcome:?}");
        assert!(outcome.stderr.contains(expected), "{name}: expected {expected}: {}", outcome.stderr);
        let zoo = zoo::Zoo::new(&dir.path().join("zoo"));
        assert_eq!(zoo.models().unwrap(), [], "{name}");
        let left = std::fs::read_dir(zoo.root())
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(".pull-"));
        assert_eq!(left.count(), 0, "{name}");
    }
}

#[test]
fn pushing_does_not_wait_for_a_registry_either() {
    let dir = tempfile::tempdir().unwrap();
    tests::copy_dir(&root().join("zoo/models/mnist-lite/1"), &dir.path().join("zoo/models/mnist-lite/1"))
        .unwrap();
    let challenge = || ("/v2/".to_owned(), Answer::Challenge("/token"));
    let token = |answer: Answer| BTreeMap::from([challenge(), ("/token".to_owned(), answer)]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (what, address, expected) in [
        ("silence", silent.local_addr().unwrap().to_string(), "timed out"),
        ("a token that trickles", registry(token(Answer::Trickle)), "more than 65536 bytes"),
        ("a token without end", registry(token(Answer::Endless)), "more than 65536 bytes"),
        ("no token", registry(token(Answer::Bytes(b"{}".to_vec()))), "token from"),
        ("uploads into silence", registry(uploads()), "timed out"),
    ] {
        let start = Instant::now();
        let reference = format!("{address}/zoo");
        let arguments = ["push", "mnist-lite@1", &reference, "--plain-http", "--timeout", "2"];
        let outcome = run("zoo", dir.path(), arguments);
        tests::assert_refused(what, &outcome, &[expected]);
        assert!(start.elapsed() < Duration::from_secs(15), "{what}: {:?}", start.elapsed());
    }
}

/// A registry that takes nothing in time.
fn uploads() -> BTreeMap<String, Answer> {
    BTreeMap::from([
        ("/v2/".to_owned(), Answer::Bytes(Vec::new())),
        ("/v2/zoo/blobs/uploads/".to_owned(), Answer::Silence),
    ])
}

/// Anybody may refer to a version: what cannot be read is told, and keeps nobody from the version.
#[test]
fn odd_referrers_are_passed_over() {
    let mut answers = pack(|manifest| manifest);
    let Some(Answer::Bytes(text)) = answers.get("/v2/zoo/manifests/1") else { panic!("no manifest") };
    let list = format!("/v2/zoo/referrers/sha256:{}", Digest::of(text));
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let bundle = |size: u64| {
        let layer = json!({
            "mediaType": kind, "digest": format!("sha256:{}", Digest::of(b"gone")), "size": size,
            "annotations": {"org.opencontainers.image.title": "a.sigstore.json"},
        });
        let config =
            json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": layer["digest"], "size": 2});
        json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string().into_bytes()
    };
    let texts = [b"junk".to_vec(), bundle(4), bundle(1 << 40)];
    let mut digests: Vec<String> = texts.iter().map(|text| format!("sha256:{}", Digest::of(text))).collect();
    for (digest, text) in digests.iter().zip(texts) {
        answers.insert(format!("/v2/zoo/manifests/{digest}"), Answer::Bytes(text));
    }
    let (missing, other) =
        (format!("sha256:{}", Digest::of(b"missing")), format!("sha256:{}", Digest::of(b"other")));
    answers.insert(format!("/v2/zoo/manifests/{other}"), Answer::Bytes(b"something else".to_vec()));
    digests.extend([missing, other]);
    let entry =
        |digest: &String| json!({"mediaType": "m", "digest": digest, "size": 4, "artifactType": kind});
    let entries: Vec<_> = digests.iter().map(entry).collect();
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    answers.insert(list, Answer::Bytes(index.into_bytes()));
    let dir = tempfile::tempdir().unwrap();
    let outcome = pull(dir.path(), answers, &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr.matches("passed over: referrer").count(), digests.len(), "{}", outcome.stderr);
}

/// What a registry offers in place of a newer version that is here.
#[test]
fn older_versions_are_taken_only_if_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let newer = dir.path().join("zoo/models/mnist-lite/2");
    tests::copy_dir(&root().join("zoo/models/mnist-lite/2"), &newer).unwrap();
    let outcome = pull(dir.path(), pack(|manifest| manifest), &[]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("mnist-lite@1 is older than mnist-lite@2"), "{}", outcome.stderr);
    assert_eq!(pull(dir.path(), pack(|manifest| manifest), &["--allow-rollback"]).code, Some(0));
}
