//! Files written so that a crash at any instant leaves the old content or the new.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

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
