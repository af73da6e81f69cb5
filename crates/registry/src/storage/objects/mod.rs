//! Storage in an S3-compatible object store, shared by any number of registries that keep nothing themselves.
//!
//! ```text
//! <prefix>/names/… repositories/…                 documents, each an object under its key
//!          data/<id>                              the bytes of a blob, named by the upload they came with
//!          blobs/<algorithm>/<2>/<hex>/<id>-<size>  empty: these bytes are that blob
//!          uploads/<id>/session                   how far an upload is; replaced only by who has read the last one
//!                      /tail-<start>-<length>     bytes that are not enough for a part yet
//! ```
//!
//! An upload is a multipart upload to `data/<id>`, and never copied: what a blob's digest is becomes known at its end, and
//! is then noted beside it. Everything about a blob but its bytes is in names and ages, so one listing tells it. Two
//! uploads of the same content leave two notes, of which either will do.
//!
//! Object stores have no locks, so the gate holds within one process only. Between processes it is the grace period that
//! protects what is about to be used: everything relied upon is made young first, and a collection looks at the age of
//! what it removes right before it does. Run collections from one registry only.

mod connect;
mod transport;
mod upload;

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, multipart::MultipartStore,
    path::Path,
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, Semaphore};

pub use self::connect::{InvalidLocation, S3Location};
use super::{
    Blob, ByteStream, Gate, Incoming, Key, Listed, Listing, Pass, Prefix, Storage, StorageError, Upload,
    UploadError, UploadId, key,
};
use crate::{digest::Digest, name::RepositoryName};

/// Storage in an object store; see the module's description.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
    prefix: String,
    /// Bytes of every part of a multipart upload but the last.
    part: usize,
    /// Parts that may be in memory at a time.
    parts: Arc<Semaphore>,
    gate: Arc<RwLock<()>>,
}

/// Where a blob's bytes are.
struct Note {
    path: Path,
    data: String,
    blob: Blob,
}

impl Objects {
    /// Storage below `prefix` of a store, which may be empty. S3 takes parts of 5 MiB or more.
    pub fn new<S: ObjectStore + MultipartStore>(store: Arc<S>, prefix: &str, part: usize) -> Objects {
        Objects {
            store: store.clone(),
            multipart: store,
            prefix: prefix.trim_matches('/').to_owned(),
            part,
            parts: Arc::new(Semaphore::new(PARTS)),
            gate: Arc::default(),
        }
    }

    /// The object under `name`, which has safe characters only.
    fn path(&self, name: &str) -> Path {
        match self.prefix.as_str() {
            "" => Path::from(name),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    /// The name of an object, without the prefix.
    fn name<'a>(&self, path: &'a Path) -> &'a str {
        let path = path.as_ref();
        path.strip_prefix(self.prefix.as_str()).unwrap_or(path).trim_start_matches('/')
    }

    /// The content of an object, or `None`.
    async fn get(&self, path: &Path) -> Result<Option<Bytes>, StorageError> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(failed("read"))?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read")(error)),
        }
    }

    async fn put_object(&self, path: &Path, content: Bytes) -> Result<(), StorageError> {
        self.store.put(path, PutPayload::from_bytes(content)).await.map(drop).map_err(failed("write"))
    }

    /// Removes an object; S3 does not say whether it was there.
    async fn delete(&self, path: &Path) -> Result<(), StorageError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove")(error)),
        }
    }

    /// All objects whose names begin with `prefix` as a directory, with what `name` makes of their names.
    fn objects<T: Send + 'static>(
        &self,
        prefix: &str,
        name: impl Fn(&str) -> Option<T> + Send + Sync + 'static,
    ) -> Listing<Listed<T>> {
        let this = self.clone();
        let found = self.store.list(Some(&self.path(prefix)));
        Box::pin(found.map_err(failed("list")).try_filter_map(move |object| {
            let listed = name(this.name(&object.location)).map(|name| Listed {
                name,
                modified: modified(&object),
                size: object.size,
            });
            std::future::ready(Ok(listed))
        }))
    }

    /// Where the bytes of a blob are.
    async fn note(&self, digest: &Digest) -> Result<Option<Note>, StorageError> {
        let directory = key::blob_path(digest);
        let mut found = self.store.list(Some(&self.path(&directory)));
        while let Some(object) = found.try_next().await.map_err(failed("list"))? {
            if let Some((data, size)) = self.name(&object.location).rsplit('/').next().and_then(parse_note) {
                let blob = Blob { size, modified: modified(&object) };
                return Ok(Some(Note { data: format!("data/{data}"), blob, path: object.location }));
            }
        }
        Ok(None)
    }

    /// Notes that the bytes under `data/<id>` are the blob `digest`.
    async fn write_note(&self, digest: &Digest, id: &UploadId, size: u64) -> Result<(), StorageError> {
        let path = self.path(&format!("{}/{}-{size}", key::blob_path(digest), id.as_str()));
        self.put_object(&path, Bytes::new()).await
    }
}

#[async_trait]
impl Storage for Objects {
    async fn document(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        self.get(&self.path(key.as_str())).await
    }

    async fn modified(&self, key: &Key) -> Result<Option<SystemTime>, StorageError> {
        match self.store.head(&self.path(key.as_str())).await {
            Ok(object) => Ok(Some(modified(&object))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at an object")(error)),
        }
    }

    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.put_object(&self.path(key.as_str()), content).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StorageError> {
        let was_there = self.modified(key).await?.is_some();
        self.delete(&self.path(key.as_str())).await?;
        Ok(was_there)
    }

    fn list(&self, prefix: &Prefix) -> Listing<Listed<Key>> {
        self.objects(prefix.as_str(), |name| Some(Key::found(name.to_owned())))
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Blob>, StorageError> {
        Ok(self.note(digest).await?.map(|note| note.blob))
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<ByteStream>, StorageError> {
        let Some(note) = self.note(digest).await? else { return Ok(None) };
        if range.is_empty() {
            return Ok(Some(Box::pin(futures_util::stream::empty())));
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        match self.store.get_opts(&self.path(&note.data), options).await {
            Ok(found) => Ok(Some(Box::pin(found.into_stream().map_err(failed("read"))))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read")(error)),
        }
    }

    async fn insert(&self, digest: &Digest, content: Bytes) -> Result<(), StorageError> {
        if self.renew_blob(digest).await? {
            return Ok(());
        }
        let id = random()?;
        let size = content.len() as u64;
        self.put_object(&self.path(&format!("data/{}", id.as_str())), content).await?;
        self.write_note(digest, &id, size).await
    }

    async fn renew_blob(&self, digest: &Digest) -> Result<bool, StorageError> {
        match self.note(digest).await? {
            // Young enough for anybody: most blobs are given to a repository right after they came.
            Some(note) if note.blob.modified.elapsed().is_ok_and(|age| age < YOUNG) => Ok(true),
            Some(note) => self.put_object(&note.path, Bytes::new()).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn remove_blob(&self, digest: &Digest) -> Result<bool, StorageError> {
        let mut was_there = false;
        while let Some(note) = self.note(digest).await? {
            was_there = true;
            // The note first: bytes without one are swept up, a note without bytes would lie.
            self.delete(&note.path).await?;
            self.delete(&self.path(&note.data)).await?;
        }
        Ok(was_there)
    }

    fn blobs(&self) -> Listing<Listed<Digest>> {
        let notes = self.objects("blobs", |name| {
            let (directory, note) = name.rsplit_once('/')?;
            Some((key::blob_of_path(directory)?, parse_note(note)?.1))
        });
        Box::pin(notes.map_ok(|found| {
            let (name, size) = found.name;
            Listed { name, size, modified: found.modified }
        }))
    }

    async fn begin(&self, repository: &RepositoryName) -> Result<UploadId, StorageError> {
        upload::begin(self, repository).await
    }

    async fn upload(&self, id: &UploadId) -> Result<Option<Upload>, StorageError> {
        upload::find(self, id).await
    }

    async fn append(&self, id: &UploadId, at: Option<u64>, body: Incoming) -> Result<u64, UploadError> {
        upload::append(self, id, at, body).await
    }

    async fn commit(&self, id: &UploadId, digest: &Digest) -> Result<u64, UploadError> {
        upload::commit(self, id, digest).await
    }

    async fn abort(&self, id: &UploadId) -> Result<bool, StorageError> {
        upload::abort(self, id).await
    }

    fn uploads(&self) -> Listing<Listed<UploadId>> {
        self.objects("uploads", |name| name.strip_prefix("uploads/")?.strip_suffix("/session")?.parse().ok())
    }

    async fn gate(&self, pass: Pass) -> Result<Box<dyn Gate>, StorageError> {
        let gate = Arc::clone(&self.gate);
        Ok(match pass {
            Pass::Shared => Box::new(gate.read_owned().await),
            Pass::Exclusive => Box::new(gate.write_owned().await),
        })
    }

    async fn check(&self) -> Result<(), StorageError> {
        let mut some = self.store.list(Some(&self.path("names")));
        some.next().await.transpose().map(drop).map_err(failed("list"))
    }

    /// Removes bytes that no note names: a registry was killed between the two.
    async fn sweep(&self, before: SystemTime) -> Result<(), StorageError> {
        let named: std::collections::HashSet<String> = self
            .objects("blobs", |name| Some(parse_note(name.rsplit('/').next()?)?.0.to_owned()))
            .map_ok(|found| found.name)
            .try_collect()
            .await?;
        let mut data = self.objects("data", |name| Some(name.strip_prefix("data/")?.to_owned()));
        while let Some(found) = data.try_next().await? {
            if found.modified < before && !named.contains(&found.name) {
                self.delete(&self.path(&format!("data/{}", found.name))).await?;
            }
        }
        Ok(())
    }
}

impl Gate for OwnedRwLockReadGuard<()> {}
impl Gate for OwnedRwLockWriteGuard<()> {}

/// The upload and the size of `<id>-<size>`.
fn parse_note(text: &str) -> Option<(&str, u64)> {
    let (id, size) = text.split_once('-')?;
    Some((id, size.parse().ok()?))
}

fn modified(object: &ObjectMeta) -> SystemTime {
    object.last_modified.into()
}

fn random() -> Result<UploadId, StorageError> {
    UploadId::random().map_err(|source| StorageError::Io { what: "find randomness".to_owned(), source })
}

/// Says what the store was asked to do.
fn failed(what: &'static str) -> impl Fn(object_store::Error) -> StorageError + Copy {
    move |source| StorageError::Object { what, source }
}

/// Parts in memory at a time, whatever the number of uploads.
const PARTS: usize = 3;
/// A blob of this age need not be made younger.
const YOUNG: Duration = Duration::from_secs(2);
