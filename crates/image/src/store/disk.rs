//! Files written so that a crash at any instant leaves the old content or the new.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    num::NonZeroU64,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use rustix::fs::{Advice, fadvise};

use super::StoreError;

/// Makes a directory that only its owner can use, and those above it; it may exist.
pub fn make_directory(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(error(path))
}

/// Writes a new file whose content is on the disk when this returns, under a name nobody else uses.
pub fn write_synced(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(content)?;
        file.sync_data()
    };
    write().map_err(error(path))
}

/// A large file whose content goes to the disk while it is written, so that little is left to wait for when it is synced.
pub struct Early {
    file: File,
    written: u64,
}

impl Early {
    /// Makes a new file, under a name nobody else uses.
    pub fn create(path: &Path) -> Result<Early, StoreError> {
        Ok(Early { file: File::create_new(path).map_err(error(path))?, written: 0 })
    }
}

impl Write for Early {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        let before = self.written / STRETCH * STRETCH;
        self.written += count as u64;
        if self.written - before >= STRETCH {
            // Linux starts to write what it is told will not be needed, and keeps it until it is written. Advice that is not
            // taken costs time, and nothing else.
            let _ = fadvise(&self.file, before, NonZeroU64::new(self.written - before), Advice::DontNeed);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Puts the directory's names on the disk.
pub fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(error(path))
}

/// Puts everything on the disk that was written to the file system which holds `path`.
pub fn sync_all(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| Ok(rustix::fs::syncfs(file)?)).map_err(error(path))
}

/// Gives `from` the name `to`, replacing what has it.
pub fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(error(to))
}

/// Tells at which path something went wrong.
pub fn error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Disk { path: path.to_owned(), source }
}

/// Bytes that are worth a seek.
const STRETCH: u64 = 8 << 20;
