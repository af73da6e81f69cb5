//! Uploads as files: bytes are appended, hashed on the way, and renamed into place.
//!
//! Only the length of the data counts as state, so there is nothing to disagree with it after a crash. The hash lives in
//! the memory of the process that computed it; another process hashes what is there once more, which is faster than any
//! network.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{IoSlice, Read, Seek, SeekFrom, Write},
    num::NonZeroU64,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::StreamExt;
use rustix::fs::{Advice, FlockOperation, fadvise, flock};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    Files,
    disk::{Disk, FAILED, FILE_MODE, io},
    is_absent,
};
use crate::{
    digest::{Algorithm, Digest, Hasher},
    name::RepositoryName,
    storage::{Incoming, StorageError, Upload, UploadError, UploadId, key},
};

/// Makes the files of a new upload.
pub fn begin(disk: &Disk, repository: &RepositoryName) -> Result<UploadId, StorageError> {
    let id = UploadId::random().map_err(io("find randomness for", &disk.root))?;
    let directory = directory(disk, &id);
    DirBuilder::new().mode(0o700).create(&directory).map_err(io("create", &directory))?;
    let data = directory.join("data");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE).open(&data).map_err(io("create", &data))?;
    // Not worth waiting for the disk: what a power failure leaves half written counts as no upload.
    let session = directory.join("session");
    fs::write(&session, repository.as_str()).map_err(io("write", &session))?;
    Ok(id)
}

/// The upload `id`, if it has begun and not ended.
pub fn find(disk: &Disk, id: &UploadId) -> Result<Option<Upload>, StorageError> {
    let directory = directory(disk, id);
    let session = directory.join("session");
    let found = fs::read_to_string(&session)
        .and_then(|repository| Ok((repository, fs::metadata(directory.join("data"))?.len())));
    match found {
        Ok((repository, length)) => {
            Ok(repository.parse().ok().map(|repository| Upload { repository, length }))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(io("read", &session)(error)),
    }
}

/// Removes the files of an upload; false if there were none.
pub fn remove(disk: &Disk, id: &UploadId) -> Result<bool, StorageError> {
    let directory = directory(disk, id);
    match fs::remove_dir_all(&directory) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(io("remove", &directory)(error)),
    }
}

/// See [`crate::storage::Storage::append`].
pub async fn append(
    files: &Files,
    id: &UploadId,
    at: Option<u64>,
    mut body: Incoming,
) -> Result<u64, UploadError> {
    let mut writer = files.open_upload(id).await?;
    if at.is_some_and(|at| at != writer.length) {
        let length = writer.length;
        files.keep(writer);
        return Err(UploadError::Offset { length });
    }
    // One batch is written while the next one arrives.
    let mut writing: Option<JoinHandle<Result<Writer, StorageError>>> = None;
    let mut waiting = Some(writer);
    let ended = loop {
        let (batch, ended) = receive(&mut body).await;
        writer = match writing.take() {
            Some(writing) => writing.await.expect(FAILED)?,
            None => waiting.take().expect("given back before this round"),
        };
        match ended {
            None => writing = Some(spawn_blocking(move || writer.write(&batch))),
            Some(ended) => {
                writer = spawn_blocking(move || writer.write(&batch)).await.expect(FAILED)?;
                break ended;
            }
        }
    };
    let length = writer.length;
    files.keep(writer);
    ended.map(|()| length).map_err(UploadError::Interrupted)
}

/// The next bytes of `body`: enough to be worth a write, unless it has ended.
async fn receive(body: &mut Incoming) -> (Vec<Bytes>, Option<Result<(), crate::storage::Interrupted>>) {
    let (mut batch, mut length) = (Vec::new(), 0);
    loop {
        match body.next().await {
            Some(Ok(bytes)) if bytes.is_empty() => {}
            Some(Ok(bytes)) => {
                length += bytes.len();
                batch.push(bytes);
            }
            Some(Err(error)) => return (batch, Some(Err(error))),
            None => return (batch, Some(Ok(()))),
        }
        if length >= BATCH {
            return (batch, None);
        }
    }
}

/// See [`crate::storage::Storage::commit`].
pub async fn commit(files: &Files, id: &UploadId, digest: Digest) -> Result<u64, UploadError> {
    let writer = files.open_upload(id).await?;
    files.forget_hash(id);
    files
        .run(move |disk| {
            let actual = match digest.algorithm() {
                Algorithm::Sha256 => writer.hasher.clone().finish(),
                other => writer.hash_with(other)?,
            };
            if actual != digest {
                remove(disk, &writer.id)?;
                return Err(UploadError::Mismatch { actual });
            }
            // An upload may have waited long for its end, and an old blob would be collected.
            writer.file.set_modified(SystemTime::now()).map_err(io("renew", &writer.path))?;
            writer.file.sync_data().map_err(io("sync", &writer.path))?;
            disk.rename(&writer.path, &disk.path(&key::blob_path(&digest)))?;
            remove(disk, &writer.id)?;
            Ok(writer.length)
        })
        .await
}

impl Files {
    /// Locks an upload and gets ready to append to it.
    async fn open_upload(&self, id: &UploadId) -> Result<Writer, UploadError> {
        let hash = self.hashes.lock().expect("nothing panics with this lock").get(id).cloned();
        let id = id.clone();
        self.run(move |disk| {
            let path = directory(disk, &id).join("data");
            let file = match OpenOptions::new().read(true).append(true).open(&path) {
                Ok(file) => file,
                Err(error) if is_absent(&error) => return Err(UploadError::Unknown),
                Err(error) => return Err(io("open", &path)(error).into()),
            };
            lock(&file)?;
            // It may have become a blob between the two calls; then it must not grow.
            if !path.exists() {
                return Err(UploadError::Unknown);
            }
            let length = file.metadata().map_err(io("look at", &path))?.len();
            let hasher = hash.filter(|(hashed, _)| *hashed == length).map(|(_, hasher)| hasher);
            let mut writer = Writer { id, path, file, length, hasher: Algorithm::Sha256.hasher() };
            match hasher {
                Some(hasher) => writer.hasher = hasher,
                None => writer.hasher = writer.hash(Algorithm::Sha256)?,
            }
            Ok(writer)
        })
        .await
    }

    /// Remembers how far an upload is hashed, and unlocks it.
    fn keep(&self, writer: Writer) {
        let mut hashes = self.hashes.lock().expect("nothing panics with this lock");
        if hashes.len() >= HASHES {
            hashes.clear();
        }
        hashes.insert(writer.id, (writer.length, writer.hasher));
    }

    pub(super) fn forget_hash(&self, id: &UploadId) {
        self.hashes.lock().expect("nothing panics with this lock").remove(id);
    }
}

/// Locks an upload. A request that was cut off may have a last write to finish.
fn lock(file: &File) -> Result<(), UploadError> {
    let began = Instant::now();
    while flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if began.elapsed() > LAST_WRITE {
            return Err(UploadError::Busy);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// An upload whose lock is held.
struct Writer {
    id: UploadId,
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Hasher,
}

impl Writer {
    fn write(mut self, batch: &[Bytes]) -> Result<Writer, StorageError> {
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            let written = self.file.write_vectored(left).map_err(io("write", &self.path))?;
            IoSlice::advance_slices(&mut left, written);
        }
        let before = self.length;
        for bytes in batch {
            self.hasher.update(bytes);
            self.length += bytes.len() as u64;
        }
        if before / STRETCH != self.length / STRETCH {
            self.begin_to_store(before / STRETCH * STRETCH);
        }
        Ok(self)
    }

    /// Has the disk begin with what was written from `start` on, so that it is not idle until the end and the only thing
    /// that is waited for then. Linux starts to write what it is told will not be needed, and keeps it until it is written.
    fn begin_to_store(&self, start: u64) {
        let length = NonZeroU64::new(self.length - start);
        // Advice that is not taken costs time, and nothing else.
        let _ = fadvise(&self.file, start, length, Advice::DontNeed);
    }

    fn hash_with(&self, algorithm: Algorithm) -> Result<Digest, StorageError> {
        self.hash(algorithm).map(Hasher::finish)
    }

    /// Hashes what is there already.
    fn hash(&self, algorithm: Algorithm) -> Result<Hasher, StorageError> {
        let mut hasher = algorithm.hasher();
        let mut buffer = vec![0; BATCH.min(usize::try_from(self.length).unwrap_or(BATCH))];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(io("read", &self.path))?;
        loop {
            match file.read(&mut buffer).map_err(io("read", &self.path))? {
                0 => return Ok(hasher),
                read => hasher.update(&buffer[..read]),
            }
        }
    }
}

fn directory(disk: &Disk, id: &UploadId) -> PathBuf {
    disk.path("uploads").join(id.as_str())
}

/// Bytes that are worth a switch to another thread.
const BATCH: usize = 512 << 10;
/// Bytes that are worth a seek.
const STRETCH: u64 = 8 << 20;
/// How long a request that was cut off may go on writing.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// Hashes remembered at most; a few hundred bytes each.
const HASHES: usize = 10_000;
