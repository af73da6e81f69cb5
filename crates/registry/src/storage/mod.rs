//! Where a registry keeps what it was given.
//!
//! Three kinds of things, because they want three kinds of care:
//!
//! - **Documents** are small and named by a [`Key`]: tags, links, sessions. Replaced as a whole, never half written.
//! - **Blobs** are large, named by their digest, and immutable once they are there. One copy serves all repositories;
//!   which repository may serve it is told by documents.
//! - **Uploads** are blobs on their way, appended to by one request after another, perhaps through several processes.
//!
//! Nothing here knows HTTP, manifests or who may do what.

mod files;
mod key;
#[cfg(feature = "s3")]
mod objects;

use std::{fmt, io, ops::Range, pin::Pin, str::FromStr, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

pub use files::Files;
pub use key::{Key, Prefix};
#[cfg(feature = "s3")]
pub use objects::{InvalidLocation, Objects, S3Location};

use crate::{digest::Digest, name::RepositoryName};

/// Storage for one registry, shared by any number of requests and processes.
///
/// Every promise below holds for concurrent callers, in this process and in others, and whatever is killed:
///
/// - What a call reported as done is there after a power failure.
/// - A reader sees a document or a blob as it was before a write or after it, never in between.
/// - What was put in place is found by every call that begins afterwards.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// The document `key`, or `None`.
    async fn document(&self, key: &Key) -> Result<Option<Bytes>, StorageError>;

    /// When the document `key` was last put or renewed; `None` if there is none.
    async fn modified(&self, key: &Key) -> Result<Option<SystemTime>, StorageError>;

    /// Puts `content` under `key`, in place of what was there.
    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError>;

    /// Removes the document `key`; false if there was none.
    async fn remove(&self, key: &Key) -> Result<bool, StorageError>;

    /// All documents whose key begins with `prefix`, in no order.
    fn list(&self, prefix: &Prefix) -> Listing<Listed<Key>>;

    /// The size and age of a blob, or `None`.
    async fn blob(&self, digest: &Digest) -> Result<Option<Blob>, StorageError>;

    /// The bytes of a blob within `range`, which lies within its size; `None` if there is no such blob.
    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<ByteStream>, StorageError>;

    /// Puts `content`, whose digest the caller has computed, in place as a blob. Makes an older one young.
    async fn insert(&self, digest: &Digest, content: Bytes) -> Result<(), StorageError>;

    /// Makes a blob young, as if it had been put in place now; false if there is none.
    async fn renew_blob(&self, digest: &Digest) -> Result<bool, StorageError>;

    /// Removes a blob; false if there was none.
    async fn remove_blob(&self, digest: &Digest) -> Result<bool, StorageError>;

    /// All blobs, in no order.
    fn blobs(&self) -> Listing<Listed<Digest>>;

    /// Begins an upload.
    async fn begin(&self, repository: &RepositoryName) -> Result<UploadId, StorageError>;

    /// What is known of an upload, or `None` if there is none.
    async fn upload(&self, id: &UploadId) -> Result<Option<Upload>, StorageError>;

    /// Adds what `body` yields to the end of an upload, and returns its new length.
    ///
    /// With `at`, only if that is where the upload ends. When `body` breaks off, what came before is kept and counts.
    /// One caller appends at a time; others are refused as [`UploadError::Busy`].
    async fn append(&self, id: &UploadId, at: Option<u64>, body: Incoming) -> Result<u64, UploadError>;

    /// Turns an upload into the blob `digest`, and returns its size. When the content is another, the upload is gone.
    async fn commit(&self, id: &UploadId, digest: &Digest) -> Result<u64, UploadError>;

    /// Forgets an upload; false if there was none.
    async fn abort(&self, id: &UploadId) -> Result<bool, StorageError>;

    /// All uploads, in no order.
    fn uploads(&self) -> Listing<Listed<UploadId>>;

    /// Waits until `pass` is free, and holds it until the guard is dropped. Whoever relies on finding a blob again has a
    /// shared one; whoever removes what nobody uses, the exclusive one.
    async fn gate(&self, pass: Pass) -> Result<Box<dyn Gate>, StorageError>;

    /// Whether the storage answers.
    async fn check(&self) -> Result<(), StorageError>;

    /// Removes what was left behind by processes that were killed, if it is older than `before`.
    async fn sweep(&self, before: SystemTime) -> Result<(), StorageError>;
}

/// Bytes on their way out.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send>>;

/// Bytes on their way in.
pub type Incoming = Pin<Box<dyn Stream<Item = Result<Bytes, Interrupted>> + Send>>;

/// What a listing yields.
pub type Listing<T> = Pin<Box<dyn Stream<Item = Result<T, StorageError>> + Send>>;

/// One thing found by a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    pub name: T,
    pub modified: SystemTime,
    pub size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub size: u64,
    pub modified: SystemTime,
}

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub repository: RepositoryName,
    pub length: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Shared,
    Exclusive,
}

/// A pass that is held.
pub trait Gate: Send + Sync {}

/// Names an upload: 128 random bits, so that knowing it is proof of having begun it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// A new one. Fails if the kernel gives no randomness.
    pub fn random() -> io::Result<UploadId> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(UploadId(format!("{:032x}", u128::from_ne_bytes(bytes))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = ();

    fn from_str(text: &str) -> Result<UploadId, ()> {
        let valid = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid { Ok(UploadId(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {what}")]
    Io { what: String, source: io::Error },
    #[cfg(feature = "s3")]
    #[error("the object store cannot {what}")]
    Object { what: &'static str, source: object_store::Error },
    #[error("{0} is damaged")]
    Damaged(String),
}

/// The bytes of an upload stopped coming.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    #[error("the client went away")]
    Gone,
    #[error("no bytes for too long")]
    TooSlow,
    #[error("more bytes than declared")]
    TooMany,
    #[error("a newer request goes on with the upload")]
    Replaced,
}

/// Why an upload did not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("no such upload")]
    Unknown,
    #[error("the upload ends at {length}")]
    Offset { length: u64 },
    #[error("another request is adding to the upload")]
    Busy,
    #[error("the content hashes to {actual}")]
    Mismatch { actual: Digest },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[cfg(test)]
mod tests;
