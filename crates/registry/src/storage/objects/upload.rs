//! Uploads as multipart uploads that any registry can go on with.
//!
//! What came is collected in a file without a name until it is enough for a part, so that slow clients hold disk space
//! rather than memory. After every part the session is written, with the hash so far.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, PutMode, PutPayload, UpdateVersion, multipart::PartId, path::Path};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{Objects, failed, random};
use crate::{
    digest::{Algorithm, Digest, Hasher},
    name::RepositoryName,
    storage::{Incoming, StorageError, Upload, UploadError, UploadId},
};

/// How far an upload is.
#[derive(Clone, Serialize, Deserialize)]
struct Session {
    repository: String,
    /// The multipart upload, once there was enough for a part.
    multipart: Option<String>,
    /// What the store calls its parts.
    parts: Vec<String>,
    /// Bytes in parts.
    flushed: u64,
    /// Bytes after them, in an object of their own.
    tail: u64,
    /// The state of the hash, in base64.
    hash: String,
}

/// A session, and its version in the store.
struct Loaded {
    session: Session,
    version: UpdateVersion,
}

pub async fn begin(objects: &Objects, repository: &RepositoryName) -> Result<UploadId, StorageError> {
    let id = random()?;
    let session = Session {
        repository: repository.to_string(),
        multipart: None,
        parts: Vec::new(),
        flushed: 0,
        tail: 0,
        hash: encode(&Algorithm::Sha256.hasher()),
    };
    objects.put_object(&session_path(objects, &id), session.to_bytes()).await?;
    Ok(id)
}

pub async fn find(objects: &Objects, id: &UploadId) -> Result<Option<Upload>, StorageError> {
    let Some(Loaded { session, .. }) = load(objects, id).await? else { return Ok(None) };
    let repository = session.repository.parse().map_err(|_| damaged(id))?;
    Ok(Some(Upload { repository, length: session.flushed + session.tail }))
}

/// See [`crate::storage::Storage::append`].
pub async fn append(
    objects: &Objects,
    id: &UploadId,
    at: Option<u64>,
    mut body: Incoming,
) -> Result<u64, UploadError> {
    let mut writer = Writer::open(objects, id).await?;
    let length = writer.length();
    if at.is_some_and(|at| at != length) {
        return Err(UploadError::Offset { length });
    }
    let interrupted = loop {
        match body.next().await {
            Some(Ok(bytes)) => writer.write(bytes).await?,
            Some(Err(interrupted)) => break Some(interrupted),
            None => break None,
        }
    };
    let length = writer.pause().await?;
    interrupted.map_or(Ok(length), |interrupted| Err(interrupted.into()))
}

/// See [`crate::storage::Storage::commit`].
pub async fn commit(objects: &Objects, id: &UploadId, digest: &Digest) -> Result<u64, UploadError> {
    let mut writer = Writer::open(objects, id).await?;
    let size = writer.length();
    let verified = match digest.algorithm() {
        Algorithm::Sha256 => Some(writer.hasher.clone().finish()),
        Algorithm::Sha512 => None,
    };
    if let Some(actual) = verified.filter(|actual| actual != digest) {
        abort(objects, id).await?;
        return Err(UploadError::Mismatch { actual });
    }
    writer.complete().await?;
    if verified.is_none() {
        // Only the finished object can be read, and nobody finds it without a note.
        let actual = hash(objects, id, digest.algorithm()).await?;
        if actual != *digest {
            objects.delete(&data_path(objects, id)).await?;
            abort(objects, id).await?;
            return Err(UploadError::Mismatch { actual });
        }
    }
    objects.write_note(digest, id, size).await?;
    forget(objects, id).await?;
    Ok(size)
}

pub async fn abort(objects: &Objects, id: &UploadId) -> Result<bool, StorageError> {
    let Some(Loaded { session, .. }) = load(objects, id).await? else { return Ok(false) };
    if let Some(multipart) = &session.multipart {
        match objects.multipart.abort_multipart(&data_path(objects, id), multipart).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed("give up an upload")(error)),
        }
    }
    forget(objects, id).await?;
    Ok(true)
}

/// Removes the session and what belongs to it.
async fn forget(objects: &Objects, id: &UploadId) -> Result<(), StorageError> {
    let directory = objects.path(&format!("uploads/{}", id.as_str()));
    let found: Vec<Path> = objects
        .store
        .list(Some(&directory))
        .map_ok(|object| object.location)
        .try_collect()
        .await
        .map_err(failed("list"))?;
    for path in found {
        objects.delete(&path).await?;
    }
    Ok(())
}

async fn hash(objects: &Objects, id: &UploadId, algorithm: Algorithm) -> Result<Digest, StorageError> {
    let found = objects.store.get(&data_path(objects, id)).await.map_err(failed("read"))?;
    let mut hasher = algorithm.hasher();
    let mut bytes = found.into_stream();
    while let Some(bytes) = bytes.try_next().await.map_err(failed("read"))? {
        hasher.update(&bytes);
    }
    Ok(hasher.finish())
}

/// An upload being appended to.
struct Writer<'a> {
    objects: &'a Objects,
    id: &'a UploadId,
    session: Session,
    version: UpdateVersion,
    hasher: Hasher,
    spool: Spool,
}

impl<'a> Writer<'a> {
    async fn open(objects: &'a Objects, id: &'a UploadId) -> Result<Writer<'a>, UploadError> {
        let Loaded { session, version } = load(objects, id).await?.ok_or(UploadError::Unknown)?;
        let hasher = decode(&session.hash).ok_or_else(|| damaged(id))?;
        let mut spool = Spool::new().await?;
        if session.tail > 0 {
            // Removed by whoever went on with it in the meantime.
            let tail = objects.get(&tail_path(objects, id, &session)).await?.ok_or(UploadError::Busy)?;
            spool = spool.write(tail).await?;
        }
        Ok(Writer { objects, id, session, version, hasher, spool })
    }

    fn length(&self) -> u64 {
        self.session.flushed + self.spool.length as u64
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), UploadError> {
        while !bytes.is_empty() {
            let room = self.objects.part - self.spool.length;
            let now = bytes.split_to(room.min(bytes.len()));
            self.hasher.update(&now);
            self.spool = std::mem::take(&mut self.spool).write(now).await?;
            if self.spool.length == self.objects.part {
                self.flush().await?;
                self.save().await?;
            }
        }
        Ok(())
    }

    /// Sends what was collected as a part.
    async fn flush(&mut self) -> Result<(), StorageError> {
        let path = data_path(self.objects, self.id);
        let multipart = match &self.session.multipart {
            Some(multipart) => multipart.clone(),
            None => {
                let begun = self.objects.multipart.create_multipart(&path).await;
                self.session.multipart.insert(begun.map_err(failed("begin an upload"))?).clone()
            }
        };
        let turn = self.objects.parts.acquire().await.expect("never closed");
        let content = self.take().await?;
        let length = content.len() as u64;
        let index = self.session.parts.len();
        let part =
            self.objects.multipart.put_part(&path, &multipart, index, PutPayload::from_bytes(content)).await;
        drop(turn);
        self.session.parts.push(part.map_err(failed("write"))?.content_id);
        self.session.flushed += length;
        self.session.tail = 0;
        Ok(())
    }

    async fn take(&mut self) -> Result<Bytes, StorageError> {
        let (content, spool) = std::mem::take(&mut self.spool).take().await?;
        self.spool = spool;
        Ok(content)
    }

    /// Puts what is not enough for a part aside, and returns the upload's length.
    async fn pause(mut self) -> Result<u64, UploadError> {
        let length = self.length();
        let old_tail = (self.session.tail > 0).then(|| tail_path(self.objects, self.id, &self.session));
        let content = self.take().await?;
        self.session.tail = content.len() as u64;
        let tail = tail_path(self.objects, self.id, &self.session);
        if !content.is_empty() {
            self.objects.put_object(&tail, content).await?;
        }
        self.save().await?;
        if let Some(old) = old_tail.filter(|old| *old != tail) {
            self.objects.delete(&old).await?;
        }
        Ok(length)
    }

    /// Writes the session, unless somebody else did since it was read.
    async fn save(&mut self) -> Result<(), UploadError> {
        self.session.hash = encode(&self.hasher);
        let payload = PutPayload::from_bytes(self.session.to_bytes());
        let path = session_path(self.objects, self.id);
        let mode = PutMode::Update(self.version.clone());
        match self.objects.store.put_opts(&path, payload, mode.into()).await {
            Ok(put) => {
                self.version = UpdateVersion { e_tag: put.e_tag, version: put.version };
                Ok(())
            }
            Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                Err(UploadError::Busy)
            }
            Err(error) => Err(failed("write")(error).into()),
        }
    }

    /// Makes the object of everything that came.
    async fn complete(&mut self) -> Result<(), UploadError> {
        let path = data_path(self.objects, self.id);
        let length = self.length();
        if self.session.multipart.is_none() {
            let content = self.take().await?;
            return Ok(self.objects.put_object(&path, content).await?);
        }
        if self.spool.length > 0 {
            self.flush().await?;
        }
        let multipart = self.session.multipart.clone().ok_or_else(|| damaged(self.id))?;
        let parts = self.session.parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        match self.objects.multipart.complete_multipart(&path, &multipart, parts).await {
            Ok(_) => Ok(()),
            // It was completed before, by a request whose end nobody saw.
            Err(error) => match self.objects.store.head(&path).await {
                Ok(object) if object.size == length => Ok(()),
                _ => Err(failed("end an upload")(error).into()),
            },
        }
    }
}

impl Session {
    fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("strings and numbers").into()
    }
}

async fn load(objects: &Objects, id: &UploadId) -> Result<Option<Loaded>, StorageError> {
    let found = match objects.store.get(&session_path(objects, id)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed("read")(error)),
    };
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let content = found.bytes().await.map_err(failed("read"))?;
    let session = serde_json::from_slice(&content).map_err(|_| damaged(id))?;
    Ok(Some(Loaded { session, version }))
}

/// Bytes put aside in a file without a name.
#[derive(Default)]
struct Spool {
    file: Option<File>,
    length: usize,
}

impl Spool {
    async fn new() -> Result<Spool, StorageError> {
        blocking(|| Ok(Spool { file: Some(unnamed_file()?), length: 0 })).await
    }

    async fn write(mut self, bytes: Bytes) -> Result<Spool, StorageError> {
        blocking(move || {
            let file = self.file.as_mut().expect("given at the beginning");
            file.write_all(&bytes)?;
            self.length += bytes.len();
            Ok(self)
        })
        .await
    }

    /// All that was written, and the empty spool.
    async fn take(mut self) -> Result<(Bytes, Spool), StorageError> {
        blocking(move || {
            let file = self.file.as_mut().expect("given at the beginning");
            let mut content = Vec::with_capacity(self.length);
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut content)?;
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            self.length = 0;
            Ok((Bytes::from(content), self))
        })
        .await
    }
}

fn unnamed_file() -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    let done = spawn_blocking(work).await.expect("blocking work does not panic");
    done.map_err(|source| StorageError::Io { what: "put an upload aside".to_owned(), source })
}

fn session_path(objects: &Objects, id: &UploadId) -> Path {
    objects.path(&format!("uploads/{}/session", id.as_str()))
}

fn tail_path(objects: &Objects, id: &UploadId, session: &Session) -> Path {
    objects.path(&format!("uploads/{}/tail-{}-{}", id.as_str(), session.flushed, session.tail))
}

fn data_path(objects: &Objects, id: &UploadId) -> Path {
    objects.path(&format!("data/{}", id.as_str()))
}

fn encode(hasher: &Hasher) -> String {
    BASE64_STANDARD.encode(hasher.save().expect("uploads are hashed with sha256"))
}

fn decode(state: &str) -> Option<Hasher> {
    Hasher::resume(&BASE64_STANDARD.decode(state).ok()?)
}

fn damaged(id: &UploadId) -> StorageError {
    StorageError::Damaged(format!("upload {}", id.as_str()))
}
