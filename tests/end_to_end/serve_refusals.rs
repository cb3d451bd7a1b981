//! Who is refused gets the answer, whatever was still on its way, and is counted.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::{Server, root};

/// Clients that send everything before they read, as most do, of more than the system holds for them.
#[test]
fn an_answer_comes_to_whoever_sends_a_long_body() {
    let server = Server::start(&root().join("zoo"), &[]);
    let body = vec![b'x'; 6 << 20];
    for (start, headers, status) in [
        ("POST /nowhere", "", "404"),
        ("PUT /predict", "", "405"),
        ("POST /v2", "", "405"),
        ("GET /v2", "", "200"),
        ("POST /v2/models/%ff/infer", "", "400"),
        ("POST /v2/models/none/infer", "", "404"),
        ("POST /v2/models/mnist-lite/infer", "content-encoding: br\r\n", "415"),
        ("POST /v2/models/mnist-lite/infer", "content-encoding: gzip\r\ncontent-encoding: gzip\r\n", "415"),
        ("POST /v2/repository/models/mnist-lite/unload", "", "401"),
        ("POST /predict?model=mnist-lite", "", "400"),
    ] {
        for _ in 0..3 {
            let mut stream = server.connect();
            let length = body.len();
            let head =
                format!("{start} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let sent = stream.write_all(&body);
            assert!(sent.is_ok(), "{start}: {sent:?}");
            let mut answer = [0; 12];
            let read = stream.read_exact(&mut answer);
            assert!(read.is_ok(), "{start}: {read:?}");
            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{start} {headers}");
        }
    }
}

/// Who asks first whether to send a body gets the refusal, and does not send it.
#[test]
fn who_waits_before_a_long_body_is_not_told_to_go_on() {
    let server = Server::start(&root().join("zoo"), &[]);
    for (start, status) in
        [("POST /nowhere", "404"), ("PUT /predict", "405"), ("POST /v2/models/%ff/infer", "400")]
    {
        let mut stream = server.connect();
        let head = format!(
            "{start} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 6000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{start}");
    }
}

#[test]
fn requests_that_lead_nowhere_are_counted() {
    let server = Server::start(&root().join("zoo"), &[]);
    for path in ["/nowhere", "/v3", "/v2/models/mnist-lite/nothing/at/all"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("infer_requests_total{route=\"unknown\",code=\"404\"} 3"), "{metrics}");
}

/// The terminal of a server is closed: it ends as it does by SIGTERM, unless `nohup` started it.
#[test]
fn a_closed_terminal_stops_a_server_in_order() {
    let zoo = root().join("zoo");
    let mut server = Server::start(&zoo, &[]);
    server.signal("HUP");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(server.log().contains("stopped"), "{}", server.log());

    let mut nohup = Command::new("nohup");
    nohup.arg(tests::command("zoo", &zoo).get_program());
    nohup.args(["serve", "--listen", "127.0.0.1:0", "--zoo"]).arg(&zoo);
    let mut child = nohup.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    let sent = Command::new("kill").args(["-s", "HUP", &child.id().to_string()]).status().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(sent.success() && ended.is_none(), "{ended:?}");
}
