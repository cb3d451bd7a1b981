//! `zoo serve` as a process, and a client for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::tls::{RootCerts, TlsConfig};

/// A running server, stopped when dropped.
pub struct Server {
    /// `http://127.0.0.1:...`.
    pub url: String,
    child: Child,
    log: Arc<Mutex<String>>,
    agent: ureq::Agent,
    /// Holds the administrator's token.
    _folder: tempfile::TempDir,
}

/// The administrator's token of every server here.
const ADMIN_TOKEN: &str = "administrator";

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, if there.
    pub retry_after: Option<String>,
    /// `Inference-Header-Content-Length`, if there.
    pub json_length: Option<usize>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Server {
    /// Starts `zoo serve` on a free port and waits until it is ready.
    pub fn start(zoo: &Path, arguments: &[&str]) -> Server {
        Server::start_with(zoo, arguments, TlsConfig::default())
    }

    /// The same over TLS, trusting these certificates.
    pub fn start_tls(zoo: &Path, arguments: &[&str], roots: RootCerts) -> Server {
        Server::start_with(zoo, arguments, TlsConfig::builder().root_certs(roots).build())
    }

    fn start_with(zoo: &Path, arguments: &[&str], tls: TlsConfig) -> Server {
        let mut command = crate::command("zoo", zoo);
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("no temporary folder: {e}"));
        let token = folder.path().join("token");
        std::fs::write(&token, ADMIN_TOKEN).unwrap_or_else(|e| panic!("{}: {e}", token.display()));
        command.args(["serve", "--listen", "127.0.0.1:0", "--poll", "0.1", "--zoo"]).arg(zoo);
        command.arg("--admin-token-file").arg(token);
        if !arguments.contains(&"--shutdown-delay") {
            command.args(["--shutdown-delay", "0"]);
        }
        command.args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("zoo does not start: {e}"));
        let log = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if let Ok(mut log) = log.lock() {
                        log.push_str(&line);
                        log.push('\n');
                    }
                }
            });
        }
        let mut line = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let url = line.trim().strip_prefix("listening on ").unwrap_or_default().to_owned();
        assert!(!url.is_empty(), "the server said {line:?} ({read:?})");
        let config = ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls);
        let agent = config.timeout_global(Some(Duration::from_secs(30))).build().into();
        let server = Server { url, child, log, agent, _folder: folder };
        server.wait_for("to be ready, or to have nothing to serve", |server| {
            let answer = server.get("/v2/health/ready");
            answer.status == 200 || answer.json()["reason"] == "no model can be served"
        });
        server
    }

    /// Waits up to 20 s.
    pub fn wait_for(&self, what: &str, mut condition: impl FnMut(&Server) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "waited for {what}; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Answer {
        answer(self.agent.get(format!("{}{path}", self.url)).call())
    }

    /// `GET path` with a bearer token.
    pub fn get_with_token(&self, path: &str, token: &str) -> Answer {
        let request = self.agent.get(format!("{}{path}", self.url));
        answer(request.header("Authorization", format!("Bearer {token}")).call())
    }

    /// `POST path`.
    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        answer(self.agent.post(format!("{}{path}", self.url)).send(body))
    }

    /// `POST path` with the administrator's token.
    pub fn post_as_administrator(&self, path: &str, body: &[u8]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.url));
        answer(request.header("Authorization", format!("Bearer {ADMIN_TOKEN}")).send(body))
    }

    /// `POST path` with tensors behind the JSON.
    pub fn post_binary(&self, path: &str, json: &Value, tensors: &[u8]) -> Answer {
        let json = json.to_string();
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.header("Inference-Header-Content-Length", json.len().to_string());
        answer(request.send([json.as_bytes(), tensors].concat()))
    }

    /// A connection without HTTP on it yet, that gives up reading after 20 s.
    pub fn connect(&self) -> TcpStream {
        let address = self.url.trim_start_matches("http://");
        let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        stream
    }

    /// Sends bytes as they are; returns all that comes until the server closes.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may refuse before it has read everything.
        let _ = stream.write_all(request);
        read_all(stream)
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// Most memory that the server had, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(u64::MAX) / 1024
    }

    /// Asks the server to stop, as systemd does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let mut kill = std::process::Command::new("kill");
        let status = kill.args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    /// Waits for its end; returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().ok().and_then(|status| status.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that comes on a connection until it is closed.
pub fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after an answer is as good as an end.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = response.unwrap_or_else(|e| panic!("no answer: {e}"));
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let (retry_after, length) = (header("retry-after"), header("inference-header-content-length"));
    let body = response
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_vec()
        .unwrap_or_else(|e| panic!("no body: {e}"));
    let json_length = length.and_then(|length| length.parse().ok());
    Answer { status: response.status().as_u16(), retry_after, json_length, body }
}
