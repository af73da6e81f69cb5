//! Whose turn it is with an upload: that of the newest request.
//!
//! A client whose connection broke comes back before the server has noticed. The request it left behind would hold up the
//! new one until it times out, so it is told to end; what it brought is kept, and so is what still waits to be read of it: a
//! megabyte perhaps, which would have to be sent again. To ask how far an upload is takes a turn
//! too: the answer must not be old when it arrives (as with the offset in IETF's resumable uploads).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch},
    time::timeout,
};

use crate::storage::{Incoming, Interrupted, UploadId};

/// The uploads that requests of this process are at.
#[derive(Default)]
pub struct Turns {
    places: Mutex<HashMap<UploadId, Arc<Place>>>,
}

struct Place {
    lock: Arc<AsyncMutex<()>>,
    /// The number of the newest request.
    newest: watch::Sender<u64>,
}

/// A request's turn with an upload.
pub struct Turn<'a> {
    turns: &'a Turns,
    id: UploadId,
    place: Arc<Place>,
    number: u64,
    _guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Tells the request that has the turn to end, and takes it. `None` if it does not end in time.
    pub async fn take(&self, id: &UploadId) -> Option<Turn<'_>> {
        let place = {
            let mut places = self.places.lock().expect("nothing panics with this lock");
            let place = places
                .entry(id.clone())
                .or_insert_with(|| Arc::new(Place { lock: Arc::default(), newest: watch::channel(0).0 }));
            Arc::clone(place)
        };
        let mut number = 0;
        place.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let lock = Arc::clone(&place.lock);
        let mut turn = Turn { turns: self, id: id.clone(), place, number, _guard: None };
        turn._guard = Some(timeout(PATIENCE, lock.lock_owned()).await.ok()?);
        Some(turn)
    }
}

impl Turn<'_> {
    /// `body`, until a newer request takes the turn and no more of it has arrived.
    pub fn limit(&self, body: Incoming) -> Incoming {
        let (number, newest) = (self.number, self.place.newest.subscribe());
        Box::pin(stream::unfold(Some((body, newest, None)), move |state| async move {
            let (mut body, mut newest, mut end) = state?;
            if end.is_none() {
                tokio::select! {
                    biased;
                    _ = async { newest.wait_for(|newest| *newest > number).await.map(drop) } => {
                        end = Some(Instant::now() + ARRIVED);
                    }
                    next = body.next() => return Some((next?, Some((body, newest, None)))),
                }
            }
            let left = end?.saturating_duration_since(Instant::now());
            match timeout(SILENCE, body.next()).await {
                Ok(next) if !left.is_zero() => Some((next?, Some((body, newest, end)))),
                _ => Some((Err(Interrupted::Replaced), None)),
            }
        }))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut places = self.turns.places.lock().expect("nothing panics with this lock");
        // The map's and this one: nobody else is at it.
        if Arc::strong_count(&self.place) <= 2 {
            places.remove(&self.id);
        }
    }
}

/// After so long without a byte nothing more of a request has arrived.
const SILENCE: Duration = Duration::from_millis(20);
/// How long a request may go on reading what has.
const ARRIVED: Duration = Duration::from_secs(1);
/// For a request to write what it has and end.
const PATIENCE: Duration = Duration::from_secs(10);
