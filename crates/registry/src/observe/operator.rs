//! What the operator of a registry may see and do, at an address of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    routing::{get, post},
};
use tokio::sync::Mutex;
use tower_service::Service as _;

use super::Metrics;
use crate::{
    collect::{Collected, Untagged, collect, expire_uploads},
    http,
    server::{Registry, chain},
};

/// Whether the registry is alive (`/healthz`), and whether its storage works (`/readyz`). `None` for other paths.
pub async fn health(registry: &Registry, path: &str) -> Option<Response<Body>> {
    match path {
        "/healthz" => Some(text(StatusCode::OK, "ok\n")),
        "/readyz" => Some(match registry.contents.storage.check().await {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(error) => {
                eprintln!("registry: not ready: {}", chain(&error));
                text(StatusCode::SERVICE_UNAVAILABLE, "the storage does not answer\n")
            }
        }),
        _ => None,
    }
}

/// Collects garbage now and then, or when asked to; one collection at a time.
pub struct Collector {
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    pub untagged: Untagged,
    pub turn: Mutex<()>,
}

impl Collector {
    /// Collects. `None` if that is being done already.
    async fn collect(&self) -> Option<Result<Collected, String>> {
        let _turn = self.turn.try_lock().ok()?;
        let result = collect(&self.registry.contents, self.untagged).await;
        self.metrics.collected(result.as_ref().ok());
        Some(result.map_err(|error| chain(&error)))
    }

    /// Collects every `interval` for ever, the first time after one.
    pub async fn collect_every(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            match self.collect().await {
                Some(Ok(collected)) => eprintln!(
                    "registry: collected {} blobs of {} bytes, {} manifests, {} uploads",
                    collected.blobs, collected.bytes, collected.manifests, collected.uploads
                ),
                Some(Err(error)) => eprintln!("registry: cannot collect: {error}"),
                None => {}
            }
        }
    }

    /// Forgets abandoned uploads for ever.
    pub async fn expire_uploads(self: Arc<Self>) {
        loop {
            match expire_uploads(&self.registry.contents).await {
                Ok(uploads) => self.registry.uploads.store(uploads.left, Ordering::Relaxed),
                Err(error) => eprintln!("registry: cannot expire uploads: {}", chain(&error)),
            }
            tokio::time::sleep(EXPIRY).await;
        }
    }
}

/// The operator's listener: metrics, health, and collections on demand.
pub struct Operator(Router);

impl Operator {
    pub fn new(collector: Arc<Collector>) -> Operator {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(alive))
            .route("/readyz", get(alive))
            .route("/_sampan/gc", post(collect_now))
            .with_state(collector);
        Operator(router)
    }
}

impl http::Service for Operator {
    async fn answer(&self, request: Request, _client: SocketAddr) -> Response<Body> {
        let mut router = self.0.clone();
        match router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

async fn metrics(State(collector): State<Arc<Collector>>) -> Response<Body> {
    let uploads = collector.registry.uploads.load(Ordering::Relaxed);
    collector.metrics.uploads.set(i64::try_from(uploads).unwrap_or(i64::MAX));
    let mut response = Response::new(Body::from(collector.metrics.text()));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn alive(State(collector): State<Arc<Collector>>, request: Request) -> Response<Body> {
    let health = health(&collector.registry, request.uri().path()).await;
    health.unwrap_or_else(|| text(StatusCode::NOT_FOUND, "not found\n"))
}

async fn collect_now(State(collector): State<Arc<Collector>>, headers: HeaderMap) -> Response<Body> {
    // A page in the operator's browser has no business here.
    if headers.contains_key(header::ORIGIN) {
        return text(StatusCode::FORBIDDEN, "not for browsers\n");
    }
    // Goes on if whoever asked does not wait.
    let result = tokio::spawn(async move { collector.collect().await }).await;
    match result {
        Ok(Some(Ok(collected))) => json(&collected),
        Ok(Some(Err(error))) => text(StatusCode::INTERNAL_SERVER_ERROR, error + "\n"),
        Ok(None) => text(StatusCode::CONFLICT, "a collection is running\n"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the collection was cut short\n"),
    }
}

fn json(value: &Collected) -> Response<Body> {
    let body = serde_json::to_string(value).expect("five numbers") + "\n";
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// How often abandoned uploads are looked for.
const EXPIRY: Duration = Duration::from_secs(600);
