//! From options to a running server, and to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::certificates::Certificates;
use super::error::Problem;
use super::options::Options;
use super::state::Server;
use super::{listener, middleware, routes};
use crate::error::{Error, Result};

/// Serves until SIGTERM, SIGINT or SIGHUP; `listening` is told the address once clients can connect.
///
/// # Errors
/// [`Error::Usage`] or [`Error::System`] if the certificate, the address or the zoo cannot be used.
pub fn serve(options: Options, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let tls = options.tls.as_ref().map(|(certificate, key)| Certificates::read(certificate, key));
    let tls = tls.transpose().map_err(Error::Usage)?.map(Arc::new);
    let Options { listen, poll, threads, .. } = options;
    let server = Arc::new(Server::new(options)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(Error::system("threads"))?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.map_err(Error::system(listen))?;
        let address = listener.local_addr().map_err(Error::system(listen))?;
        let stop = stop_signal().map_err(Error::system("signals"))?;
        let watching = tokio::spawn(watch(Arc::clone(&server), tls.clone(), poll));
        tracing::info!(%address, tls = tls.is_some(), "listening");
        listening(address);
        let stop = {
            let server = Arc::clone(&server);
            async move {
                stop.await;
                // First it says that it is not ready, and answers all the same: whoever sends requests here has to
                // notice before none are taken any more.
                server.stop();
                let delay = server.limits.shutdown_delay;
                tracing::info!(?delay, "stopping: not ready any more");
                tokio::time::sleep(delay).await;
            }
        };
        listener::serve(listener, tls, router(&server), server, stop).await;
        watching.abort();
        Ok(())
    });
    // Work whose client is gone is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("stopped");
    served
}

/// Looks through the zoo now and then, and whether there is a new certificate.
async fn watch(server: Arc<Server>, certificates: Option<Arc<Certificates>>, poll: Duration) {
    loop {
        let (server, certificates) = (Arc::clone(&server), certificates.clone());
        let look = move || {
            if let Some(certificates) = certificates {
                certificates.renew();
            }
            server.repository.scan();
        };
        if let Err(error) = tokio::task::spawn_blocking(look).await {
            tracing::error!(%error, "looking through the zoo failed");
        }
        tokio::time::sleep(poll).await;
    }
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // There is nothing to be read anew by it: zoo and certificate are looked at now and then.
    let mut hang_up =
        if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) };
    let hang_up = async move {
        match &mut hang_up {
            Some(hang_up) => hang_up.recv().await,
            None => std::future::pending().await,
        }
    };
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
            _ = hang_up => (),
        }
    })
}

/// Whether whoever started this program wants the signal ignored, as `nohup` does for that of a terminal that is closed.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

fn router(server: &Arc<Server>) -> Router {
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    // Nothing but what this server sends may run, be shown or be asked for by its pages.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
        connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let unknown = || async { Problem::new(StatusCode::NOT_FOUND, "no such route") };
    let wrong_method = || async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method") };
    let routes = routes::all().method_not_allowed_fallback(wrong_method).fallback(unknown);
    middleware::around(routes.layer(CatchPanicLayer::custom(panicked)), server)
        .layer((
            header(header::CONTENT_SECURITY_POLICY, policy),
            header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            header(header::CACHE_CONTROL, "no-store"),
            header(header::REFERRER_POLICY, "no-referrer"),
        ))
        .with_state(Arc::clone(server))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    use axum::response::IntoResponse;
    tracing::error!("a request made the program panic");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the program failed").into_response()
}
