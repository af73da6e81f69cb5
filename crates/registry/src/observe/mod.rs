//! What can be seen of a registry from outside: counters, a log, and whether it is well.

mod log;
mod metrics;
mod operator;

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{Method, Response, StatusCode, header},
};
use hyper::body::{Frame, SizeHint};

pub use metrics::Metrics;
pub use operator::{Collector, Operator};

use crate::{http, server::Registry};

/// What stands before the registry: counts and logs what goes through.
pub struct Front {
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    pub quiet: bool,
}

impl http::Service for Front {
    async fn answer(&self, request: Request, client: SocketAddr) -> Response<Body> {
        if let Some(response) = operator::health(&self.registry, request.uri().path()).await {
            return response;
        }
        let mut exchange = Exchange::begin(&request, client, Arc::clone(&self.metrics), self.quiet);
        let received = Arc::clone(&exchange.received);
        let request = request.map(|body| Body::new(Counted { body, count: Count::Received(received) }));
        let answered = self.registry.answer(request).await;
        exchange.route = answered.route;
        exchange.user = answered.user;
        exchange.cause = answered.cause;
        exchange.status = answered.response.status();
        answered.response.map(|body| Body::new(Counted { body, count: Count::Sent(Box::new(exchange)) }))
    }
}

/// One request and its answer. Dropped when the last byte is sent, or when nobody waits for it any more.
struct Exchange {
    client: SocketAddr,
    method: Method,
    path: String,
    agent: Option<String>,
    began: Instant,
    user: Option<String>,
    route: &'static str,
    status: StatusCode,
    cause: Option<String>,
    received: Arc<std::sync::atomic::AtomicU64>,
    sent: u64,
    metrics: Arc<Metrics>,
    quiet: bool,
}

impl Exchange {
    fn begin(request: &Request, client: SocketAddr, metrics: Arc<Metrics>, quiet: bool) -> Exchange {
        metrics.in_flight.inc();
        let agent = request.headers().get(header::USER_AGENT);
        Exchange {
            client,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            agent: agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            began: Instant::now(),
            user: None,
            route: "none",
            // What is written when the client goes away before there is an answer, as nginx has it.
            status: StatusCode::from_u16(499).expect("three digits"),
            cause: None,
            received: Arc::default(),
            sent: 0,
            metrics,
            quiet,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.count(self);
        if !self.quiet || self.cause.is_some() {
            log::write(self);
        }
    }
}

/// A body whose bytes are counted.
struct Counted {
    body: Body,
    count: Count,
}

enum Count {
    Received(Arc<std::sync::atomic::AtomicU64>),
    Sent(Box<Exchange>),
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match &mut self.count {
                    Count::Received(count) => {
                        count.fetch_add(length, std::sync::atomic::Ordering::Relaxed);
                    }
                    Count::Sent(exchange) => exchange.sent += length,
                }
            }
            // The answer breaks off; its length tells the client, this tells the operator.
            Some(Err(error)) => {
                if let Count::Sent(exchange) = &mut self.count {
                    exchange.cause = Some(crate::server::chain(error));
                }
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
