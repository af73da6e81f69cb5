//! Copies images from one repository to another, of the same registry or not, without keeping anything here.
//!
//! The bytes of manifests are passed on as they are, so the copy has the digest of the original.

use std::{
    io::{self, Read},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use image::manifest::{Descriptor, Document, InvalidDocument};
use types::{Digest, Platform};

use crate::{Blob, ClientError, Fetched, Mounted, Repository, Selector, at_once::for_each_at_once};

/// What came of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What the target now knows the image by.
    pub digest: Digest,
    pub media_type: String,
    /// The size of the manifest or index, in bytes.
    pub size: u64,
    /// How many bytes of blobs had to be sent.
    pub sent: u64,
}

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("manifest {digest} is invalid")]
    Invalid { digest: Digest, source: InvalidDocument },
    #[error("the image is not for {0}")]
    NoPlatform(Platform),
    #[error("indexes are nested deeper than anybody needs")]
    NestedIndex,
}

/// Copies what `which` names in `from` to `to` under `name`: with `platform` only the image for that one, else all.
/// `watch` is told the blobs that are sent, mounted or found there, each once it is.
pub fn copy(
    (from, which): (&Repository<'_>, &Selector),
    (to, name): (&Repository<'_>, &Selector),
    platform: Option<&Platform>,
    watch: &(dyn Fn(&Descriptor, Passed) + Sync),
) -> Result<Copied, CopyError> {
    let mut fetched = from.manifest(which)?;
    let copy = Copy { from, to, watch, sent: AtomicU64::new(0) };
    if let Some(platform) = platform
        && let Document::Index(index) = parse(&fetched)?
    {
        let chosen = index.for_platform(platform).ok_or_else(|| CopyError::NoPlatform(platform.clone()))?;
        fetched = from.manifest(&Selector::Digest(chosen.digest))?;
    }
    copy.document(&fetched, name, 0)?;
    let Fetched { digest, media_type, bytes } = fetched;
    Ok(Copied { digest, media_type, size: bytes.len() as u64, sent: copy.sent.into_inner() })
}

/// How a blob came to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    Sent,
    Mounted,
    /// It was there.
    There,
}

struct Copy<'a> {
    from: &'a Repository<'a>,
    to: &'a Repository<'a>,
    watch: &'a (dyn Fn(&Descriptor, Passed) + Sync),
    sent: AtomicU64,
}

impl Copy<'_> {
    /// Copies a manifest or an index, and before it all that it names.
    fn document(&self, fetched: &Fetched, name: &Selector, depth: usize) -> Result<(), CopyError> {
        match parse(fetched)? {
            Document::Manifest(manifest) => {
                let blobs = manifest.layers.iter().chain([&manifest.config]);
                let mut blobs: Vec<&Descriptor> = blobs.filter(|blob| !is_elsewhere(blob)).collect();
                blobs.sort_by_key(|blob| blob.digest);
                blobs.dedup_by_key(|blob| blob.digest);
                for_each_at_once(blobs, |blob, stop| self.blob(blob, stop))?;
            }
            Document::Index(_) if depth == INDEX_DEPTH => return Err(CopyError::NestedIndex),
            Document::Index(index) => {
                for child in &index.manifests {
                    let selector = Selector::Digest(child.digest);
                    if self.to.find_manifest(&selector)?.is_none() {
                        self.document(&self.from.manifest(&selector)?, &selector, depth + 1)?;
                    }
                }
            }
        }
        self.to.put_manifest(name, &fetched.media_type, &fetched.bytes)?;
        Ok(())
    }

    fn blob(&self, blob: &Descriptor, stop: &AtomicBool) -> Result<(), CopyError> {
        let passed = if self.to.has_blob(&blob.digest)?.is_some() {
            Passed::There
        } else if self.from.registry() == self.to.registry()
            && matches!(self.to.mount_blob(&blob.digest, self.from.path())?, Mounted::Yes)
        {
            Passed::Mounted
        } else {
            let open = |offset| -> io::Result<Box<dyn Read + Send + '_>> {
                let source = self.from.blob(blob, offset).map_err(io::Error::other)?;
                Ok(Box::new(Passing { source, stop }))
            };
            self.to.upload_blob(blob, &open, &|_| {})?;
            self.sent.fetch_add(blob.size, Ordering::Relaxed);
            Passed::Sent
        };
        (self.watch)(blob, passed);
        Ok(())
    }
}

/// A blob on its way, which stops when it is told to.
struct Passing<'a> {
    source: Blob<'a>,
    stop: &'a AtomicBool,
}

impl Read for Passing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("another blob failed")),
            false => self.source.read(buffer),
        }
    }
}

fn parse(fetched: &Fetched) -> Result<Document, CopyError> {
    let invalid = |source| CopyError::Invalid { digest: fetched.digest, source };
    Document::parse(&fetched.bytes, &fetched.media_type).map_err(invalid)
}

/// Whether a layer is not in the registry by intent, but at an address of its own.
fn is_elsewhere(blob: &Descriptor) -> bool {
    blob.media_type.contains("foreign") || blob.media_type.contains("nondistributable")
}

/// How deep indexes may be nested.
const INDEX_DEPTH: usize = 2;
