//! A line for each request, on standard error.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::Exchange;

/// Writes the line: when, who, what, how it went, bytes in and out, how long. Neither queries nor headers are in it but
/// the name of the program that asks, so no secret is.
pub fn write(exchange: &Exchange) {
    eprintln!("{}", line(exchange));
}

fn line(exchange: &Exchange) -> String {
    let when = Timestamp::now();
    let user = exchange.user.as_deref().unwrap_or("-").escape_default();
    let agent = exchange.agent.as_deref().unwrap_or("-").chars().take(AGENT).collect::<String>();
    let line = format!(
        "{when:.3} {client} {user} {method} {path} {status} in={received} out={sent} {time:.1}ms {agent:?}",
        client = exchange.client,
        method = exchange.method,
        path = exchange.path.escape_debug(),
        status = exchange.status.as_u16(),
        received = exchange.received.load(Ordering::Relaxed),
        sent = exchange.sent,
        time = exchange.began.elapsed().as_secs_f64() * 1000.0,
    );
    match &exchange.cause {
        None => line,
        Some(cause) => format!("{line} error={cause:?}"),
    }
}

/// Characters of a client's name for itself that are written.
const AGENT: usize = 200;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        body::Body,
        http::{Request, header},
    };

    use super::*;
    use crate::observe::Metrics;

    #[test]
    fn nothing_a_client_says_controls_the_operators_terminal() {
        // A control sequence, as it is written in two bytes.
        let path = axum::http::Uri::from_maybe_shared("/v2/\u{9b}31mx".as_bytes()).unwrap();
        let request = Request::get(path).header(header::USER_AGENT, "a\u{9b}b").body(Body::empty()).unwrap();
        let client = "192.0.2.1:1".parse().unwrap();
        let exchange = Exchange::begin(&request, client, Arc::new(Metrics::new()), true);
        let line = line(&exchange);
        assert!(line.contains("/v2/\\u{9b}31mx"), "{line}");
        assert!(!line.contains(|c: char| c.is_control()), "{line}");
    }
}
