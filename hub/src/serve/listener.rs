//! Connections: accepting, time limits, and closing without dropping requests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::any_service;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower_http::set_header::SetResponseHeaderLayer;

use super::certificates::Certificates;
use super::error::Problem;
use super::state::Server;

/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Answer to a connection too many.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 36\r\n\r\n{\"error\":\"too many connections now\"}";

/// Serves connections until `stop` is done; then lets those that have a request finish it.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Certificates>>,
    router: Router,
    server: Arc<Server>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let accepting = Accepting {
        places: Arc::new(Semaphore::new(server.limits.connections)),
        probes: Arc::new(Semaphore::new(PROBES)),
        tls,
        probe_router: probes(&router),
        router,
        server: Arc::clone(&server),
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => accepting.take(stream, &graceful),
            Err(error) => {
                // Out of file descriptors, or the client is gone: others go on.
                server.metrics.refuse("system");
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    accepting.take_rest(listener, &graceful).await;
    let limit = server.limits.drain;
    tracing::info!(open = graceful.count(), "stopping: open requests are finished");
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!(?limit, "connections were cut off");
    }
}

/// Connections beyond the limit that may ask whether the server lives: whoever takes all others must not have it
/// restarted.
const PROBES: usize = 64;
/// How long such a connection may take.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// What new connections need.
struct Accepting {
    places: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    tls: Option<Arc<Certificates>>,
    router: Router,
    /// For connections that may only ask for health.
    probe_router: Router,
    server: Arc<Server>,
}

impl Accepting {
    /// Takes the connections that are being made, which closing would break, and closes.
    async fn take_rest(&self, listener: TcpListener, graceful: &GracefulShutdown) {
        refuse_new(&listener);
        let Ok(listener) = listener.into_std() else { return };
        let end = tokio::time::Instant::now() + HANDSHAKE_TIME;
        loop {
            // The runtime does not tell of all of them at once; the system does.
            while let Ok((stream, _)) = listener.accept() {
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = stream {
                    self.take(stream, graceful);
                }
            }
            if tokio::time::Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn take(&self, stream: TcpStream, graceful: &GracefulShutdown) {
        let (place, is_probe) = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => (place, false),
            Err(_) => {
                self.server.metrics.refuse("connections");
                match Arc::clone(&self.probes).try_acquire_owned() {
                    Ok(place) => (place, true),
                    Err(_) => return refuse(stream, self.tls.is_some()),
                }
            }
        };
        let router = if is_probe { &self.probe_router } else { &self.router }.clone();
        let timeout = if is_probe { PROBE_TIME } else { self.server.limits.timeout };
        let tls = self.tls.as_ref().map(|certificates| certificates.acceptor());
        let connection = Connection { tls, router, server: Arc::clone(&self.server), timeout, is_probe };
        tokio::spawn(connection.run(stream, place, graceful.watcher()));
    }
}

/// How long a handshake may take that has begun.
const HANDSHAKE_TIME: Duration = Duration::from_millis(500);

/// From here on, the system passes over whoever asks for a connection (a packet with the flag SYN, RFC 9293, 3.1), and
/// finishes the handshakes that have begun. Whoever was passed over asks again a second later, and learns that nobody
/// listens; without this, the last to connect would be cut off with a request under way. Where the system cannot do
/// that, it stays a matter of microseconds.
#[cfg(target_os = "linux")]
fn refuse_new(listener: &TcpListener) {
    use socket2::SockFilter;
    // Berkeley packet filter: load the byte of the flags; with SYN take 0 bytes of the packet, else all.
    let program = [
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x45, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    if let Err(error) = SockRef::from(listener).attach_filter(&program) {
        tracing::debug!(%error, "new connections cannot be passed over");
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_new(_: &TcpListener) {}

/// Answers what asks for health, and refuses all else.
fn probes(router: &Router) -> Router {
    let refused = || async {
        let mut answer =
            Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "too many connections now").into_response();
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        answer
    };
    let close = SetResponseHeaderLayer::overriding(header::CONNECTION, HeaderValue::from_static("close"));
    let all = || any_service(router.clone());
    let health = Router::new().route("/v2/health/live", all()).route("/v2/health/ready", all());
    health.layer(close).fallback(refused)
}

/// Says so in plain HTTP; a TLS client only sees its connection closed.
fn refuse(mut stream: TcpStream, tls: bool) {
    if !tls {
        tokio::spawn(async move {
            // The client may not listen.
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(TOO_MANY)).await;
            let _ = stream.shutdown().await;
        });
    }
}

struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    server: Arc<Server>,
    timeout: Duration,
    is_probe: bool,
}

/// How long the head of a request may take on a connection that was made while the server stops.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(2);
/// Bytes of an answer that the system takes at a time. It asks for more when a third of it is sent: with the megabytes
/// that it would take by itself, a client of 80 kB/s would seem to read nothing within the time limit.
const SEND_BUFFER: usize = 192 << 10;

impl Connection {
    async fn run(self, stream: TcpStream, _place: OwnedSemaphorePermit, watcher: Watcher) {
        self.server.metrics.connections.inc();
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        // Where the system refuses, it keeps its own size.
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.timeout));
        let stream = Box::pin(stream);
        let whole = async {
            match &self.tls {
                None => self.http(stream, watcher).await,
                Some(tls) => match tokio::time::timeout(self.timeout, tls.accept(stream)).await {
                    Ok(Ok(stream)) => self.http(stream, watcher).await,
                    Ok(Err(error)) => Err(error.into()),
                    Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                },
            }
        };
        let outcome = match self.is_probe {
            false => whole.await,
            true => tokio::time::timeout(2 * PROBE_TIME, whole).await.unwrap_or(Ok(())),
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "a connection ended early");
        }
        self.server.metrics.connections.dec();
    }

    async fn http<S>(
        &self,
        stream: S,
        watcher: Watcher,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let is_last = self.server.is_stopping();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(if is_last { FIRST_HEAD_TIME.min(self.timeout) } else { self.timeout })
            .max_header_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router.clone()));
        if !is_last {
            return Ok(watcher.watch(connection).await?);
        }
        // Told to stop, it would close before it reads anything; its first answer closes it anyway. It is waited for
        // all the same.
        let outcome = connection.await;
        drop(watcher);
        Ok(outcome?)
    }
}
