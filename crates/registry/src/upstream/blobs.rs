//! Blobs on their way through: from the other registry to whoever asked first, and into the storage.
//!
//! A thread reads from the other registry, a task writes to the storage and passes on. Whoever asks for the same blob in
//! the meantime waits for the end. The last piece is passed on only when the digest is right, so a client never holds
//! something whole that is wrong.

use std::{io::Read, sync::Arc, thread};

use bytes::Bytes;
use distribution::ClientError;
use futures_util::stream;
use image::manifest::Descriptor;
use tokio::sync::{mpsc, watch};

use super::{Upstream, as_theirs, refusal};
use crate::{
    contents::Contents,
    digest::Digest,
    name::RepositoryName,
    server::{Code, Refusal, chain},
    storage::{ByteStream, Incoming, Interrupted, StorageError},
};

/// Tells when a fetch has ended.
pub type Fetching = watch::Receiver<bool>;

/// What came of asking for a blob.
pub enum Brought {
    /// It is here, or nowhere.
    Settled,
    /// It comes, and is kept on the way.
    Streaming { size: u64, stream: ByteStream },
}

impl Upstream {
    /// The size of a blob that is not here.
    pub async fn blob_size(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<u64>, Refusal> {
        let Some(theirs) = as_theirs(digest) else { return Ok(None) };
        match self.ask(name, move |repository| repository.has_blob(&theirs)).await {
            Ok(size) => Ok(size),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(refusal(&error)),
        }
    }

    /// Fetches a blob that is not here, once for all who ask.
    pub async fn bring_blob(
        self: &Arc<Self>,
        contents: &Contents,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Brought, Refusal> {
        let key = (name.clone(), *digest);
        let Some(ended) = self.turn(&key).await else { return Ok(Brought::Settled) };
        let blob = match self.missing(contents, name, digest).await {
            Ok(Some(blob)) => blob,
            nothing => {
                self.fetching.lock().await.remove(&key);
                // Nobody may be waiting.
                let _ = ended.send(true);
                return nothing.map(|_| Brought::Settled);
            }
        };
        Ok(self.begin(contents, key, blob, ended))
    }

    /// The right to fetch a blob; `None` once somebody else is done with it.
    async fn turn(&self, key: &(RepositoryName, Digest)) -> Option<watch::Sender<bool>> {
        loop {
            let mut theirs = {
                let mut fetching = self.fetching.lock().await;
                match fetching.get(key) {
                    Some(theirs) if theirs.has_changed().is_ok() => theirs.clone(),
                    // A sender that is gone without a word was that of a client who went away before it began.
                    _ => {
                        let (ended, end) = watch::channel(false);
                        fetching.insert(key.clone(), end);
                        return Some(ended);
                    }
                }
            };
            if theirs.wait_for(|ended| *ended).await.is_ok() {
                return None;
            }
        }
    }

    /// A blob that the other registry has and this one has not.
    async fn missing(
        &self,
        contents: &Contents,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Descriptor>, Refusal> {
        // Somebody may have ended right before it was our turn.
        if contents.blob(name, digest).await?.is_some() {
            return Ok(None);
        }
        let size = self.blob_size(name, digest).await?;
        Ok(size.zip(as_theirs(digest)).map(|(size, theirs)| Descriptor::new(BLOB, theirs, size)))
    }

    /// Fetches `blob`, whoever waits for it.
    fn begin(
        self: &Arc<Self>,
        contents: &Contents,
        (name, digest): (RepositoryName, Digest),
        blob: Descriptor,
        ended: watch::Sender<bool>,
    ) -> Brought {
        let size = blob.size;
        let pieces = self.read(&name, blob);
        let (to_client, stream) = mpsc::channel(PIECES);
        let (upstream, contents) = (Arc::clone(self), contents.clone());
        tokio::spawn(async move {
            let kept = keep(&contents, &name, &digest, pieces, to_client).await;
            if let Err(error) = kept {
                eprintln!("registry: cannot fetch {digest} of {name}: {error}");
            }
            upstream.fetching.lock().await.remove(&(name, digest));
            // Nobody may be waiting.
            let _ = ended.send(true);
        });
        Brought::Streaming { size, stream: receive(stream) }
    }

    /// Reads a blob from the other registry on a thread of its own.
    fn read(&self, name: &RepositoryName, blob: Descriptor) -> mpsc::Receiver<Result<Bytes, ClientError>> {
        let (found, pieces) = mpsc::channel(PIECES);
        let (client, registry, name) = (Arc::clone(&self.client), self.registry.clone(), name.to_string());
        let refused = found.clone();
        let reading = move || {
            let repository = client.repository(&registry, &name);
            let mut source = match repository.blob(&blob, 0) {
                Ok(source) => source,
                // Nobody to tell is fine.
                Err(error) => return drop(found.blocking_send(Err(error))),
            };
            loop {
                let mut piece = vec![0; PIECE];
                let mut length = 0;
                while length < PIECE {
                    match source.read(&mut piece[length..]) {
                        Ok(0) => break,
                        Ok(read) => length += read,
                        Err(source) => {
                            let error = ClientError::Broken { host: registry, source };
                            return drop(found.blocking_send(Err(error)));
                        }
                    }
                }
                piece.truncate(length);
                if length == 0 || found.blocking_send(Ok(Bytes::from(piece))).is_err() {
                    return;
                }
            }
        };
        if let Err(source) = thread::Builder::new().spawn(reading) {
            // There is room: nothing was sent yet.
            let _ = refused.try_send(Err(self.unreachable(source)));
        }
        pieces
    }
}

/// Writes what comes into the storage, and passes it on to the client for as long as there is one.
async fn keep(
    contents: &Contents,
    name: &RepositoryName,
    digest: &Digest,
    mut pieces: mpsc::Receiver<Result<Bytes, ClientError>>,
    to_client: mpsc::Sender<Result<Bytes, StorageError>>,
) -> Result<(), String> {
    let said = |error: &dyn std::error::Error| chain(error);
    let id = contents.storage.begin(name).await.map_err(|error| said(&error))?;
    let (to_storage, incoming) = mpsc::channel(PIECES);
    let appended = contents.storage.append(&id, None, storable(incoming));
    let passed = async {
        let mut last: Option<Bytes> = None;
        while let Some(piece) = pieces.recv().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    // The storage hears of it as an upload that breaks off.
                    let _ = to_storage.send(Err(Interrupted::Gone)).await;
                    return Err(chain(&error));
                }
            };
            // A storage that fails says so itself; a client that has gone misses nothing.
            let _ = to_storage.send(Ok(piece.clone())).await;
            if let Some(before) = last.replace(piece) {
                let _ = to_client.send(Ok(before)).await;
            }
        }
        drop(to_storage);
        Ok(last)
    };
    let (appended, passed) = tokio::join!(appended, passed);
    let committed = match (appended, passed) {
        (Ok(_), Ok(last)) => {
            contents.storage.commit(&id, digest).await.map(|_| last).map_err(|error| said(&error))
        }
        (_, Err(error)) => Err(error),
        (Err(error), _) => Err(said(&error)),
    };
    match committed {
        Ok(last) => {
            contents.give_blob(name, digest).await.map_err(|error| said(&error))?;
            if let Some(last) = last {
                let _ = to_client.send(Ok(last)).await;
            }
            Ok(())
        }
        Err(error) => {
            let _ = to_client.send(Err(StorageError::Damaged(digest.to_string()))).await;
            contents.storage.abort(&id).await.map_err(|error| said(&error))?;
            Err(error)
        }
    }
}

fn storable(pieces: mpsc::Receiver<Result<Bytes, Interrupted>>) -> Incoming {
    Box::pin(stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) }))
}

fn receive(pieces: mpsc::Receiver<Result<Bytes, StorageError>>) -> ByteStream {
    Box::pin(stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) }))
}

impl Brought {
    /// For a request that cannot be answered from a stream, such as a range: waits until the blob is here.
    pub async fn settle(self) -> Result<(), Refusal> {
        if let Brought::Streaming { stream, .. } = self {
            let drained =
                futures_util::TryStreamExt::try_for_each(stream, |_| std::future::ready(Ok(()))).await;
            drained.map_err(|_| Refusal::new(Code::Upstream))?;
        }
        Ok(())
    }
}

/// The other registry is not told what kind of blob it is.
const BLOB: &str = "application/octet-stream";
const PIECE: usize = 256 << 10;
/// Pieces that wait for the storage, and for the client.
const PIECES: usize = 4;
