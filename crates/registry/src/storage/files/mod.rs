//! Storage in a directory.
//!
//! ```text
//! <root>/                            0700
//!   names/… repositories/…           documents, each a file under its key
//!   blobs/<algorithm>/<2>/<hex>      whole and verified; the time of change is when it was last needed
//!   uploads/<id>/session             the repository's name
//!               /data                the bytes so far; flock: who appends
//!   temporary/<id>                   on its way to a name
//!   gate                             flock: see `Storage::gate`
//! ```
//!
//! Whatever gets a name is written aside, synced, renamed, and its directory synced. Any number of processes may share
//! the directory, on a file system where locks work.

mod disk;
mod download;
mod listing;
mod upload;

use std::{
    collections::HashMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use self::disk::{Disk, FAILED, io};
use super::{
    Blob, ByteStream, Gate, Incoming, Key, Listed, Listing, Pass, Prefix, Storage, StorageError, Upload,
    UploadError, UploadId, key,
};
use crate::{
    digest::{Digest, Hasher},
    name::RepositoryName,
};

/// Storage in a directory; see the module's description.
#[derive(Clone)]
pub struct Files {
    disk: Arc<Disk>,
    /// The hashes of uploads this process works on, each up to a length. What is not here is hashed again.
    hashes: Arc<Mutex<HashMap<UploadId, (u64, Hasher)>>>,
}

impl Files {
    /// Storage in `root`, which is made if it is not there.
    pub fn open(root: &Path) -> Result<Files, StorageError> {
        let disk = Disk { root: root.to_owned() };
        for directory in ["", "blobs", "names", "repositories", "temporary", "uploads"] {
            disk.create_directories(&root.join(directory))?;
        }
        Ok(Files { disk: Arc::new(disk), hashes: Arc::default() })
    }

    /// Does `work` where it may block.
    async fn run<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        W: FnOnce(&Disk) -> Result<T, E> + Send + 'static,
    {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || work(&disk)).await.expect(FAILED)
    }
}

#[async_trait]
impl Storage for Files {
    async fn document(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        let path = self.disk.path(key.as_str());
        self.run(move |_| match fs::read(&path) {
            Ok(content) => Ok(Some(Bytes::from(content))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(io("read", &path)(error)),
        })
        .await
    }

    async fn modified(&self, key: &Key) -> Result<Option<SystemTime>, StorageError> {
        let path = self.disk.path(key.as_str());
        self.run(move |_| Ok(found(&path)?.map(|blob| blob.modified))).await
    }

    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        let path = self.disk.path(key.as_str());
        self.run(move |disk| disk.put(&path, &content)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StorageError> {
        let path = self.disk.path(key.as_str());
        self.run(move |disk| disk.remove(&path)).await
    }

    fn list(&self, prefix: &Prefix) -> Listing<Listed<Key>> {
        let prefix = prefix.as_str().trim_end_matches('/');
        listing::files(self.disk.root.clone(), PathBuf::from(prefix), |path| Some(Key::found(path)))
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Blob>, StorageError> {
        let path = self.disk.path(&key::blob_path(digest));
        self.run(move |_| found(&path)).await
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<ByteStream>, StorageError> {
        let path = self.disk.path(&key::blob_path(digest));
        self.run(move |_| match fs::File::open(&path) {
            Ok(file) => Ok(Some(download::stream(file, path, range))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(io("open", &path)(error)),
        })
        .await
    }

    async fn insert(&self, digest: &Digest, content: Bytes) -> Result<(), StorageError> {
        let path = self.disk.path(&key::blob_path(digest));
        self.run(move |disk| match disk.renew(&path)? {
            true => Ok(()),
            false => disk.put(&path, &content),
        })
        .await
    }

    async fn renew_blob(&self, digest: &Digest) -> Result<bool, StorageError> {
        let path = self.disk.path(&key::blob_path(digest));
        self.run(move |disk| disk.renew(&path)).await
    }

    async fn remove_blob(&self, digest: &Digest) -> Result<bool, StorageError> {
        let path = self.disk.path(&key::blob_path(digest));
        self.run(move |disk| disk.remove(&path)).await
    }

    fn blobs(&self) -> Listing<Listed<Digest>> {
        listing::files(self.disk.root.clone(), PathBuf::from("blobs"), |path| key::blob_of_path(&path))
    }

    async fn begin(&self, repository: &RepositoryName) -> Result<UploadId, StorageError> {
        let repository = repository.clone();
        self.run(move |disk| upload::begin(disk, &repository)).await
    }

    async fn upload(&self, id: &UploadId) -> Result<Option<Upload>, StorageError> {
        let id = id.clone();
        self.run(move |disk| upload::find(disk, &id)).await
    }

    async fn append(&self, id: &UploadId, at: Option<u64>, body: Incoming) -> Result<u64, UploadError> {
        upload::append(self, id, at, body).await
    }

    async fn commit(&self, id: &UploadId, digest: &Digest) -> Result<u64, UploadError> {
        upload::commit(self, id, *digest).await
    }

    async fn abort(&self, id: &UploadId) -> Result<bool, StorageError> {
        self.forget_hash(id);
        let id = id.clone();
        self.run(move |disk| upload::remove(disk, &id)).await
    }

    fn uploads(&self) -> Listing<Listed<UploadId>> {
        listing::uploads(self.disk.root.join("uploads"))
    }

    async fn gate(&self, pass: Pass) -> Result<Box<dyn Gate>, StorageError> {
        // Threads for work on files are few, and who holds the gate needs one: only one collection waits on a thread.
        let operation = match pass {
            Pass::Shared => FlockOperation::NonBlockingLockShared,
            Pass::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            let locked = self.run(move |disk| {
                let path = disk.path("gate");
                let file = disk.open_to_lock(&path)?;
                match rustix::io::retry_on_intr(|| flock(&file, operation)) {
                    Ok(()) => Ok(Some(Box::new(Locked(file)) as Box<dyn Gate>)),
                    Err(Errno::WOULDBLOCK) => Ok(None),
                    Err(error) => Err(io("lock", &path)(error.into())),
                }
            });
            match locked.await? {
                Some(gate) => return Ok(gate),
                None => tokio::time::sleep(GATE_PAUSE).await,
            }
        }
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.run(|disk| {
            let id = UploadId::random().map_err(io("find randomness for", &disk.root))?;
            let path = disk.path("temporary").join(id.as_str());
            fs::write(&path, b"ready?").and_then(|()| fs::remove_file(&path)).map_err(io("write", &path))
        })
        .await
    }

    async fn sweep(&self, before: SystemTime) -> Result<(), StorageError> {
        self.run(move |disk| disk.sweep("temporary", before)).await
    }
}

/// A lock that ends with its file.
struct Locked(#[expect(dead_code, reason = "closed to unlock")] fs::File);

impl Gate for Locked {}

/// The size and age of the file at `path`, if there is one.
fn found(path: &Path) -> Result<Option<Blob>, StorageError> {
    match fs::metadata(path).and_then(|found| Ok((found.len(), found.modified()?))) {
        Ok((size, modified)) => Ok(Some(Blob { size, modified })),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(io("look at", path)(error)),
    }
}

/// Nothing there; also below something that is no directory.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// How long to wait for a collection to take one thing away, which is all that it closes the gate for.
const GATE_PAUSE: Duration = Duration::from_millis(2);
