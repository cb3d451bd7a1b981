//! `infer serve`: the models of a zoo over HTTP.
//!
//! | route | what |
//! |---|---|
//! | `/v2/...` | Open Inference Protocol v2, see `api` and `protocol` |
//! | `/predict`, `/models`, `/` | an image as it is, model cards, the page to draw on, see `page` |
//! | `/metrics` | OpenMetrics for Prometheus |
//!
//! A request goes through `guard` (permission and limits) to its route, and with its pixels to
//! the queue of `pool`. Which models there are is up to `repository`.

mod api;
mod body;
mod entry;
mod guard;
mod listener;
mod lists;
mod metrics;
mod model;
mod page;
mod pool;
mod protocol;
mod repository;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use zoo::Zoo;
use zoo::signature::PublicKey;

use crate::error::{Error, Result};
use guard::Problem;
use metrics::Metrics;
use model::Model;
use pool::Pool;
use repository::Repository;

/// What to serve, where, and within which limits.
pub struct Options {
    /// The zoo; `None` for the built-in model alone.
    pub zoo: Option<PathBuf>,
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain and private key, PEM; `None` for plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What clients must send as `Authorization: Bearer`; `None` lets everybody in.
    pub token: Option<String>,
    /// Serve only versions that this key signed.
    pub key: Option<PublicKey>,
    /// So many of the newest versions of each model are served, and those with an alias.
    pub versions: usize,
    /// How often to look for new versions.
    pub poll: Duration,
    /// Threads that classify.
    pub threads: usize,
    /// What is refused.
    pub limits: Limits,
}

/// Limits that keep memory and time bounded.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// All bodies being received or worked on, in bytes; as much again for files being sent.
    pub all_bodies_bytes: usize,
    /// Images that wait or are being classified.
    pub queue_images: usize,
    /// Requests at a time.
    pub requests: usize,
    /// Connections at a time.
    pub connections: usize,
    /// For a request's head, its body, its answer, and each write; an idle connection is closed after it.
    pub timeout: Duration,
    /// How long open requests may go on after the signal to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 4 << 20,
            all_bodies_bytes: 64 << 20,
            queue_images: 4096,
            requests: 256,
            connections: 512,
            timeout: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

/// What all requests share.
struct Server {
    repository: Repository,
    pool: Pool,
    metrics: Arc<Metrics>,
    token: Option<String>,
    limits: Limits,
    requests: Arc<Semaphore>,
    body_room: Arc<Semaphore>,
    file_room: Arc<Semaphore>,
    /// Work that needs much memory or time: as much at a time as there are threads that classify.
    heavy: Arc<Semaphore>,
    /// Held while a client has the zoo looked through.
    loading: Arc<tokio::sync::Mutex<()>>,
    stopping: AtomicBool,
}

impl Server {
    fn ready(&self) -> bool {
        self.repository.scanned() && !self.stopping.load(Ordering::Acquire)
    }

    /// What `future` gives, if that does not take too long.
    async fn in_time<F: Future>(&self, future: F) -> std::result::Result<F::Output, Problem> {
        let limit = self.limits.timeout;
        tokio::time::timeout(limit, future).await.map_err(|_| Problem::timeout(limit))
    }

    /// Does heavy work beside the threads that serve connections, when its turn comes in time.
    async fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        let turn = self.in_time(Arc::clone(&self.heavy).acquire_owned()).await?;
        aside(move || {
            // It goes on even if the client is gone.
            let _turn = turn;
            work()
        })
        .await
    }

    /// Probabilities `[N, classes]`, in time.
    async fn classify(&self, model: &Arc<Model>, pixels: Vec<u8>) -> std::result::Result<Vec<f32>, Problem> {
        let images = model.images_in(&pixels);
        match self.in_time(self.pool.classify(model, pixels)).await? {
            Ok(probabilities) => {
                self.metrics.images.get_or_create(&Metrics::of(model)).inc_by(images as u64);
                Ok(probabilities)
            }
            Err(refusal) => {
                if refusal == pool::Refusal::Busy {
                    self.metrics.refuse("queue");
                }
                Err(refusal.into())
            }
        }
    }
}

/// Serves until SIGTERM or SIGINT; `listening` is told the address once clients can connect.
///
/// # Errors
/// [`Error::Usage`] if the address, the certificate or the zoo cannot be used.
pub fn serve(options: Options, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let tls = options.tls.as_ref().map(|(certificate, key)| listener::tls(certificate, key));
    let tls = tls.transpose().map_err(Error::Usage)?;
    let zoo = options.zoo.as_deref().map(Zoo::open).transpose()?;
    let metrics = Arc::new(Metrics::new());
    let system = |what: &str, e: std::io::Error| Error::Usage(format!("{what}: {e}"));
    let threads = options.threads.max(1);
    let pool = Pool::start(threads, options.limits.queue_images, Arc::clone(&metrics));
    let limits = options.limits;
    let server = Arc::new(Server {
        repository: Repository::new(zoo, options.key, options.versions, Arc::clone(&metrics)),
        pool: pool.map_err(|e| system("threads", e))?,
        metrics,
        token: options.token,
        requests: Arc::new(Semaphore::new(limits.requests)),
        body_room: Arc::new(Semaphore::new(limits.all_bodies_bytes)),
        file_room: Arc::new(Semaphore::new(limits.all_bodies_bytes)),
        heavy: Arc::new(Semaphore::new(threads)),
        loading: Arc::default(),
        stopping: AtomicBool::new(false),
        limits,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|e| system("threads", e))?;
    let served = runtime.block_on(async {
        let at = |e| system(&options.listen.to_string(), e);
        let listener = TcpListener::bind(options.listen).await.map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        let stop = stop_signal().map_err(|e| system("signals", e))?;
        let watching = tokio::spawn(watch(Arc::clone(&server), options.poll));
        tracing::info!(%address, tls = tls.is_some(), "listening");
        listening(address);
        let stop = {
            let server = Arc::clone(&server);
            async move {
                stop.await;
                server.stopping.store(true, Ordering::Release);
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

/// Runs what may block where it blocks nobody.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::result::Result<T, Problem> {
    let failed = |e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a task failed: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// Looks through the zoo now and then.
async fn watch(server: Arc<Server>, poll: Duration) {
    loop {
        let server = Arc::clone(&server);
        if let Err(error) = tokio::task::spawn_blocking(move || server.repository.scan()).await {
            tracing::error!(%error, "looking through the zoo failed");
        }
        tokio::time::sleep(poll).await;
    }
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

fn router(server: &Arc<Server>) -> Router {
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    // Nothing but what this server sends may run, be shown or be asked for by its pages.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
        connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let unknown = || async { Problem::new(StatusCode::NOT_FOUND, "no such route") };
    let wrong_method = || async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method") };
    Router::new()
        .merge(api::routes())
        .merge(page::routes())
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .route_layer(from_fn_with_state(Arc::clone(server), guard::admit))
        .fallback(unknown)
        .layer(header(header::CONTENT_SECURITY_POLICY, policy))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::CACHE_CONTROL, "no-store"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .with_state(Arc::clone(server))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    use axum::response::IntoResponse;
    tracing::error!("a request made the program panic");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the program failed").into_response()
}
