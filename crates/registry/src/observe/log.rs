//! A line for each request, on standard error.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::Exchange;

/// Writes the line: when, who, what, how it went, bytes in and out, how long. Neither queries nor headers are in it but
/// the name of the program that asks, so no secret is.
pub fn write(exchange: &Exchange) {
    let when = Timestamp::now();
    let user = exchange.user.as_deref().unwrap_or("-").escape_default();
    let agent = exchange.agent.as_deref().unwrap_or("-").chars().take(AGENT).collect::<String>();
    let line = format!(
        "{when:.3} {client} {user} {method} {path} {status} in={received} out={sent} {time:.1}ms {agent:?}",
        client = exchange.client,
        method = exchange.method,
        path = exchange.path,
        status = exchange.status.as_u16(),
        received = exchange.received.load(Ordering::Relaxed),
        sent = exchange.sent,
        time = exchange.began.elapsed().as_secs_f64() * 1000.0,
    );
    match &exchange.cause {
        None => eprintln!("{line}"),
        Some(cause) => eprintln!("{line} error={cause:?}"),
    }
}

/// Characters of a client's name for itself that are written.
const AGENT: usize = 200;
