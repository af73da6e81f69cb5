//! Downloads: blobs that come bit by bit, in one process at a time, and go on where they stopped.
//!
//! ```text
//! partial/<hex>   every byte as it arrives ──verified, synced──▶ blobs/sha256/<hex>
//! ```
//!
//! Whoever has the file locked adds to it; a `kill -9` lets go of it, and the next download of the blob
//! starts from what is there. A connection that breaks loses nothing. A source that lies loses everything:
//! bytes that proved to be wrong are never built upon.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::PathBuf,
};

use types::{Digest, Hasher};

use super::{
    Lease, Staged, Store, StoreError, disk,
    partial::{is_at, lock},
    unpack::Stage,
};
use crate::{hashed::BUFFER, layer::UnpackError, manifest::Descriptor, pipe::pipe};

/// A blob of which some may have arrived. Nobody else adds to it as long as this lives.
#[derive(Debug)]
pub struct Download {
    path: PathBuf,
    /// Locked; whatever is written goes to its end.
    file: File,
    length: u64,
}

impl Download {
    /// How many bytes are there already.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Lease {
    /// Begins or resumes the download of a blob; none if the store has it by now.
    ///
    /// Waits while somebody else, a thread of this process perhaps, downloads the same. Complete one
    /// download before you ask for the next: two processes that wait for each other would wait for ever.
    pub fn download(&self, blob: &Descriptor) -> Result<Option<Download>, StoreError> {
        self.claim(&[blob.digest])?;
        let path = self.store().partial_path(&blob.digest);
        while !self.store().has_blob(&blob.digest)? {
            let Some(file) = lock(&path).map_err(disk::error(&path))? else { continue };
            if self.store().has_blob(&blob.digest)? {
                // It came by another way, in an archive say.
                fs::remove_file(&path).map_err(disk::error(&path))?;
                break;
            }
            let mut length = file.metadata().map_err(disk::error(&path))?.len();
            if length > blob.size {
                file.set_len(0).map_err(disk::error(&path))?;
                length = 0;
            }
            return Ok(Some(Download { path, file, length }));
        }
        Ok(None)
    }

    /// Completes a download. `rest` opens the source of the bytes from an offset on; it is not asked if all are
    /// there. Afterwards the store has the blob.
    ///
    /// If the source breaks off ([`StoreError::Source`]), what arrived stays for the next try. If the bytes prove
    /// to be wrong they are removed. Should some have been there before, trying again is worth it: a crash may
    /// have spoilt those.
    pub fn finish_download<R: Read>(
        &self,
        download: Download,
        blob: &Descriptor,
        rest: impl FnOnce(u64) -> io::Result<R>,
    ) -> Result<(), StoreError> {
        let mut bytes = Bytes::open(&download, blob, rest)?;
        let read = bytes.drain();
        let (digest, size) = bytes.total();
        download.settle(self.store(), blob, read.and_then(|()| blob.check(digest, size)))
    }

    /// [`Lease::finish_download`] of a layer, which is unpacked on the way.
    pub fn unpack_download<R: Read>(
        &self,
        download: Download,
        blob: &Descriptor,
        diff_id: Digest,
        rest: impl FnOnce(u64) -> io::Result<R>,
    ) -> Result<Staged, StoreError> {
        let stage = Stage::new(self)?;
        let mut bytes = Bytes::open(&download, blob, rest)?;
        let (_, filled) =
            pipe(|feed| feed.pump(&mut bytes), |flow| stage.fill(flow)).map_err(StoreError::Source)?;
        // What stopped the reading stopped the unpacking too, which does not know why.
        let filled = match (bytes.failure.take(), filled) {
            (Some(error), _) => Err(error),
            (None, Ok(filled)) => Ok(filled),
            (None, Err(source)) => Err(bytes.blame(blob, source)),
        };
        let total = bytes.total();
        let staged = filled.and_then(|filled| stage.finish(filled, total, Some((blob, diff_id)), None));
        download.settle(self.store(), blob, staged)
    }
}

impl Download {
    /// Makes the file the store's blob if `outcome` is good, and removes it if that says its bytes are wrong.
    fn settle<T>(
        self,
        store: &Store,
        blob: &Descriptor,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &outcome {
            Ok(_) => {
                self.file.sync_data().map_err(disk::error(&self.path))?;
                disk::rename(&self.path, &store.blob_path(&blob.digest))?;
            }
            Err(error) if blames_bytes(error) => {
                fs::remove_file(&self.path).map_err(disk::error(&self.path))?;
            }
            Err(_) => {}
        }
        outcome
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|file| file.len() == 0);
        if is_empty && is_at(&self.file, &self.path).unwrap_or(false) {
            // Of no use to anybody, and of no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether an error shows that the bytes are not what they should be, rather than that something went wrong
/// with getting or unpacking them.
fn blames_bytes(error: &StoreError) -> bool {
    match error {
        StoreError::WrongSize { .. } | StoreError::Damaged { .. } | StoreError::DamagedLayer { .. } => true,
        StoreError::Unpack { source, .. } => {
            matches!(source, UnpackError::Archive(_) | UnpackError::Refused { .. })
        }
        _ => false,
    }
}

/// A blob's bytes: those on the disk, then those that arrive, each of which goes to the disk at once.
struct Bytes<'a, R> {
    download: &'a Download,
    local: io::Take<File>,
    rest: Option<R>,
    size: u64,
    hasher: Hasher,
    count: u64,
    /// Why reading failed.
    failure: Option<StoreError>,
    digest: Digest,
}

impl<'a, R: Read> Bytes<'a, R> {
    fn open(
        download: &'a Download,
        blob: &Descriptor,
        rest: impl FnOnce(u64) -> io::Result<R>,
    ) -> Result<Bytes<'a, R>, StoreError> {
        let Download { path, length, .. } = download;
        // Opened once more, because the locked one always is at its end.
        let local = File::open(path).map_err(disk::error(path))?.take(*length);
        let rest = match *length < blob.size {
            true => Some(rest(*length).map_err(StoreError::Source)?),
            false => None,
        };
        Ok(Bytes {
            download,
            local,
            rest,
            size: blob.size,
            hasher: Digest::hasher(),
            count: 0,
            failure: None,
            digest: blob.digest,
        })
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let path = &self.download.path;
        let mut count = self.local.read(buffer).map_err(disk::error(path))?;
        if count == 0
            && let Some(rest) = &mut self.rest
        {
            count = uninterrupted(|| rest.read(buffer)).map_err(StoreError::Source)?;
            let actual = self.count + count as u64;
            if count == 0 && actual < self.size {
                let early = io::Error::new(io::ErrorKind::UnexpectedEof, "the data ends early");
                return Err(StoreError::Source(early));
            }
            if actual > self.size {
                return Err(StoreError::WrongSize { digest: self.digest, expected: self.size, actual });
            }
            (&self.download.file).write_all(&buffer[..count]).map_err(disk::error(path))?;
        }
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }

    /// Reads what is left.
    fn drain(&mut self) -> Result<(), StoreError> {
        let mut buffer = vec![0; BUFFER];
        while self.next(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Why unpacking failed. Bytes that are no archive may well not be the blob's either: that is found out by
    /// reading the rest of them, and says more.
    fn blame(&mut self, blob: &Descriptor, source: UnpackError) -> StoreError {
        if matches!(source, UnpackError::Archive(_))
            && self.drain().is_ok()
            && let Err(damage) = blob.check(self.hasher.clone().finish(), self.count)
        {
            return damage;
        }
        StoreError::Unpack { blob: blob.digest, source }
    }

    /// The digest and size of what was read.
    fn total(self) -> (Digest, u64) {
        (self.hasher.finish(), self.count)
    }
}

impl<R: Read> Read for Bytes<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|failure| {
            self.failure = Some(failure);
            io::ErrorKind::BrokenPipe.into()
        })
    }
}

fn uninterrupted<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
