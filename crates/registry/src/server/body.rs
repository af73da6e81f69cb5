//! Bodies: received with patience but not for ever, and sent as they are read.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::{Code, Refusal};
use crate::storage::{Incoming, Interrupted};

/// The bytes of `body`, of which there are to be `limit` at most, each coming within `patience` of the one before.
pub fn incoming(body: Body, limit: Option<u64>, patience: Duration) -> Incoming {
    let state = Some((body.into_data_stream(), limit.unwrap_or(u64::MAX)));
    Box::pin(stream::unfold(state, move |state| async move {
        let (mut body, left) = state?;
        let error = match timeout(patience, body.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(bytes))) => match left.checked_sub(bytes.len() as u64) {
                Some(left) => return Some((Ok(bytes), Some((body, left)))),
                None => Interrupted::TooMany,
            },
            Ok(Some(Err(_))) => Interrupted::Gone,
            Err(_) => Interrupted::TooSlow,
        };
        Some((Err(error), None))
    }))
}

/// All of `body`, of which there are to be `limit` bytes at most.
pub async fn whole(body: Body, limit: u64, patience: Duration) -> Result<Bytes, Refusal> {
    let mut incoming = incoming(body, Some(limit), patience);
    let mut whole = BytesMut::new();
    while let Some(bytes) = incoming.next().await {
        match bytes {
            Ok(bytes) => whole.extend_from_slice(&bytes),
            Err(Interrupted::TooMany) => return Err(Refusal::new(Code::TooLarge)),
            Err(Interrupted::TooSlow) => return Err(Refusal::new(Code::Timeout)),
            Err(Interrupted::Gone | Interrupted::Replaced) => {
                return Err(Refusal::new(Code::ManifestInvalid));
            }
        }
    }
    Ok(whole.freeze())
}
