//! Connections: accepted, encrypted, limited, and let go.
//!
//! HTTP/1.1 only: clients open several connections anyway, and one that is stuck holds up nobody else.

mod linger;
mod stall;
pub mod tls;

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{Response, StatusCode, header},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};

use self::{linger::Linger, stall::Stall, tls::Tls};

/// What answers requests.
pub trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request, client: SocketAddr) -> impl Future<Output = Response<Body>> + Send;
}

/// How connections are treated.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; others wait to be accepted.
    pub connections: usize,
    /// For a request's head to arrive, also while nothing is asked; for a client to take the next bytes; for TLS.
    pub patience: Duration,
    /// For requests to end when the server is to stop.
    pub farewell: Duration,
}

/// Serves until `stop` is told to, and then until the last request has ended or the time for that is over.
pub async fn serve<S: Service>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    service: Arc<S>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("never closed"),
            () = told(&mut stop) => break,
        };
        let (stream, client) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: others will be closed.
                    eprintln!("registry: cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = told(&mut stop) => break,
        };
        let (tls, service, limits, stop) = (tls.clone(), Arc::clone(&service), limits.clone(), stop.clone());
        tokio::spawn(async move {
            let _slot = slot;
            connection(stream, client, tls, service, limits, stop).await;
        });
    }
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    // Those that are left are cut off.
    let _ = timeout(limits.farewell, slots.acquire_many(all)).await;
}

/// Serves one connection. Its errors are the client's.
async fn connection<S: Service>(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<Arc<Tls>>,
    service: Arc<S>,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    match tls {
        None => requests(stream, client, service, limits, stop).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(limits.patience, tls.acceptor().accept(stream)).await {
                requests(stream, client, service, limits, stop).await;
            }
        }
    }
}

async fn requests<S: Service, T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    client: SocketAddr,
    service: Arc<S>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let service = Arc::clone(&service);
        async move {
            Ok::<_, Infallible>(match head_size(&request) > HEAD {
                true => too_large(),
                false => service.answer(lingering(request), client).await,
            })
        }
    });
    let stream = TokioIo::new(Stall::new(stream, limits.patience));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        .max_buf_size(BUFFER)
        .serve_connection(stream, answer);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = told(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Waits until the server is to stop. A sender that is gone will never say more, and means the same.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The request with a body that its client may finish sending.
fn lingering(request: hyper::Request<Incoming>) -> Request {
    let comes_anyway = !request.headers().contains_key(header::EXPECT);
    request.map(|body| Body::new(Linger::new(Body::new(body), comes_anyway)))
}

/// Bytes of a request's head, near enough.
fn head_size(request: &hyper::Request<Incoming>) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    request.uri().to_string().len() + headers.sum::<usize>()
}

fn too_large() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}

/// Bounds what is read of a request before it is understood (up to twice as much), and the pieces of bodies.
const BUFFER: usize = 64 << 10;
/// Bytes of a request's head.
const HEAD: usize = 64 << 10;
