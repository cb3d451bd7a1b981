//! What happens to servers: they are told to stop, flooded, probed, asked by old and odd clients, and nobody reads what
//! they say.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Server, root};

const INFER: &str = "/v2/models/mnist-lite/infer";

fn zoo() -> std::path::PathBuf {
    root().join("zoo")
}

fn request() -> Vec<u8> {
    let pixels = vec![7u8; 784];
    json!({ "inputs": [{ "name": "image", "shape": [1, 1, 28, 28], "datatype": "UINT8", "data": pixels }] })
        .to_string()
        .into_bytes()
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Reads one answer; `None` if the connection ended before it began.
fn read_answer(stream: &mut TcpStream) -> Option<String> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return Some(text);
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => answer.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

/// Clients on kept connections and on new ones, all the time while the server is told to stop: it says that it is not
/// ready, answers everything that was sent, and only then takes no more.
#[test]
fn nothing_is_lost_when_the_server_stops() {
    let mut server = Server::start(&zoo(), &["--shutdown-delay", "1.5"]);
    let message = post(INFER, "", &request());
    let (answered, lost, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let unready = AtomicBool::new(false);
    let client = |reuse: bool| {
        let mut kept: Option<TcpStream> = None;
        while !stop.load(Ordering::Relaxed) {
            let address = server.url.trim_start_matches("http://");
            let stream = match kept.take() {
                Some(stream) => Ok(stream),
                None => TcpStream::connect(address),
            };
            // Whoever cannot connect has sent nothing.
            let Ok(mut stream) = stream else { return };
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let sent = stream.write_all(&message);
            match read_answer(&mut stream).filter(|_| sent.is_ok()) {
                Some(answer) => {
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    if reuse && !answer.contains("connection: close") {
                        kept = Some(stream);
                    }
                }
                None => {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for number in 0..12 {
            scope.spawn(move || client(number % 2 == 0));
        }
        std::thread::sleep(Duration::from_millis(700));
        server.terminate();
        let end = Instant::now() + Duration::from_secs(8);
        while Instant::now() < end {
            let address = server.url.trim_start_matches("http://");
            let Ok(mut stream) = TcpStream::connect(address) else { break };
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let _ = stream
                .write_all(b"GET /v2/health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            if read_answer(&mut stream).is_some_and(|answer| answer.starts_with("HTTP/1.1 503")) {
                unready.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (answered, lost) = (answered.into_inner(), lost.into_inner());
    assert!(answered > 100, "{answered}");
    assert_eq!(lost, 0, "of {answered}");
    assert!(unready.into_inner(), "no probe saw that it was not ready");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

/// Whoever takes all connections and says nothing does not have the server restarted.
#[test]
fn health_is_told_whoever_holds_all_connections() {
    let server = Server::start(&zoo(), &["--max-connections", "40", "--timeout", "60"]);
    let idle: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
    std::thread::sleep(Duration::from_millis(100));
    for path in ["/v2/health/live", "/v2/health/ready"] {
        let said = server.raw(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        assert!(said.starts_with("HTTP/1.1 200"), "{path}: {said}");
    }
    let said = server.raw(b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("too many connections"), "{said}");
    drop(idle);
    server.wait_for("connections", |server| server.get("/v2").status == 200);
}

#[test]
fn readiness_is_told_of_something_to_serve() {
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("models/mnist-lite/1");
    tests::copy_dir(&zoo().join("models/mnist-lite/1"), &version).unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get("/v2/health/ready").status, 200);
    std::fs::remove_dir_all(dir.path().join("models/mnist-lite")).unwrap();
    server.wait_for("it to be gone", |server| server.get("/v2/health/ready").status == 503);
    assert_eq!(server.get("/v2/health/ready").json()["reason"], "no model can be served");
    assert_eq!(server.get("/v2/health/live").status, 200);
}

/// A page of another site whose name was made to lead to this machine asks under its own name.
#[test]
fn other_names_are_refused() {
    let ask = |server: &Server, host: &str| {
        let request = format!("GET /v2 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        server.raw(request.as_bytes())[9..12].to_owned()
    };
    let server = Server::start(&zoo(), &[]);
    let hosts = ["localhost:80", "127.0.0.1", "evil.example", "zoo.example.org"];
    assert_eq!(hosts.map(|host| ask(&server, host)), ["200", "200", "421", "421"]);
    let server = Server::start(&zoo(), &["--host", "Zoo.example.org"]);
    assert_eq!(hosts.map(|host| ask(&server, host)), ["200", "200", "421", "200"]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_bodies_have_the_limits_of_others() {
    let server = Server::start(&zoo(), &["--max-body", "1"]);
    let ask = |coding: &str, body: &[u8]| {
        let headers = format!("content-encoding: {coding}\r\nconnection: close\r\n");
        server.raw(&post(INFER, &headers, body))
    };
    let whole = gzip(&request());
    for name in ["gzip", "GZIP", "x-gzip"] {
        assert!(ask(name, &whole).starts_with("HTTP/1.1 200"), "{name}");
    }
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    deflate.write_all(&request()).unwrap();
    assert!(ask("deflate", &deflate.finish().unwrap()).starts_with("HTTP/1.1 200"));
    for (coding, body, status) in [
        ("br", whole.clone(), "415"),
        ("gzip", whole[..whole.len() / 2].to_vec(), "400"),
        ("gzip", request(), "400"),
        ("gzip", gzip(&vec![b' '; (1 << 20) + 1]), "413"),
        // A gigabyte of nothing in a megabyte.
        ("gzip", gzip(&vec![b' '; 900 << 20]), "413"),
    ] {
        let said = ask(coding, &body);
        assert_eq!(&said[9..12], status, "{coding} of {} bytes: {said}", body.len());
    }
    assert!(server.peak_memory() < 400, "{} MiB", server.peak_memory());
}

#[test]
fn forms_with_a_file_are_images() {
    let server = Server::start(&zoo(), &[]);
    let seven = std::fs::read(root().join("docs/seven.png")).unwrap();
    let part = |disposition: &str, content: &[u8]| {
        let start = format!("--b\r\ncontent-disposition: form-data; {disposition}\r\n\r\n");
        [start.as_bytes(), content, b"\r\n"].concat()
    };
    let form = |disposition: &str| [part(disposition, &seven), b"--b--\r\n".to_vec()].concat();
    let image = "name=\"image\"; filename=\"seven.png\"";
    let with = |other: Vec<u8>| [part(image, &seven), other, b"--b--\r\n".to_vec()].concat();
    let ask = |content_type: &str, body: &[u8]| {
        let headers = format!("content-type: {content_type}\r\nconnection: close\r\n");
        server.raw(&post("/predict", &headers, body))
    };
    let said = ask("multipart/form-data; boundary=b", &form(image));
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"label\":\"7\""), "{said}");
    for (content_type, body, expected) in [
        (
            "multipart/form-data; boundary=b",
            form("name=\"image\""),
            "field \\\"image\\\": expected only a file",
        ),
        // What would be dropped: another model than the one that is asked for would answer.
        ("multipart/form-data; boundary=b", with(part("name=\"model\"", b"x")), "?model=NAME"),
        ("multipart/form-data; boundary=b", with(part(image, &seven)), "another file"),
        ("multipart/form-data; boundary=b", b"--b--\r\n".to_vec(), "without a file"),
        ("multipart/form-data", form("name=\"image\"; filename=\"x\""), "form: "),
        ("multipart/form-data; boundary=c", form("name=\"image\"; filename=\"x\""), "form: "),
        ("multipart/form-data; boundary=b", b"--b\r\n".to_vec(), "form: "),
    ] {
        let said = ask(content_type, &body);
        assert!(said.starts_with("HTTP/1.1 400") && said.contains(expected), "{content_type}: {said}");
    }
    let said = server.raw(&post("/predict?modle=x", "connection: close\r\n", &seven));
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("modle"), "{said}");
}

/// Steadily, but slowly: each time something is read, though not much.
#[test]
fn slow_downloads_finish() {
    let server = Server::start(&zoo(), &["--timeout", "2"]);
    let mut stream = server.connect();
    let path = "/models/mnist-robust/1/model.safetensors";
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    let expected = std::fs::metadata(root().join("zoo").join(path.trim_start_matches('/'))).unwrap().len();
    let (mut total, mut piece) = (0, vec![0; 15_000]);
    while total < expected {
        // 150 kB a second.
        std::thread::sleep(Duration::from_millis(100));
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "cut off after {total} bytes of {expected}");
        total += count as u64;
    }
}

#[test]
fn statistics_and_configuration() {
    let server = Server::start(&zoo(), &[]);
    for _ in 0..3 {
        assert_eq!(server.post(INFER, &request()).status, 200);
    }
    assert_eq!(server.post("/predict?model=mnist-lite", b"junk").status, 400);
    let newest = tests::newest("mnist-lite").to_string();
    let versioned = format!("/v2/models/mnist-lite/versions/{newest}/stats");
    for path in ["/v2/models/stats", "/v2/models/mnist-lite/stats", versioned.as_str()] {
        let all = server.get(path).json();
        let entry = all["model_stats"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["name"] == "mnist-lite" && entry["version"] == newest);
        let entry = entry.unwrap_or_else(|| panic!("{path}: {all}"));
        assert_eq!((&entry["inference_count"], &entry["execution_count"]), (&json!(3), &json!(3)), "{path}");
        let stats = &entry["inference_stats"];
        assert_eq!(stats["success"]["count"], 3);
        let time = |duty: &str| stats[duty]["ns"].as_u64().unwrap();
        assert!(time("success") >= time("compute_infer") && time("compute_infer") > 0, "{stats}");
    }
    assert_eq!(server.get("/v2/models/nobody/stats").status, 404);
    let config = server.get("/v2/models/mnist-lite/config").json();
    assert_eq!(config["input"][0]["dims"], json!([1, 28, 28]));
    assert_eq!(server.get("/v2/models/nobody/config").status, 404);
}

#[test]
fn no_path_of_this_machine_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("models/mnist-lite/1");
    tests::copy_dir(&zoo().join("models/mnist-lite/1"), &version).unwrap();
    std::fs::write(version.join(zoo::MANIFEST), "junk").unwrap();
    let server = Server::start(dir.path(), &[]);
    let here = dir.path().to_str().unwrap();
    for answer in [
        server.get("/v2/models/mnist-lite"),
        server.post("/v2/repository/index", b""),
        server.post("/predict", b"junk"),
        server.get("/models/mnist-lite/1/model.onnx"),
    ] {
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!said.contains(here) && !said.contains(root().to_str().unwrap()), "{said}");
    }
    assert!(server.log().contains(here), "the operator is told: {}", server.log());
}

/// Whoever read the log is gone: requests, looks at the zoo and the end go on.
#[test]
fn nobody_reads_the_log() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    tests::copy_dir(&zoo().join("models/mnist-lite/1"), &dir.path().join("models/mnist-lite/1")).unwrap();
    let mut command = tests::command("zoo", dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--poll", "0.1", "--shutdown-delay", "0"]);
    command.args(["--log-level", "debug", "--zoo"]).arg(dir.path());
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        tests::read_all(stream)[9..12].to_owned()
    };
    let wait = |path: &str| {
        let start = Instant::now();
        while ask(path) != "200" {
            assert!(start.elapsed() < Duration::from_secs(20), "{path}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait("/v2/models/mnist-lite/ready");
    tests::copy_dir(&zoo().join("models/fashion-lite/1"), &dir.path().join("models/fashion-lite/1")).unwrap();
    wait("/v2/models/fashion-lite/ready");
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A certificate is renewed while the server runs: new connections get the new one; one that does not fit its key is
/// passed over.
#[test]
fn a_renewed_certificate_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let make = |name: &str| {
        tests::self_signed(dir.path(), name);
        let pem = std::fs::read(path(&format!("{name}.pem"))).unwrap();
        ureq::tls::Certificate::from_pem(&pem).unwrap().to_owned()
    };
    let (first, second) = (make("first"), make("second"));
    let copy = |from: &str, to: &str| std::fs::copy(path(from), path(to)).unwrap();
    copy("first.pem", "cert.pem");
    copy("first-key.pem", "key.pem");
    let roots = |certificate: &ureq::tls::Certificate<'static>| {
        ureq::tls::RootCerts::new_with_certs(std::slice::from_ref(certificate))
    };
    let arguments = ["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")];
    let server = Server::start_tls(&zoo(), &arguments, roots(&first));
    let accepted = |certificate: &ureq::tls::Certificate<'static>| {
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots(certificate)).build();
        let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
        agent.get(format!("{}/v2", server.url)).call().is_ok()
    };
    assert!(accepted(&first) && !accepted(&second));
    // The new certificate is there, its key is not yet.
    copy("second.pem", "cert.pem");
    server.wait_for("the log", |server| server.log().contains("stays the old one"));
    assert!(accepted(&first));
    copy("second-key.pem", "key.pem");
    server.wait_for("the new certificate", |_| accepted(&second));
    assert!(!accepted(&first));
}

/// A client that has connected, but is slow to begin TLS, is answered all the same when the server stops meanwhile.
#[test]
fn a_slow_handshake_is_finished_when_the_server_stops() {
    let dir = tempfile::tempdir().unwrap();
    tests::self_signed(dir.path(), "cert");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let pem = std::fs::read(path("cert.pem")).unwrap();
    let certificate = ureq::tls::Certificate::from_pem(&pem).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().to_vec().into()).unwrap();
    let certificate = ureq::tls::RootCerts::new_with_certs(&[certificate.to_owned()]);
    let arguments = ["--tls-cert", &path("cert.pem"), "--tls-key", &path("cert-key.pem")];
    let mut server = Server::start_tls(&zoo(), &arguments, certificate);
    let address = server.url.trim_start_matches("https://").to_owned();
    let mut slow: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
    server.terminate();
    server.wait_for("the log", |server| server.log().contains("open requests are finished"));
    std::thread::sleep(Duration::from_secs(1));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = std::sync::Arc::new(config);
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let mut session = rustls::ClientConnection::new(std::sync::Arc::clone(&config), name).unwrap();
        let mut tls = rustls::Stream::new(&mut session, stream);
        tls.write_all(b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // How the server ends the connection does not matter.
        let _ = tls.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}
