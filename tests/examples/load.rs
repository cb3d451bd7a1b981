//! A server under steady load for a minute, while versions are published and damaged, and then told to stop: how many
//! requests were answered, and how many of those that were sent were not.
//!
//! `cargo run -p tests --example load -- PROGRAM [SECONDS]`, with `zoo` as PROGRAM (`make server`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use zoo::Zoo;

/// Connections, below the server's limits.
const CLIENTS: usize = 64;

/// A request with a binary tensor.
fn request() -> Vec<u8> {
    let json = r#"{"inputs":[{"name":"image","shape":[1,1,28,28],"datatype":"UINT8","parameters":{"binary_data_size":784}}],"parameters":{"binary_data_output":true}}"#;
    let head = format!(
        "POST /v2/models/mnist-lite/infer HTTP/1.1\r\nhost: localhost\r\ninference-header-content-length: {}\r\ncontent-length: {}\r\n\r\n",
        json.len(),
        json.len() + 784
    );
    [head.as_bytes(), json.as_bytes(), &[7; 784]].concat()
}

/// Reads one answer; its status, and whether it is the connection's last. `None` if none came.
fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(bool, bool)> {
    buffer.clear();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            if buffer.len() >= end + 4 + length.parse::<usize>().ok()? {
                return Some((head.starts_with("HTTP/1.1 200"), head.contains("connection: close")));
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => buffer.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    other_status: AtomicU64,
    lost: AtomicU64,
    /// Microseconds of every hundredth answer.
    times: Mutex<Vec<u64>>,
}

/// Asks until it cannot connect any more.
fn client(address: &str, stop: &AtomicBool, counts: &Counts) {
    let (message, mut buffer, mut kept) = (request(), Vec::new(), None);
    while !stop.load(Relaxed) {
        let stream = kept.take().map_or_else(|| TcpStream::connect(address), Ok);
        // Whoever cannot connect has sent nothing.
        let Ok(mut stream) = stream else { return };
        let _ = (stream.set_nodelay(true), stream.set_read_timeout(Some(Duration::from_secs(20))));
        let start = Instant::now();
        let sent = stream.write_all(&message).is_ok();
        match read_answer(&mut stream, &mut buffer).filter(|_| sent) {
            None => drop(counts.lost.fetch_add(1, Relaxed)),
            Some((is_good, is_last)) => {
                let count = if is_good { &counts.answered } else { &counts.other_status };
                if count.fetch_add(1, Relaxed) % 100 == 0
                    && let Ok(mut times) = counts.times.lock()
                {
                    times.push(start.elapsed().as_micros() as u64);
                }
                kept = (!is_last).then_some(stream);
            }
        }
    }
}

/// Publishes a version every few seconds, and damages every second one.
fn publish(zoo: &Zoo, from: &Path, stop: &AtomicBool) -> zoo::Result<u32> {
    let mut published = 0;
    while !stop.load(Relaxed) {
        let version = zoo.publish("mnist-lite", |folder, number| -> zoo::Result<()> {
            tests::copy_dir(from, folder).map_err(zoo::Error::io(folder))?;
            let path = folder.join(zoo::MANIFEST);
            let text = std::fs::read_to_string(&path).map_err(zoo::Error::io(&path))?;
            let text = text.replace("\nversion: 2\n", &format!("\nversion: {number}\n"));
            std::fs::write(&path, text).map_err(zoo::Error::io(&path))
        })?;
        published += 1;
        if published % 2 == 0 {
            let onnx = version.path.join(zoo::ONNX);
            std::fs::write(&onnx, "damaged").map_err(zoo::Error::io(&onnx))?;
        }
        std::thread::sleep(Duration::from_secs(3));
    }
    Ok(published)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let program = PathBuf::from(arguments.next().ok_or("expected the program `zoo`")?);
    let seconds = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let from = tests::root().join("zoo/models/mnist-lite/2");
    tests::copy_dir(&from, &dir.path().join("models/mnist-lite/2"))?;
    let zoo = Zoo::open(dir.path())?;
    let mut server = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--poll", "0.5", "--log-level", "error", "--zoo"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening on http://").ok_or(line.clone())?.to_owned();
    while !tests::read_all({
        let mut stream = TcpStream::connect(&address)?;
        write!(stream, "GET /v2/health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        stream
    })
    .starts_with("HTTP/1.1 200")
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (stop, publishing, counts) = (AtomicBool::new(false), AtomicBool::new(false), Counts::default());
    let published = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| client(&address, &stop, &counts));
        }
        let publisher = scope.spawn(|| publish(&zoo, &from, &publishing));
        std::thread::sleep(Duration::from_secs(seconds));
        let _ = Command::new("kill").arg(server.id().to_string()).status();
        publishing.store(true, Relaxed);
        publisher.join()
    });
    let published = published.map_err(|_| "the publisher failed")??;
    let status = server.wait()?;
    let mut times = counts.times.into_inner().map_err(|e| e.to_string())?;
    times.sort_unstable();
    let at =
        |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0) as f64 / 1000.0;
    let (answered, other, lost) =
        (counts.answered.into_inner(), counts.other_status.into_inner(), counts.lost.into_inner());
    println!(
        "{answered} answered, {other} with another status, {lost} lost; median {:.2} ms, 99 % {:.2} ms; {published} versions published; exit {:?}",
        at(0.5),
        at(0.99),
        status.code()
    );
    if lost + other > 0 { Err("requests were lost".into()) } else { Ok(()) }
}
