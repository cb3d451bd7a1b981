//! What `zoo serve` does with clients that are broken, slow or hostile: the right status, no
//! panic, bounded memory, and everybody else served as before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Server, read_all, root};

const INFER: &str = "/v2/models/mnist-lite/infer";
const IMAGE: usize = 28 * 28;

fn server(arguments: &[&str]) -> Server {
    Server::start(&root().join("zoo"), arguments)
}

/// The server is as it was.
fn assert_well(server: &Server) {
    let request = json!({ "inputs": [input(json!([1, 1, 28, 28]), json!(vec![0; IMAGE]))] });
    assert_eq!(server.post(INFER, request.to_string().as_bytes()).status, 200);
    assert!(!server.log().contains("panic"), "{}", server.log());
    let peak = server.peak_memory();
    assert!(peak < 400, "{peak} MiB");
}

fn input(shape: Value, data: Value) -> Value {
    json!({ "name": "image", "shape": shape, "datatype": "UINT8", "data": data })
}

fn error(status: u16, answer: &tests::Answer) -> String {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    body["error"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[test]
fn bodies_that_are_too_long() {
    let server = server(&["--max-body", "1"]);
    let message = error(413, &server.post(INFER, &vec![b' '; (1 << 20) + 1]));
    assert!(message.contains("more than 1048576 bytes"), "{message}");
    // Announced, never sent: refused at once.
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999999999\r\n\r\n");
    assert!(server.raw(head.as_bytes()).starts_with("HTTP/1.1 413 "));
    // Not announced.
    let mut request =
        format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
            .into_bytes();
    for _ in 0..3 {
        request.extend(format!("{:x}\r\n", 1 << 19).bytes());
        request.extend(vec![b' '; 1 << 19]);
        request.extend(b"\r\n");
    }
    assert!(server.raw(&request).starts_with("HTTP/1.1 413 "));
    let long_head = format!("GET /v2 HTTP/1.1\r\nhost: localhost\r\na: {}\r\n\r\n", "a".repeat(100 << 10));
    assert!(server.raw(long_head.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert_well(&server);
}

#[test]
fn slow_clients_are_cut_off() {
    let server = server(&["--timeout", "1"]);
    let start = Instant::now();
    // Heads that never end: dropped together, while others are served.
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /v2 HTTP/1.1\r\nhost: localhost\r\na").unwrap();
            stream
        })
        .collect();
    assert_well(&server);
    // A byte now and then does not help.
    let mut dripping = server.connect();
    let dropped = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        dripping.write_all(b"G").is_err()
    });
    assert!(dropped);
    for stream in slow {
        let said = read_all(stream);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    // A body that never ends.
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{{");
    let said = server.raw(head.as_bytes());
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    // A connection that says nothing after an answer.
    let mut idle = server.connect();
    idle.write_all(b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert!(read_all(idle).starts_with("HTTP/1.1 200 "));
    assert_well(&server);
}

#[test]
fn requests_that_make_no_sense() {
    let server = server(&[]);
    let image = json!(vec![0; IMAGE]);
    let one = json!([1, 1, 28, 28]);
    let with = |field: &str, value: Value| {
        let mut input = input(one.clone(), image.clone());
        input[field] = value;
        json!({ "inputs": [input] }).to_string()
    };
    let deep = format!("{{\"inputs\":[{{\"name\":\"image\",\"data\":{}", "[".repeat(100_000));
    for (body, expected) in [
        (String::new(), "EOF"),
        ("{".into(), "EOF"),
        ("[]".into(), "expected an object with `inputs`"),
        ("null".into(), "expected an object with `inputs`"),
        ("\u{0}\u{1}".into(), "expected value"),
        (deep, "recursion limit"),
        (json!({ "inputs": [] }).to_string(), "0 inputs"),
        (
            json!({ "inputs": [input(one.clone(), image.clone()), input(one.clone(), image.clone())] })
                .to_string(),
            "2 inputs",
        ),
        (with("name", json!("picture")), "input name \"picture\""),
        (with("datatype", json!("FP32")), "input datatype \"FP32\""),
        (with("shape", json!([1, 28, 28])), "expected [N, 1, 28, 28]"),
        (with("shape", json!([0, 1, 28, 28])), "N from 1"),
        (with("shape", json!([-1, 1, 28, 28])), "found -1, expected a whole number"),
        (with("shape", json!([2, 1, 28, 28])), "784 values"),
        (with("shape", json!([1u64 << 62, 1, 28, 28])), "784 values"),
        (with("shape", json!([u64::MAX, u64::MAX, u64::MAX, u64::MAX])), "expected [N, 1, 28, 28]"),
        (with("shape", json!(vec![1; 10_000])), "more than 8"),
        (with("data", json!(vec![0; IMAGE - 1])), "783 values"),
        (with("data", json!(vec![256; IMAGE])), "256, expected 0 to 255"),
        (with("data", json!(vec![-1; IMAGE])), "found -1"),
        (with("data", json!(vec![0.5; IMAGE])), "found 0.5"),
        (with("data", json!("0")), "expected a list"),
        (with("data", json!([[["a"]]])), "found \"a\""),
        (with("data", Value::Null), "neither `data` nor `binary_data_size`"),
        (with("parameters", json!({ "binary_data_size": IMAGE })), "both"),
        (
            json!({ "inputs": [input(one.clone(), image.clone())], "outputs": [{ "name": "x" }] })
                .to_string(),
            "output \"x\"",
        ),
    ] {
        let message = error(400, &server.post(INFER, body.as_bytes()));
        assert!(message.contains(expected), "{:.60}: {message}", body);
    }
    let mut binary = input(one, Value::Null);
    binary["parameters"] = json!({ "binary_data_size": 1u64 << 40 });
    let message = error(400, &server.post_binary(INFER, &json!({ "inputs": [binary] }), &[0; IMAGE]));
    assert!(message.contains("784 bytes after the JSON, expected 1099511627776"), "{message}");
    for length in ["x", "-1", "99999999", "99999999999999999999999"] {
        let head = format!(
            "POST {INFER} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ninference-header-content-length: {length}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        assert!(server.raw(head.as_bytes()).starts_with("HTTP/1.1 400 "), "{length}");
    }
    for garbage in ["\r\n\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}", "GET /v2 HTTP/9.9\r\n\r\n"] {
        let said = server.raw(&[garbage.as_bytes(), &[0; 100]].concat());
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{garbage:?}: {said}");
    }
    assert_eq!(server.get(INFER).status, 405);
    assert_well(&server);
}

#[test]
fn images_that_are_none() {
    let server = server(&[]);
    let seven = std::fs::read(root().join("docs/seven.png")).unwrap();
    for end in [0, 1, 8, 20, 40, seven.len() / 2] {
        error(400, &server.post("/predict?model=mnist-lite", &seven[..end]));
    }
    // A small file that says it is a very large picture.
    let mut bomb = seven.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    for _ in 0..20 {
        let message = error(400, &server.post("/predict?model=mnist-lite", &bomb));
        assert!(message.contains("memory") || message.contains("imit"), "{message}");
    }
    error(400, &server.post("/predict?model=mnist-lite", b"<svg xmlns='http://www.w3.org/2000/svg'/>"));
    assert_well(&server);
}

/// Valid, small as files, as large as is allowed when decoded.
#[test]
fn images_that_become_large() {
    let server = server(&["--threads", "2"]);
    let png = |image: image::GrayImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let square = png(image::GrayImage::from_fn(8192, 8192, |x, y| {
        image::Luma([if (2000..6000).contains(&x) && (2000..6000).contains(&y) { 0 } else { 255 }])
    }));
    let strip = png(image::GrayImage::from_fn(16_384, 2, |x, _| {
        image::Luma([if x % 16_383 == 0 { 255 } else { 0 }])
    }));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(server.post("/predict?model=mnist-lite", &square).status, 200));
            scope.spawn(|| {
                assert_eq!(server.post("/predict?model=mnist-lite&explain=true", &strip).status, 200)
            });
        }
    });
    assert_well(&server);
}

/// Clients that ask for much and read the first line: some 800 MB if all of it were kept for them.
/// How much of that the system takes off the server's hands is up to the system.
#[test]
fn answers_that_nobody_reads() {
    let server = server(&["--timeout", "60"]);
    let mut asked: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = server.connect();
            stream
                .write_all(b"GET /models/fashion-cnn/2/model.onnx HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    let statuses: Vec<String> = asked
        .iter_mut()
        .map(|stream| {
            let mut line = [0; 12];
            stream.read_exact(&mut line).unwrap();
            String::from_utf8_lossy(&line).into_owned()
        })
        .collect();
    let count = |line: &str| statuses.iter().filter(|status| *status == line).count();
    let (sent, refused) = (count("HTTP/1.1 200"), count("HTTP/1.1 503"));
    assert!(sent >= 4 && sent + refused == 60, "{statuses:?}");
    assert_well(&server);
    drop(asked);
    server.wait_for("room", |server| server.get("/models/fashion-cnn/2/model.onnx").status == 200);
    assert_well(&server);
}

#[test]
fn what_a_client_sent_is_not_repeated_at_length() {
    let server = server(&[]);
    let long = "\u{7f}".repeat(3 << 20);
    let many = vec![json!({ "name": "" }); 200_000];
    let image = json!(vec![0; IMAGE]);
    for body in [
        json!({ "inputs": [{ "name": long, "shape": [], "datatype": "" }] }),
        json!({ "inputs": [{ "name": "image", "shape": long, "datatype": "" }] }),
        json!({ "id": long, "inputs": [input(json!([1, 1, 28, 28]), image.clone())] }),
        json!({ "inputs": many }),
        json!({ "inputs": [input(json!([1, 1, 28, 28]), image)], "outputs": many }),
    ] {
        let answer = server.post(INFER, body.to_string().as_bytes());
        assert!(
            answer.status == 400 && answer.body.len() < 10_000,
            "{} {}",
            answer.status,
            answer.body.len()
        );
    }
    assert_well(&server);
}

/// PNG's checksum (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[test]
fn names_that_lead_elsewhere() {
    let server = server(&[]);
    for name in
        ["..", "%2e%2e", "..%2f..%2fetc", "%2fetc%2fpasswd", "mnist-lite%2f1", "mnist-lite%00", "%ff%fe"]
    {
        for path in [
            format!("/v2/models/{name}"),
            format!("/v2/models/{name}/infer"),
            format!("/v2/models/mnist-lite/versions/{name}"),
            format!("/models/{name}/1/model.onnx"),
            format!("/models/mnist-lite/{name}/model.onnx"),
            format!("/models/mnist-lite/1/{name}"),
            format!("/models/mnist-lite/1/test_data_set_0/{name}/{name}/manifest.yaml"),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let said = server.raw(request.as_bytes());
            let status = said.get(9..12).unwrap_or_default();
            assert!(["400", "404", "405"].contains(&status), "{path}: {said}");
            assert!(!said.contains("root:"), "{path}: {said}");
        }
        if name.starts_with("%ff") {
            for path in
                ["/v2/models/{}", "/v2/models/{}/stats", "/models/{}/1/model.onnx", "/models/mnist-lite/1/{}"]
            {
                let message = error(400, &server.get(&path.replace("{}", name)));
                assert!(message.contains("UTF-8"), "{path}: {message}");
            }
        }
        let load = server.raw(
            format!("POST /v2/repository/models/{name}/load HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").as_bytes(),
        );
        assert!(load.starts_with("HTTP/1.1 40"), "{name}: {load}");
    }
    assert_well(&server);
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let server = server(&["--max-queue", "4", "--threads", "1"]);
    let request = json!({ "inputs": [input(json!([3, 1, 28, 28]), json!(vec![0; 3 * IMAGE]))] }).to_string();
    let answers: Vec<tests::Answer> = std::thread::scope(|scope| {
        let ask = || {
            (0..20)
                .map(|_| server.post("/v2/models/fashion-cnn/infer", request.as_bytes()))
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < answers.len(), "{} of {}", refused.len(), answers.len());
    for answer in refused {
        assert_eq!((answer.status, answer.retry_after.as_deref()), (429, Some("1")), "{}", answer.json());
    }
    let five = json!({ "inputs": [input(json!([5, 1, 28, 28]), json!(vec![0; 5 * IMAGE]))] });
    let message = error(413, &server.post(INFER, five.to_string().as_bytes()));
    assert!(message.contains("at most 4"), "{message}");
    assert_well(&server);
}

#[test]
fn too_many_requests_and_connections() {
    let server = server(&["--max-requests", "1", "--max-connections", "4"]);
    let slow = a_request_that_holds_the_only_place(&server);
    let refused = server.get("/v2");
    assert_eq!((refused.status, refused.retry_after.as_deref()), (503, Some("1")));
    assert_eq!(server.get("/v2/health/live").status, 200, "health is always answered");
    drop(slow);
    server.wait_for("the place to be free", |server| server.get("/v2").status == 200);
    let idle: Vec<_> = (0..4).map(|_| server.connect()).collect();
    std::thread::sleep(Duration::from_millis(100));
    let said = server.raw(b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 1"), "{said}");
    // And without a word when those places that are kept for health are taken too.
    let more: Vec<_> = (0..64).map(|_| server.connect()).collect();
    let said = read_all(server.connect());
    drop(more);
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 1"), "{said}");
    let length: usize =
        said.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    assert_eq!(said.split("\r\n\r\n").nth(1).unwrap().len(), length);
    drop(idle);
    server.wait_for("connections", |server| server.get("/v2").status == 200);
    assert_well(&server);
}

/// A request whose body never comes, once it has the place: the questions that find that out
/// need the place too, and while one has it the request itself is refused and sent again.
fn a_request_that_holds_the_only_place(server: &Server) -> TcpStream {
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n");
    let mut held = None;
    server.wait_for("the place to be taken", |server| {
        let slow: &mut TcpStream = held.get_or_insert_with(|| {
            let mut slow = server.connect();
            slow.write_all(head.as_bytes()).unwrap();
            slow.set_nonblocking(true).unwrap();
            slow
        });
        if slow.peek(&mut [0]).is_ok() {
            held = None;
            return false;
        }
        // More than once: a question's own place may be given back after its answer was read.
        (0..3).all(|_| server.get("/v2").status == 503)
    });
    held.unwrap()
}

/// Bodies that many clients send slowly take no more room than there is.
#[test]
fn bodies_share_their_room() {
    let server = server(&["--max-body", "8", "--timeout", "3"]);
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 8 << 20);
    let part = vec![b' '; (8 << 20) - 1];
    let statuses: Vec<String> = std::thread::scope(|scope| {
        let send = || {
            let mut stream = server.connect();
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.write_all(&part);
            read_all(stream).get(9..12).unwrap_or_default().to_owned()
        };
        let threads: Vec<_> = (0..40).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| ["408", "503", ""].contains(&status.as_str())), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "408"), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "503" || status.is_empty()), "{statuses:?}");
    assert_well(&server);
}
