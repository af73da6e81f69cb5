//! Counters in the form that Prometheus reads.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::Exchange;
use crate::collect::Collected;

/// All that is counted. The number of series is bounded: paths are told apart by their kind only.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Family<Kind, Histogram, Buckets>,
    received: Counter,
    sent: Counter,
    pub in_flight: Gauge,
    pub uploads: Gauge,
    storage_errors: Counter,
    collections: Counter,
    failed_collections: Counter,
    collected_blobs: Counter,
    collected_bytes: Counter,
    last_collection: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    method: &'static str,
    route: &'static str,
}

/// From a millisecond to a quarter of an hour.
#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.001, 4.0, 11))
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("registry"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(Buckets),
            received: Counter::default(),
            sent: Counter::default(),
            in_flight: Gauge::default(),
            uploads: Gauge::default(),
            storage_errors: Counter::default(),
            collections: Counter::default(),
            failed_collections: Counter::default(),
            collected_blobs: Counter::default(),
            collected_bytes: Counter::default(),
            last_collection: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("request_seconds", "Time from a request to its last byte", metrics.seconds.clone());
        registry.register("received_bytes", "Bytes of bodies received", metrics.received.clone());
        registry.register("sent_bytes", "Bytes of bodies sent", metrics.sent.clone());
        registry.register("requests_in_flight", "Requests being answered", metrics.in_flight.clone());
        registry.register("uploads", "Uploads begun and not ended", metrics.uploads.clone());
        registry.register(
            "storage_errors",
            "Requests that the storage failed",
            metrics.storage_errors.clone(),
        );
        registry.register("gc_runs", "Collections that ended well", metrics.collections.clone());
        registry.register("gc_failures", "Collections that did not", metrics.failed_collections.clone());
        registry.register(
            "gc_removed_blobs",
            "Blobs removed by collections",
            metrics.collected_blobs.clone(),
        );
        registry.register("gc_removed_bytes", "Bytes of those blobs", metrics.collected_bytes.clone());
        registry.register(
            "gc_last_success_timestamp_seconds",
            "When the last collection ended well",
            metrics.last_collection.clone(),
        );
        metrics
    }

    /// Counts a request that has ended.
    pub(super) fn count(&self, exchange: &Exchange) {
        let (method, route) = (method(&exchange.method), exchange.route);
        self.requests.get_or_create(&Request { method, route, status: exchange.status.as_u16() }).inc();
        self.seconds.get_or_create(&Kind { method, route }).observe(exchange.began.elapsed().as_secs_f64());
        self.received.inc_by(exchange.received.load(Ordering::Relaxed));
        self.sent.inc_by(exchange.sent);
        if exchange.cause.is_some() {
            self.storage_errors.inc();
        }
    }

    /// Counts a collection; `None` for one that failed.
    pub fn collected(&self, collected: Option<&Collected>) {
        let Some(collected) = collected else {
            self.failed_collections.inc();
            return;
        };
        self.collections.inc();
        self.collected_blobs.inc_by(collected.blobs);
        self.collected_bytes.inc_by(collected.bytes);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.last_collection.set(now.as_secs_f64());
    }

    /// Everything, as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }
}

/// A client can send any word as a method; each would be a series.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
