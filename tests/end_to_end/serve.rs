//! `zoo serve` as its clients see it.

use std::io::Write;

use infer::Predictor;
use serde_json::{Value, json};
use tests::{Server, root, run};

fn zoo() -> std::path::PathBuf {
    root().join("zoo")
}

/// The first test images of MNIST, and what the predictor gives for them.
fn images(count: usize) -> (Vec<u8>, Vec<f32>) {
    let mnist = datasets::Dataset::find(&root().join("datasets"), "mnist").unwrap();
    let samples = mnist.load(datasets::Split::Test).unwrap();
    let pixels = samples.images[..count * 784].to_vec();
    let predictor = Predictor::open(&zoo(), "mnist-lite").unwrap();
    let probabilities = predictor.session().worker().unwrap().probabilities(&pixels).unwrap();
    (pixels, probabilities)
}

fn input(count: usize, data: Value) -> Value {
    json!({ "name": "image", "shape": [count, 1, 28, 28], "datatype": "UINT8", "data": data })
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

#[test]
fn health_and_metadata() {
    let server = Server::start(&zoo(), &[]);
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/mnist-lite/ready"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.get("/v2/health/live").json(), json!({ "live": true }));
    assert_eq!(server.get("/v2/health/ready").json(), json!({ "ready": true }));
    assert_eq!(
        server.get("/v2/models/mnist-lite/ready").json(),
        json!({ "name": "mnist-lite", "ready": true })
    );
    let about = server.get("/v2").json();
    assert_eq!(
        about["extensions"],
        json!([
            "binary_tensor_data",
            "classification",
            "model_configuration",
            "model_repository",
            "statistics"
        ])
    );
    let newest = format!("/versions/{}", tests::newest("mnist-lite"));
    let versions = tests::published().into_iter().filter(|(name, _)| name == "mnist-lite");
    let versions: Vec<String> = versions.map(|(_, version)| version.to_string()).collect();
    for path in ["", &newest, "/versions/latest"].map(|end| format!("/v2/models/mnist-lite{end}")) {
        let model = server.get(&path).json();
        assert_eq!(model["versions"], json!(versions));
        assert_eq!(
            model["inputs"],
            json!([{ "name": "image", "datatype": "UINT8", "shape": [-1, 1, 28, 28] }])
        );
        assert_eq!(
            model["outputs"],
            json!([{ "name": "probabilities", "datatype": "FP32", "shape": [-1, 10] }])
        );
    }
    for path in
        ["/v2/models/nobody", "/v2/models/mnist-lite/versions/9", "/v2/models/mnist-lite/versions/x/ready"]
    {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].is_string(), "{path}");
    }
}

#[test]
fn json_and_binary_give_what_the_predictor_gives() {
    let server = Server::start(&zoo(), &[]);
    let (pixels, expected) = images(3);
    let path = "/v2/models/mnist-lite/infer";
    let nested: Vec<Value> = pixels
        .chunks(784)
        .map(|image| json!([image.chunks(28).map(|row| json!(row)).collect::<Vec<_>>()]))
        .collect();
    let sha256 =
        zoo::Zoo::open(&zoo()).unwrap().version(&"mnist-lite".parse().unwrap()).unwrap().manifest.files
            [zoo::ONNX]
            .sha256;
    for data in [json!(pixels), json!(nested)] {
        let request = json!({ "id": "abc", "inputs": [input(3, data)] });
        let answer = server.post(path, request.to_string().as_bytes());
        let body = answer.json();
        assert_eq!(answer.status, 200, "{body}");
        assert_eq!(
            (&body["id"], &body["model_name"], &body["model_version"]),
            (&json!("abc"), &json!("mnist-lite"), &json!(tests::newest("mnist-lite").to_string()))
        );
        assert_eq!(body["parameters"]["model_sha256"], json!(sha256));
        assert_eq!(body["outputs"][0]["shape"], json!([3, 10]));
        assert_eq!(floats(&body["outputs"][0]["data"]), expected);
    }
    let mut binary = input(3, Value::Null);
    binary["parameters"] = json!({ "binary_data_size": 3 * 784 });
    let request = json!({ "inputs": [binary], "parameters": { "binary_data_output": true } });
    let answer = server.post_binary(path, &request, &pixels);
    let (json, tensor) = answer.body.split_at(answer.json_length.unwrap());
    let body: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(body["outputs"][0]["parameters"]["binary_data_size"], 3 * 10 * 4);
    let found: Vec<f32> = tensor.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    assert_eq!(found, expected);
}

#[test]
fn classification_names_the_best_classes() {
    let server = Server::start(&zoo(), &[]);
    let (pixels, expected) = images(2);
    let mut request = json!({
        "inputs": [input(2, json!(pixels))],
        "outputs": [{ "name": "probabilities", "parameters": { "classification": 3 } }],
    });
    let body = server.post("/v2/models/mnist-lite/infer", request.to_string().as_bytes()).json();
    let output = &body["outputs"][0];
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([2, 3])));
    let first = output["data"][0].as_str().unwrap();
    let best = expected[..10].iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(first, format!("{:.6}:{}:{}", best.1, best.0, best.0));
    request["outputs"][0]["parameters"]["binary_data"] = json!(true);
    let answer = server.post("/v2/models/mnist-lite/infer", request.to_string().as_bytes());
    let tensor = &answer.body[answer.json_length.unwrap()..];
    let length = u32::from_le_bytes(tensor[..4].try_into().unwrap()) as usize;
    assert_eq!(&tensor[4..4 + length], first.as_bytes());
}

#[test]
fn an_image_as_it_is() {
    let server = Server::start(&zoo(), &[]);
    let seven = std::fs::read(root().join("docs/seven.png")).unwrap();
    let body = server.post("/predict?model=mnist-cnn@1&top_k=2", &seven).json();
    assert_eq!((&body["label"], &body["classes"].as_array().unwrap().len()), (&json!("7"), &2));
    let body = server.post("/predict?model=mnist-cnn&explain=true", &seven).json();
    assert_eq!(body["input"]["shape"], json!([1, 28, 28]));
    let layers = body["layers"].as_array().unwrap();
    let sizes: Vec<_> = layers.iter().map(|l| (&l["count"], &l["height"])).collect();
    assert_eq!(sizes, [(&json!(32), &json!(24)), (&json!(64), &json!(8))]);
    assert_eq!(server.post("/predict?model=Not-A-Name", &seven).status, 400);
    assert!(server.post("/predict?top_k=x", &seven).json()["error"].is_string());
    assert_eq!(server.post("/predict?model=nobody", &seven).status, 404);
}

#[test]
fn the_page_and_its_models() {
    let server = Server::start(&zoo(), &[]);
    for (path, part) in
        [("/", "<canvas id=\"paper\""), ("/app.js", "pointerdown"), ("/style.css", "light-dark")]
    {
        let answer = server.get(path);
        assert!(answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(part), "{path}");
    }
    let models = server.get("/models").json();
    let lite = models.as_array().unwrap().iter().find(|m| m["manifest"]["name"] == "mnist-lite").unwrap();
    assert_eq!(lite["manifest"]["test"]["correct"], "9947/10000");
    assert!(lite["proof"]["golden"].as_str().unwrap().starts_with("16 images"));
    assert_eq!(server.get("/models/mnist-lite/1/learning_curve.svg").status, 200);
    let onnx = server.get("/models/mnist-lite/1/model.onnx");
    assert_eq!(datasets::Digest::of(&onnx.body).to_string(), lite["sha256"].as_str().unwrap());
}

#[test]
fn the_repository_can_be_listed_unloaded_and_loaded() {
    let server = Server::start(&zoo(), &[]);
    let index = |body: &str| server.post("/v2/repository/index", body.as_bytes()).json();
    let names =
        |index: &Value| index.as_array().unwrap().iter().map(|m| m["name"].clone()).collect::<Vec<_>>();
    let published: Vec<String> = tests::published().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names(&index("")), published);
    assert_eq!(server.post("/v2/repository/models/mnist-lite/unload", b"{}").status, 401);
    assert_eq!(server.get("/v2/models/mnist-lite/ready").status, 200);
    assert_eq!(server.post_as_administrator("/v2/repository/models/mnist-lite/unload", b"{}").status, 200);
    let refused = server.get("/v2/models/mnist-lite/ready");
    assert_eq!(refused.status, 503);
    assert!(refused.json()["error"].as_str().unwrap().contains("unloaded by request"));
    // Two versions of each model are served.
    let mut rest: Vec<&str> = Vec::new();
    for name in published.iter().filter(|name| *name != "mnist-lite") {
        if rest.iter().filter(|other| *other == name).count() < 2 {
            rest.push(name);
        }
    }
    assert_eq!(json!(names(&index(r#"{"ready": true}"#))), json!(rest));
    assert_eq!(server.post_as_administrator("/v2/repository/models/mnist-lite/load", b"").status, 200);
    assert_eq!(server.get("/v2/models/mnist-lite/ready").status, 200);
    assert_eq!(server.post_as_administrator("/v2/repository/models/nobody/load", b"").status, 404);
    assert_eq!(server.post_as_administrator("/v2/repository/models/nobody/unload", b"").status, 404);
}

#[test]
fn metrics_count() {
    let server = Server::start(&zoo(), &[]);
    let (pixels, _) = images(2);
    let request = json!({ "inputs": [input(2, json!(pixels))] }).to_string();
    for _ in 0..3 {
        assert_eq!(server.post("/v2/models/mnist-lite/infer", request.as_bytes()).status, 200);
    }
    assert_eq!(server.post("/v2/models/mnist-lite/infer", b"{").status, 400);
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    let lite = format!("{{model=\"mnist-lite\",version=\"{}\"}}", tests::newest("mnist-lite"));
    for line in [
        format!("infer_images_total{lite} 6").as_str(),
        format!("infer_request_duration_seconds_count{lite} 3").as_str(),
        "infer_requests_total{route=\"/v2/models/{model}/infer\",code=\"400\"} 1",
        "infer_model_ready{model=\"fashion-cnn\",version=\"2\"} 1",
        "infer_queue_images 0",
        "# TYPE infer_images_total counter",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("# EOF"), "{text}");
}

#[test]
fn a_token_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let server = Server::start(&zoo(), &["--token-file", file.to_str().unwrap()]);
    // Health was asked without a token by `start`; the page itself holds nothing secret.
    assert_eq!(server.get("/").status, 200);
    for path in ["/models", "/metrics", "/v2/models/mnist-lite", "/models/mnist-lite/1/model.onnx"] {
        assert_eq!(server.get(path).status, 401, "{path}");
        assert_eq!(server.get_with_token(path, "s3cre").status, 401, "{path}");
        assert_eq!(server.get_with_token(path, "s3cret").status, 200, "{path}");
    }
}

#[test]
fn pages_of_other_sites_are_refused() {
    let server = Server::start(&zoo(), &[]);
    let ask = |path: &str, site: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\nsec-fetch-site: {site}\r\n\r\n"
        );
        server.raw(request.as_bytes())[9..12].to_owned()
    };
    let path = "/v2/repository/index";
    assert_eq!(ask(path, "cross-site"), "403");
    assert_eq!(ask(path, "same-origin"), "200");
    // Without that header, browsers still name the page's origin.
    let origin = |origin: &str| {
        let request = format!(
            "GET /v2 HTTP/1.1\r\nhost: localhost:80\r\nconnection: close\r\norigin: {origin}\r\n\r\n"
        );
        server.raw(request.as_bytes())[9..12].to_owned()
    };
    assert_eq!(
        ["http://evil.example", "null", "http://localhost:81", "http://localhost:80"].map(origin),
        ["403", "403", "403", "200"]
    );
}

#[test]
fn over_tls() {
    let dir = tempfile::tempdir().unwrap();
    tests::self_signed(dir.path(), "cert");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let pem = std::fs::read(path("cert.pem")).unwrap();
    let root = ureq::tls::Certificate::from_pem(&pem).unwrap();
    let roots = ureq::tls::RootCerts::new_with_certs(&[root]);
    let arguments = ["--tls-cert", &path("cert.pem"), "--tls-key", &path("cert-key.pem")];
    let server = Server::start_tls(&zoo(), &arguments, roots);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    assert_eq!(server.get("/v2/models/mnist-lite").status, 200);
    let wrong = [
        "serve",
        "--tls-cert",
        &path("cert-key.pem"),
        "--tls-key",
        &path("cert-key.pem"),
        "--listen",
        "127.0.0.1:0",
    ];
    tests::assert_refused("a key for a certificate", &run("zoo", &tests::root(), wrong), &["key.pem"]);
}

/// `SIGTERM` while a request is being sent: it is answered, and the server ends with 0.
#[test]
fn stopping_finishes_open_requests() {
    let mut server = Server::start(&zoo(), &[]);
    let seven = std::fs::read(root().join("docs/seven.png")).unwrap();
    let (start, end) = seven.split_at(seven.len() / 2);
    let mut stream = server.connect();
    let head = format!(
        "POST /predict?model=mnist-lite HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        seven.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(start).unwrap();
    server.wait_for("the request", |server| {
        String::from_utf8_lossy(&server.get("/metrics").body).contains("infer_requests_in_flight 2")
    });
    server.terminate();
    server.wait_for("the signal", |server| server.log().contains("stopping"));
    stream.write_all(end).unwrap();
    let answer = tests::read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"label\":\"7\""), "{answer}");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[test]
fn only_signed_versions_with_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let zoo_dir = dir.path().join("zoo");
    tests::copy_dir(&zoo().join("models/mnist-lite/1"), &zoo_dir.join("models/mnist-lite/1")).unwrap();
    tests::copy_dir(&zoo().join("models/fashion-lite/1"), &zoo_dir.join("models/fashion-lite/1")).unwrap();
    let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let pem = p256::pkcs8::EncodePrivateKey::to_pkcs8_pem(&secret, p256::pkcs8::LineEnding::LF).unwrap();
    let key = zoo::signature::PrivateKey::from_pem(&pem).unwrap();
    let opened = zoo::Zoo::open(&zoo_dir).unwrap();
    let version = opened.version(&"mnist-lite@1".parse().unwrap()).unwrap();
    opened.sign(&version, &key).unwrap();
    let details = json!({ "processor": "a processor", "epochs_retrained": 40 });
    let report = zoo::signature::Report {
        test: zoo::signature::WHOLE,
        passed: true,
        processor: "a processor",
        details: &details,
    };
    opened.sign_reproduction(&version, &key, &report).unwrap();
    let public =
        p256::pkcs8::EncodePublicKey::to_public_key_pem(&secret.public_key(), p256::pkcs8::LineEnding::LF)
            .unwrap();
    std::fs::write(dir.path().join("key.pub"), public).unwrap();
    let server = Server::start(&zoo_dir, &["--key", dir.path().join("key.pub").to_str().unwrap()]);
    assert_eq!(server.get("/v2/models/mnist-lite/ready").status, 200);
    let models = server.get("/models").json();
    assert_eq!(models[0]["proof"]["signature"], "12 files");
    let reproduction = &models[0]["proof"]["reproductions"][0];
    assert_eq!(
        (&reproduction["passed"], &reproduction["test"]),
        (&true.into(), &"bit-identical/whole".into())
    );
    assert_eq!(
        (&reproduction["processor"], &reproduction["epochs_retrained"]),
        (&"a processor".into(), &40.into())
    );
    assert_eq!(models[0]["proof"]["reproduced_on"], json!(["a processor"]));
    let refused = server.get("/v2/models/fashion-lite/ready");
    assert_eq!(refused.status, 503);
    assert!(refused.json()["error"].as_str().unwrap().contains("not signed"), "{}", refused.json());
    // Signing comes after publishing: then it is looked at again.
    opened.sign(&opened.version(&"fashion-lite@1".parse().unwrap()).unwrap(), &key).unwrap();
    server.wait_for("the signed version", |server| server.get("/v2/models/fashion-lite/ready").status == 200);
}

#[test]
fn without_a_zoo_the_built_in_model_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tests::command("zoo", dir.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--json"]).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains('}') {
        assert!(std::io::BufRead::read_line(&mut said, &mut text).unwrap() > 0, "{text}");
    }
    let url = serde_json::from_str::<Value>(&text).unwrap()["url"].as_str().unwrap().to_owned();
    let ready = || ureq::get(format!("{url}/v2/models/mnist-robust/ready")).call().is_ok();
    let served = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        ready()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(served);
}

#[test]
fn bad_options_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, expected) in [
        (vec!["--listen", taken.as_str()], taken.as_str()),
        (vec!["--zoo", "nowhere"], "nowhere/models: not found"),
        (vec!["--token-file", "empty"], "empty: expected a token"),
        (vec!["--token-file", "missing"], "missing"),
        (vec!["--max-queue", "0"], "--max-queue 0"),
        (vec!["--max-connections", "99999999999999"], "--max-connections 99999999999999"),
        (vec!["--max-body", "4096"], "--max-body 4096"),
        (vec!["--timeout=-1"], "--timeout -1"),
        (vec!["--timeout", "0"], "--timeout 0"),
        (vec!["--poll", "inf"], "--poll inf"),
        (vec!["--tls-cert", "empty", "--tls-key", "empty"], "empty"),
    ] {
        let outcome = run("zoo", dir.path(), [&["serve"], &arguments[..]].concat());
        tests::assert_refused(&format!("{arguments:?}"), &outcome, &[expected]);
    }
}
