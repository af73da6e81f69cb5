//! The files of downloads that are not complete: locked by whoever goes on with one, removed when nobody does.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use rustix::{fs::FlockOperation, io::Errno};

use super::{Store, StoreError, collect::names, disk};

impl Store {
    /// Removes what downloads left, except those that are going on. The bytes that were freed.
    pub fn drop_partials(&self) -> Result<u64, StoreError> {
        self.drop_partials_older_than(Duration::ZERO)
    }

    /// [`Store::drop_partials`] of those that nothing was added to for so long. Should the clock have jumped,
    /// more is downloaded again than need be.
    pub(super) fn drop_partials_older_than(&self, age: Duration) -> Result<u64, StoreError> {
        let mut freed = 0;
        for name in names(&self.partials())? {
            let path = self.partials().join(name);
            freed += drop_partial(&path, age).map_err(disk::error(&path))?;
        }
        Ok(freed)
    }
}

fn drop_partial(path: &Path, age: Duration) -> io::Result<u64> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(0),
        result => result?,
    }
    let metadata = file.metadata()?;
    let is_old = age.is_zero() || metadata.modified()?.elapsed().is_ok_and(|elapsed| elapsed > age);
    if !is_old || !is_at(&file, path)? {
        return Ok(0);
    }
    fs::remove_file(path)?;
    Ok(metadata.blocks() * 512)
}

/// Opens the file at `path`, making it if need be, and locks it, which may take long. None if it has moved
/// away meanwhile.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    while let Err(error) = rustix::fs::flock(&file, FlockOperation::LockExclusive) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    Ok(is_at(&file, path)?.then_some(file))
}

/// Whether `path` names this very file.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
