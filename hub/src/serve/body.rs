//! Bodies of requests and answers: how much of them may be in memory, and for how long.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Problem;
use super::options::Limits;
use super::state::Server;

/// Of the rest of a body, so many times the longest one allowed are read and thrown away.
const DISCARDED: u64 = 4;
/// For no longer than this.
const LINGER: Duration = Duration::from_secs(1);

/// What a route leaves of a body.
pub(super) struct Rest(Option<Arc<Shared>>);

struct Shared {
    body: Mutex<Body>,
    /// Whether its client sends it now: it was asked to, or did not ask whether to (`Expect`).
    is_sent: AtomicBool,
}

impl Rest {
    /// A request whose body may be left before its end.
    pub(super) fn of(request: Request) -> (Request, Rest) {
        if request.body().is_end_stream() {
            return (request, Rest(None));
        }
        let (head, body) = request.into_parts();
        let is_sent = AtomicBool::new(!head.headers.contains_key(header::EXPECT));
        let shared = Arc::new(Shared { body: Mutex::new(body), is_sent });
        (Request::from_parts(head, Body::new(Lent(Arc::clone(&shared)))), Rest(Some(shared)))
    }

    /// Reads what nobody wants to its end, if that is near. Most clients send everything before they look at the answer, and
    /// would only see a broken connection.
    pub(super) async fn discard(self, limits: &Limits) {
        let Some(Shared { body, is_sent }) = self.0.and_then(Arc::into_inner) else { return };
        // Who waits for a word before sending gets the answer instead.
        if is_sent.into_inner() {
            discard(body.into_inner().unwrap_or_else(PoisonError::into_inner), limits.body_bytes).await;
        }
    }
}

/// A body in the hands of a route.
struct Lent(Arc<Shared>);

impl Lent {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.is_sent.store(true, Ordering::Relaxed);
        Pin::new(&mut *self.body()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

/// Reads on and keeps nothing, for a while.
async fn discard(body: Body, most: usize) {
    let most = DISCARDED.saturating_mul(most as u64);
    if body.is_end_stream() || body.size_hint().lower() > most {
        return;
    }
    let (mut body, mut left) = (Receiving::new(body), most);
    let read = async {
        while let Some(Ok(data)) = body.next().await {
            left = left.saturating_sub(data.len() as u64);
            if left == 0 {
                break;
            }
        }
    };
    // What has not come by then is not waited for.
    let _ = tokio::time::timeout(LINGER, read).await;
}

/// An answer during which something is held: room, or a place among the requests.
pub(super) fn holding<T: Send + Unpin + 'static>(response: Response, held: T) -> Response {
    response.map(|body| Body::new(Holding { body, _held: held }))
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body in memory, and the room that it takes: an extractor.
///
/// Bodies that are too long, late or strangely encoded are refused (413, 408, 415), and those for which there is
/// no room (503); gzip and deflate are undone. All bodies together share the room; a slow sender takes only as much as it has sent.
pub(super) struct BoundedBody {
    pub(super) bytes: Vec<u8>,
    /// To be kept for as long as what was in the body is.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl BoundedBody {
    /// Takes room for a copy of the whole.
    pub(super) fn reserve_copy(&mut self, server: &Server) -> Result<(), Problem> {
        take(&mut self.room, self.bytes.len(), &server.body_room)
    }
}

impl FromRequest<Arc<Server>> for BoundedBody {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<BoundedBody, Problem> {
        let (coding, body) = receive(request, &server.limits, &server.body_room).await?;
        if let Coding::Identity = coding {
            return Ok(body);
        }
        let (most, room) = (server.limits.body_bytes, Arc::clone(&server.body_room));
        server.heavy(move || coding.decode(&body, most, &room)).await?
    }
}

async fn receive(
    request: Request,
    limits: &Limits,
    room: &Arc<Semaphore>,
) -> Result<(Coding, BoundedBody), Problem> {
    let (head, body) = request.into_parts();
    let mut codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
    let coding = Coding::of(codings.next())?;
    if codings.next().is_some() {
        let message = "Content-Encoding twice; expected one coding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned()));
    }
    let most = limits.body_bytes;
    let announced = body.size_hint().lower();
    let late = |_| {
        let message = format!("the body did not arrive within {:?}", limits.timeout);
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, message))
    };
    let mut body = Receiving::new(body);
    let collected = tokio::time::timeout(limits.timeout, body.collect(most, announced, room)).await;
    collected.unwrap_or_else(late)?;
    Ok((coding, BoundedBody { bytes: body.bytes, room: body.taken }))
}

/// How a body is compressed.
#[derive(Clone, Copy)]
enum Coding {
    Identity,
    Gzip,
    /// zlib's format, which HTTP calls so (RFC 9110, 8.4.1.2).
    Deflate,
}

impl Coding {
    fn of(value: Option<&HeaderValue>) -> Result<Coding, Problem> {
        // Any case of letters (RFC 9110, 8.4.1).
        let name = value.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
        match name.as_deref() {
            None | Some("" | "identity") => Ok(Coding::Identity),
            Some("gzip" | "x-gzip") => Ok(Coding::Gzip),
            Some("deflate") => Ok(Coding::Deflate),
            Some(name) => {
                let message = format!("content-encoding {name:?}, expected gzip, deflate or none");
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
            }
        }
    }

    /// What was compressed, which has the limits of a body that was not.
    fn decode(self, body: &BoundedBody, most: usize, room: &Arc<Semaphore>) -> Result<BoundedBody, Problem> {
        let compressed = body.bytes.as_slice();
        match self {
            Coding::Gzip => {
                let mut reader = GzDecoder::new(compressed);
                let decoded = decompress(&mut reader, most, room)?;
                at_end(reader.into_inner(), decoded)
            }
            Coding::Deflate => {
                let mut reader = ZlibDecoder::new(compressed);
                let decoded = decompress(&mut reader, most, room)?;
                at_end(reader.into_inner(), decoded)
            }
            Coding::Identity => unreachable!("a body that is not compressed is not decoded"),
        }
    }
}

fn decompress(reader: &mut impl Read, most: usize, room: &Arc<Semaphore>) -> Result<BoundedBody, Problem> {
    let (mut bytes, mut taken) = (Vec::new(), None);
    loop {
        // Room is taken before memory is.
        take(&mut taken, PIECE, room)?;
        let count = reader.take(PIECE as u64).read_to_end(&mut bytes);
        let count = count
            .map_err(|e| Problem::bad_request(format!("the body is not intact compressed data: {e}")))?;
        if bytes.len() > most {
            return Err(too_long(most));
        }
        if count < PIECE {
            return Ok(BoundedBody { bytes, room: taken });
        }
    }
}

fn at_end(rest: &[u8], decoded: BoundedBody) -> Result<BoundedBody, Problem> {
    if rest.is_empty() {
        return Ok(decoded);
    }
    Err(Problem::bad_request(format!("{} bytes after the end of the compressed data", rest.len())))
}

/// Bytes that are decompressed at a time.
const PIECE: usize = 256 << 10;

/// Takes room for more bytes.
fn take(
    taken: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
    room: &Arc<Semaphore>,
) -> Result<(), Problem> {
    let size = u32::try_from(bytes).expect("a piece is no longer than the longest body, of 2 GiB");
    let no_room = |_| Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "no room for more request bodies");
    let more = Arc::clone(room).try_acquire_many_owned(size).map_err(no_room)?;
    match taken {
        Some(taken) => taken.merge(more),
        None => *taken = Some(more),
    }
    Ok(())
}

fn too_long(most: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes"))
}

struct Receiving {
    body: Body,
    bytes: Vec<u8>,
    /// The room that `bytes` take.
    taken: Option<OwnedSemaphorePermit>,
}

impl Receiving {
    fn new(body: Body) -> Receiving {
        Receiving { body, bytes: Vec::new(), taken: None }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await?;
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers say nothing here.
                Ok(Err(_)) => continue,
                Err(error) => return Some(Err(Problem::bad_request(format!("the body broke off: {error}")))),
            }
        }
    }

    async fn collect(&mut self, most: usize, announced: u64, room: &Arc<Semaphore>) -> Result<(), Problem> {
        if announced > most as u64 {
            return Err(too_long(most));
        }
        // Pages that nothing is written to take no memory.
        self.bytes.reserve_exact(announced as usize);
        while let Some(data) = self.next().await {
            let data = data?;
            if self.bytes.len() + data.len() > most {
                return Err(too_long(most));
            }
            take(&mut self.taken, data.len(), room)?;
            self.bytes.extend_from_slice(&data);
        }
        Ok(())
    }
}
