//! A zoo that changes while it is served: no request fails, and nothing damaged is ever used.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{Server, copy_dir, root};
use zoo::Zoo;

const MODEL: &str = "mnist-lite";

/// A zoo with version 1 of one model.
fn small_zoo(dir: &Path) -> Zoo {
    let first = Path::new("models").join(MODEL).join("1");
    copy_dir(&root().join("zoo").join(&first), &dir.join(first)).unwrap();
    Zoo::open(dir).unwrap()
}

/// Publishes version 1 again as the next one.
fn publish_next(zoo: &Zoo) -> u32 {
    let first = zoo.models_dir().join(MODEL).join("1");
    let published = zoo.publish(MODEL, |dir, version| -> zoo::Result<()> {
        copy_dir(&first, dir).map_err(zoo::Error::io(dir))?;
        let path = dir.join(zoo::MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(zoo::Error::io(&path))?;
        let text = text.replacen("\nversion: 1\n", &format!("\nversion: {version}\n"), 1);
        std::fs::write(&path, text).map_err(zoo::Error::io(&path))
    });
    published.unwrap().manifest.version
}

/// Calls a function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn index_entry(server: &Server, version: u32) -> Value {
    let index = server.post("/v2/repository/index", b"").json();
    let version = version.to_string();
    let mut entries = index.as_array().unwrap().iter();
    entries.find(|entry| entry["version"].as_str() == Some(&version)).cloned().unwrap_or_default()
}

fn newest(server: &Server) -> Value {
    server.get(&format!("/v2/models/{MODEL}")).json()["versions"]
        .as_array()
        .and_then(|v| v.last().cloned())
        .unwrap_or_default()
}

#[test]
fn publishing_and_damage_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = small_zoo(dir.path());
    zoo.set_alias(&"mnist-lite@1".parse().unwrap(), "stable").unwrap();
    let server = Server::start(dir.path(), &[]);
    let request = json!({ "inputs": [{ "name": "image", "shape": [1, 1, 28, 28], "datatype": "UINT8", "data": vec![7; 784] }] });
    let request = request.to_string();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let ask = |path: &'static str| {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = server.post(path, request.as_bytes());
                if answer.status != 200 {
                    failures.push(format!("{path}: {} {}", answer.status, answer.json()));
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            failures
        };
        let paths = ["/v2/models/mnist-lite/infer", "/v2/models/mnist-lite/versions/stable/infer"];
        let clients: Vec<_> =
            paths.into_iter().cycle().take(4).map(|path| scope.spawn(move || ask(path))).collect();

        // Also when an assertion fails: else the clients, and this test, would never end.
        let stopper = OnDrop(|| stop.store(true, Ordering::Relaxed));

        // A new version comes into service.
        assert_eq!(publish_next(&zoo), 2);
        server.wait_for("version 2", |server| newest(server) == "2");

        // One that is damaged does not, and says why; the one before goes on.
        let staged = dir.path().join("damaged");
        copy_dir(&zoo.models_dir().join(MODEL).join("2"), &staged).unwrap();
        let manifest = std::fs::read_to_string(staged.join(zoo::MANIFEST)).unwrap();
        std::fs::write(staged.join(zoo::MANIFEST), manifest.replacen("\nversion: 2\n", "\nversion: 3\n", 1))
            .unwrap();
        flip_a_byte(&staged.join(zoo::ONNX));
        std::fs::rename(&staged, zoo.models_dir().join(MODEL).join("3")).unwrap();
        server.wait_for("version 3 to be refused", |server| index_entry(server, 3)["state"] == "UNAVAILABLE");
        let reason = index_entry(&server, 3)["reason"].to_string();
        assert!(reason.contains("model.onnx: changed: sha256"), "{reason}");
        assert_eq!(server.get("/v2/models/mnist-lite/versions/3/ready").status, 503);
        assert_eq!(newest(&server), "2");

        // A served version is damaged on disk: what is in memory was checked, and goes on.
        flip_a_byte(&zoo.models_dir().join(MODEL).join("2").join(zoo::ONNX));
        server.wait_for("damage to be seen", |server| {
            index_entry(server, 2)["reason"].to_string().contains("on disk")
        });
        assert_eq!(index_entry(&server, 2)["state"], "READY");
        flip_a_byte(&zoo.models_dir().join(MODEL).join("2").join(zoo::ONNX));
        server.wait_for("repair to be seen", |server| index_entry(server, 2)["reason"] == "");

        // Old ones leave when there are newer good ones, but not while an alias points to them.
        std::fs::remove_dir_all(zoo.models_dir().join(MODEL).join("3")).unwrap();
        assert_eq!((publish_next(&zoo), publish_next(&zoo)), (3, 4));
        server.wait_for("version 2 to leave", |server| index_entry(server, 2)["state"] == "UNAVAILABLE");
        assert_eq!(server.get("/v2/models/mnist-lite").json()["versions"], json!(["1", "3", "4"]));
        zoo.set_alias(&"mnist-lite@4".parse().unwrap(), "stable").unwrap();
        server.wait_for("version 1 to leave", |server| index_entry(server, 1)["state"] == "UNAVAILABLE");
        let stable = |server: &Server| {
            let answer =
                server.post("/v2/models/mnist-lite/versions/stable/infer", request.as_bytes()).json();
            answer["model_version"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(stable(&server), "4");

        // An alias that moves to a version at the moment of its publication, and to one that is damaged.
        for version in 5..8 {
            assert_eq!(publish_next(&zoo), version);
            zoo.set_alias(&format!("mnist-lite@{version}").parse().unwrap(), "stable").unwrap();
        }
        server.wait_for("the alias to move", |server| stable(server) == "7");
        assert_eq!(publish_next(&zoo), 8);
        flip_a_byte(&zoo.models_dir().join(MODEL).join("8").join(zoo::ONNX));
        zoo.set_alias(&"mnist-lite@8".parse().unwrap(), "stable").unwrap();
        server.wait_for("version 8 to be seen", |server| !index_entry(server, 8).is_null());
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(["7", "8"].contains(&stable(&server).as_str()), "{}", stable(&server));

        drop(stopper);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let answered = answered.into_inner();
    println!("{answered} requests, {} failed", failures.len());
    assert!(failures.is_empty() && answered > 100, "{answered} requests: {failures:?}\n{}", server.log());
}

/// A mount that is away for a moment, a folder that is swapped.
#[test]
fn a_zoo_that_is_away_keeps_its_models_in_service() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = small_zoo(dir.path());
    copy_dir(&root().join("zoo/models/mnist-fast"), &dir.path().join("models/mnist-fast")).unwrap();
    let server = Server::start(dir.path(), &[]);
    let (models, away) = (zoo.models_dir(), dir.path().join("away"));
    std::fs::rename(&models, &away).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(server.get(&format!("/v2/models/{MODEL}/ready")).status, 200);
    assert_eq!(server.get("/v2/health/ready").status, 200);
    // One model that is gone is gone.
    std::fs::rename(&away, &models).unwrap();
    std::fs::rename(models.join(MODEL), dir.path().join("model")).unwrap();
    let start = std::time::Instant::now();
    while server.get(&format!("/v2/models/{MODEL}/ready")).status == 200 {
        assert!(start.elapsed().as_secs() < 20, "still there");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_repaired_version_comes_into_service() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = small_zoo(dir.path());
    let onnx = zoo.models_dir().join(MODEL).join("1").join(zoo::ONNX);
    flip_a_byte(&onnx);
    let server = Server::start(dir.path(), &[]);
    let refused = server.get("/v2/models/mnist-lite/ready");
    assert_eq!(refused.status, 503);
    assert!(refused.json()["error"].as_str().unwrap().contains("model.onnx: changed"), "{}", refused.json());
    assert_eq!(server.post_as_administrator("/v2/repository/models/mnist-lite/load", b"").status, 503);
    flip_a_byte(&onnx);
    server.wait_for("the model", |server| server.get("/v2/models/mnist-lite/ready").status == 200);
    std::fs::remove_dir_all(zoo.models_dir().join(MODEL)).unwrap();
    server.wait_for("it to be gone", |server| server.get("/v2/models/mnist-lite/ready").status == 404);
}

/// A zoo of which only a part was copied, and one that loses lines of its log while it is served: aliases do not go back.
#[test]
fn another_alias_log_than_that_of_the_index_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let zoo = small_zoo(dir.path());
    publish_next(&zoo);
    for version in [1, 2] {
        zoo.set_alias(&format!("mnist-lite@{version}").parse().unwrap(), "stable").unwrap();
    }
    let stable = |server: &Server| {
        let answer = server.get(&format!("/v2/models/{MODEL}/versions/stable/stats"));
        (answer.status, answer.json()["model_stats"][0]["version"].as_str().map(str::to_owned))
    };
    let problem = "aliases.jsonl: not the log that the index has";
    let path = dir.path().join("aliases.jsonl");
    let log = std::fs::read_to_string(&path).unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!((stable(&server), server.log().contains(problem)), ((200, Some("2".into())), false));
    for part in [log.lines().next().map(|line| format!("{line}\n")), None] {
        match part {
            Some(part) => std::fs::write(&path, part).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let told = server.log().matches(problem).count();
        server.wait_for("the log to be seen", |server| server.log().matches(problem).count() > told + 1);
        assert_eq!(stable(&server), (200, Some("2".into())));
    }
    // Who has not served them before does not know them.
    let other = Server::start(dir.path(), &[]);
    assert_eq!((stable(&other).0, other.log().contains(problem)), (404, true), "{}", other.log());
    std::fs::write(&path, log).unwrap();
    other.wait_for("the alias", |server| stable(server).0 == 200);
}

#[test]
fn names_of_hosts_are_taken_as_people_copy_them() {
    let dir = tempfile::tempdir().unwrap();
    small_zoo(dir.path());
    for name in ["Zoo.Example.org:8080", "zoo.example.org."] {
        let server = Server::start(dir.path(), &["--host", name]);
        let answer = server.raw(b"GET /v2 HTTP/1.1\r\nhost: zoo.example.org:80\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
    for name in ["", "https://zoo.example.org", "zoo.example.org/x", "two words"] {
        let outcome = tests::run("zoo", dir.path(), ["serve", "--host", name]);
        tests::assert_refused(name, &outcome, &["expected a name"]);
    }
}
