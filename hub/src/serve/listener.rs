//! Connections: accepting, TLS, time limits, and closing without dropping requests.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::options::Limits;
use super::state::Server;

/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Answer to a connection too many.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 36\r\n\r\n{\"error\":\"too many connections now\"}";

/// Reads a certificate chain and its key, both PEM.
///
/// # Errors
/// Which file is wrong, and how.
pub(super) fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let wrong = |path: &Path, problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| wrong(certificate, &format!("not certificates in PEM: {e}")))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|e| wrong(key, &format!("not a private key in PEM: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| wrong(certificate, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves connections until `stop` is done; then lets those that have a request finish it.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    server: Arc<Server>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(server.limits.connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or the client is gone: others go on.
                server.metrics.refuse("system");
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            server.metrics.refuse("connections");
            refuse(stream, tls.is_some());
            continue;
        };
        let connection = Connection { tls: tls.clone(), router: router.clone(), server: Arc::clone(&server) };
        tokio::spawn(connection.run(stream, place, graceful.watcher()));
    }
    drop(listener);
    let limit = server.limits.drain;
    tracing::info!(open = graceful.count(), "stopping: open requests are finished");
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!(?limit, "connections were cut off");
    }
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
}

impl Connection {
    async fn run(self, stream: TcpStream, _place: OwnedSemaphorePermit, watcher: Watcher) {
        self.server.metrics.connections.inc();
        let limits = &self.server.limits;
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.timeout));
        let stream = Box::pin(stream);
        let outcome = match &self.tls {
            None => self.http(stream, watcher).await,
            Some(tls) => match tokio::time::timeout(limits.timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream, watcher).await,
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            },
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
        let Limits { timeout, .. } = self.server.limits;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_header_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router.clone()));
        Ok(watcher.watch(connection).await?)
    }
}
