//! Lets a client finish sending what nobody wants any more.
//!
//! A connection that is closed while the other side still sends is reset, and the reset overtakes the answer: the client
//! would see a broken connection in place of the reason why it was refused. So what is left of a body is read and thrown
//! away, within bounds.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

/// A body that is read to its end in the background if it is dropped before.
pub struct Linger {
    body: Body,
    /// Whether the client sends it without being asked to; one that waits for `100 Continue` need not send it at all.
    comes_anyway: bool,
}

impl Linger {
    pub fn new(body: Body, comes_anyway: bool) -> Linger {
        Linger { body, comes_anyway }
    }
}

impl HttpBody for Linger {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Being read, it is asked for.
        self.comes_anyway = true;
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        let is_short = self.body.size_hint().exact().is_none_or(|left| left <= BYTES);
        if self.comes_anyway && is_short && !self.body.is_end_stream() {
            let body = mem::take(&mut self.body);
            // A connection is dropped with its runtime too, when there is nobody to read any more.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(timeout(TIME, drain(body)));
            }
        }
    }
}

async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    let mut left = BYTES;
    while let Some(Ok(piece)) = pieces.next().await {
        match left.checked_sub(piece.len() as u64) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// What is thrown away at most; who sends more is cut off.
const BYTES: u64 = 32 << 20;
const TIME: Duration = Duration::from_secs(10);
