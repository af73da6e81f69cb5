//! Unpacking a layer's blob while it is read: reading and hashing, inflating, and writing files go on at once,
//! each in a thread of its own.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use types::Digest;

use super::{Lease, StoreError, TREE, disk};
use crate::{
    compression::{self, Compression},
    hashed::{BUFFER, Copied, Hashed},
    layer::{self, Form, UnpackError, Unpacked},
    manifest::Descriptor,
    pipe::{Flow, pipe},
    tarball::{Reader, TarError},
    tree::{Links, Root},
};

/// A layer that is unpacked and verified, and not yet in its place.
pub struct Staged {
    /// The blob it came from, whose media type says how it is compressed.
    pub blob: Descriptor,
    pub diff_id: Digest,
    /// What becomes the layer's directory.
    pub(super) directory: PathBuf,
    /// The blob's bytes, unless the store has them.
    pub(super) bytes: Option<PathBuf>,
    pub(super) size: u64,
    pub(super) implied: Vec<PathBuf>,
}

impl Lease {
    /// Unpacks a layer from a stream of its blob, compressed or not, keeping the blob. Nothing of it is
    /// visible before [`Lease::place`], and that only if it is what `expected`, the blob and the diff id, say.
    pub fn unpack(
        &self,
        source: impl Read,
        expected: Option<(&Descriptor, Digest)>,
    ) -> Result<Staged, StoreError> {
        let keep = match expected {
            Some((blob, _)) => {
                self.claim(&[blob.digest])?;
                !self.store().has_blob(&blob.digest)?
            }
            None => true,
        };
        let bytes = keep.then(|| self.new_path());
        let copy = match &bytes {
            Some(path) => Some(File::create_new(path).map_err(disk::error(path))?),
            None => None,
        };
        self.unpack_from(Copied { source, copy }, expected, bytes)
    }

    /// Unpacks a blob that the store has. If it proves to be damaged it is taken out of the store, so that
    /// it can be downloaded again.
    pub fn unpack_blob(&self, blob: &Descriptor, diff_id: Digest) -> Result<Staged, StoreError> {
        self.claim(&[blob.digest])?;
        let source = self.store().open_blob(&blob.digest)?;
        let unpacked = self.unpack_from(source, Some((blob, diff_id)), None);
        if unpacked.is_err() && !self.store().is_sound(blob)? {
            self.set_aside(&blob.digest)?;
        }
        unpacked
    }

    /// [`Lease::unpack`] for a file of this lease whose content has this digest and size: it is not hashed again.
    /// It becomes the store's if it is `owned`, and then no bytes are copied.
    pub(crate) fn unpack_file(
        &self,
        file: &Path,
        content: (Digest, u64),
        blob: &Descriptor,
        diff_id: Digest,
        owned: bool,
    ) -> Result<Staged, StoreError> {
        let failed = |source| StoreError::Unpack { blob: blob.digest, source };
        let stage = Stage::new(self)?;
        let source = File::open(file).map_err(disk::error(file))?;
        let mut source = BufReader::with_capacity(BUFFER, source);
        let start = source.fill_buf().map_err(disk::error(file))?;
        let filled = match Compression::of(start) {
            Compression::None => {
                let unpacked = stage.unpack(source).map_err(failed)?;
                Filled { compression: Compression::None, inflated: None, unpacked }
            }
            _ => stage.inflate(&mut source).map_err(failed)?,
        };
        stage.finish(filled, content, Some((blob, diff_id)), owned.then(|| file.to_owned()))
    }

    pub(super) fn unpack_from(
        &self,
        source: impl Read,
        expected: Option<(&Descriptor, Digest)>,
        bytes: Option<PathBuf>,
    ) -> Result<Staged, StoreError> {
        let failed = |source| match expected {
            Some((blob, _)) => StoreError::Unpack { blob: blob.digest, source },
            None => StoreError::UnpackUnknown(source),
        };
        let stage = Stage::new(self)?;
        let limit = expected.map_or(u64::MAX, |(blob, _)| blob.size);
        let mut stored = Hashed::new(source).limited(limit);
        let outcome = pipe(|feed| feed.pump(&mut stored), |flow| stage.fill(flow));
        let (read, filled) = outcome.map_err(unreadable).map_err(failed)?;
        read.map_err(unreadable).map_err(failed)?;
        let filled = filled.map_err(failed)?;
        let total = stored.finish().map_err(unreadable).map_err(failed)?;
        stage.finish(filled, total, expected, bytes)
    }
}

/// The directory that a layer is unpacked to.
pub(super) struct Stage {
    directory: PathBuf,
    tree: Root,
}

/// What was unpacked.
pub(super) struct Filled {
    compression: Compression,
    /// The digest of what was inflated, if anything had to be.
    inflated: Option<Digest>,
    unpacked: Unpacked,
}

impl Stage {
    pub fn new(lease: &Lease) -> Result<Stage, StoreError> {
        let directory = lease.new_path();
        let path = directory.join(TREE);
        disk::make_directory(&path)?;
        // Few archives describe their root, and it is nobody's secret.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(disk::error(&path))?;
        let tree = Root::open(&path, Links::Refused).map_err(disk::error(&path))?;
        Ok(Stage { directory, tree })
    }

    /// Unpacks a blob's bytes, inflating them in a further thread if they are compressed.
    pub fn fill(&self, mut blob: Flow) -> Result<Filled, UnpackError> {
        match Compression::of(blob.fill_buf().map_err(unreadable)?) {
            Compression::None => {
                let unpacked = self.unpack(blob)?;
                Ok(Filled { compression: Compression::None, inflated: None, unpacked })
            }
            _ => self.inflate(&mut blob),
        }
    }

    fn inflate(&self, blob: &mut impl BufRead) -> Result<Filled, UnpackError> {
        let (compression, plain) = compression::decode(&mut *blob).map_err(unreadable)?;
        let mut plain = Hashed::new(plain);
        let outcome = pipe(|feed| feed.pump(&mut plain), |flow| self.unpack(flow));
        let (inflated, unpacked) = outcome.map_err(unreadable)?;
        inflated.map_err(unreadable)?;
        let unpacked = unpacked?;
        let (digest, _) = plain.finish().map_err(unreadable)?;
        drain(blob)?;
        Ok(Filled { compression, inflated: Some(digest), unpacked })
    }

    fn unpack(&self, mut plain: impl BufRead) -> Result<Unpacked, UnpackError> {
        let unpacked = layer::unpack(&mut Reader::new(&mut plain), &self.tree, Form::Layer)?;
        drain(plain)?;
        Ok(unpacked)
    }

    /// The layer, if its blob's digest and size and its diff id are as expected.
    pub fn finish(
        self,
        filled: Filled,
        (digest, size): (Digest, u64),
        expected: Option<(&Descriptor, Digest)>,
        bytes: Option<PathBuf>,
    ) -> Result<Staged, StoreError> {
        let diff_id = filled.inflated.unwrap_or(digest);
        let mut blob = Descriptor::new(filled.compression.media_type(), digest, size);
        if let Some((wanted, wanted_diff_id)) = expected {
            wanted.check(digest, size)?;
            if diff_id != wanted_diff_id {
                return Err(StoreError::DamagedLayer { expected: wanted_diff_id, actual: diff_id });
            }
            blob = wanted.clone();
        }
        let Unpacked { size, implied } = filled.unpacked;
        Ok(Staged { blob, diff_id, directory: self.directory, bytes, size, implied })
    }
}

fn unreadable(error: io::Error) -> UnpackError {
    UnpackError::Archive(TarError::Read(error))
}

/// Reads what is left, so that whoever gives it gets to the end.
fn drain(mut source: impl BufRead) -> Result<(), UnpackError> {
    io::copy(&mut source, &mut io::sink()).map(drop).map_err(unreadable)
}

impl Descriptor {
    /// Whether content with this digest and size is what the descriptor names.
    pub(super) fn check(&self, digest: Digest, size: u64) -> Result<(), StoreError> {
        if size != self.size {
            return Err(StoreError::WrongSize { digest: self.digest, expected: self.size, actual: size });
        }
        if digest != self.digest {
            return Err(StoreError::Damaged { expected: self.digest, actual: digest });
        }
        Ok(())
    }
}
