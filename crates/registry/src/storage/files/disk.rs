//! Files that survive a power failure once they have their name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self as stdio, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{super::UploadId, is_absent};
use crate::storage::StorageError;

/// The directory and how files come to be in it. Everything here blocks.
pub struct Disk {
    pub root: PathBuf,
}

impl Disk {
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Puts `content` under `path`, in place of what was there.
    pub fn put(&self, path: &Path, content: &[u8]) -> Result<(), StorageError> {
        if content.is_empty() {
            return self.put_empty(path);
        }
        let (mut file, aside) = self.aside()?;
        file.write_all(content).and_then(|()| file.sync_data()).map_err(io("write", &aside))?;
        self.rename(&aside, path)
    }

    /// An empty file needs no name aside: it is whole as soon as it is there.
    fn put_empty(&self, path: &Path) -> Result<(), StorageError> {
        self.with_parents(path, || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
            if file.metadata()?.len() > 0 {
                file.set_len(0)?;
                file.sync_all()?;
            }
            file.set_modified(SystemTime::now())
        })?;
        sync_directory_of(path)
    }

    /// Gives the file `aside`, which is synced, its name.
    pub fn rename(&self, aside: &Path, path: &Path) -> Result<(), StorageError> {
        self.with_parents(path, || fs::rename(aside, path))?;
        sync_directory_of(path)
    }

    /// A new file without a name that counts.
    fn aside(&self) -> Result<(File, PathBuf), StorageError> {
        let directory = self.path("temporary");
        let path =
            directory.join(UploadId::random().map_err(io("find randomness for", &directory))?.as_str());
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        Ok((file.map_err(io("create", &path))?, path))
    }

    /// Sets the file's time of change to now; false if there is none.
    pub fn renew(&self, path: &Path) -> Result<bool, StorageError> {
        match File::open(path).and_then(|file| file.set_modified(SystemTime::now())) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(io("renew", path)(error)),
        }
    }

    /// Removes a file, and the directories that it leaves empty; false if there was none.
    pub fn remove(&self, path: &Path) -> Result<bool, StorageError> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(io("remove", path)(error)),
        }
        sync_directory_of(path)?;
        // Those directly below the root stay. One that is not empty ends the walk.
        let mut directory = path.parent();
        while let Some(empty) = directory.filter(|d| d.parent().is_some_and(|parent| parent != self.root)) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            directory = empty.parent();
        }
        Ok(true)
    }

    /// Opens a file that is there to be locked.
    pub fn open_to_lock(&self, path: &Path) -> Result<File, StorageError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)
            .map_err(io("open", path))
    }

    /// Makes `path` and what is missing above it.
    pub fn create_directories(&self, path: &Path) -> Result<(), StorageError> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(io("create", path))?;
        // A directory that is new to its parent has to be synced there, up to the root.
        path.ancestors().take_while(|above| above.starts_with(&self.root)).try_for_each(sync_directory_of)
    }

    /// Removes what lies directly in `directory` and was not changed since `before`.
    pub fn sweep(&self, directory: &str, before: SystemTime) -> Result<(), StorageError> {
        let directory = self.path(directory);
        for entry in fs::read_dir(&directory).map_err(io("list", &directory))? {
            let entry = entry.map_err(io("list", &directory))?;
            // What is gone by now was somebody's work of this moment.
            let Ok(modified) = entry.metadata().and_then(|found| found.modified()) else { continue };
            if modified < before {
                self.remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Does `work`, making the directories above `path` when they turn out to be missing. Again and again, because
    /// whoever empties a directory removes it.
    fn with_parents(
        &self,
        path: &Path,
        mut work: impl FnMut() -> stdio::Result<()>,
    ) -> Result<(), StorageError> {
        for _ in 0..ATTEMPTS {
            match work() {
                Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
                    // Raced with a removal: the next round makes it again.
                    Some(parent) => drop(self.create_directories(parent)),
                    None => break,
                },
                done => return done.map_err(io("create", path)),
            }
        }
        work().map_err(io("create", path))
    }
}

/// Syncs the directory that `path` is in, so that its name lasts.
fn sync_directory_of(path: &Path) -> Result<(), StorageError> {
    let Some(directory) = path.parent() else { return Ok(()) };
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // Removed since, being empty: then `path` is not there either, and that is what lasts.
        Err(error) if is_absent(&error) => Ok(()),
        done => done.map_err(io("sync", directory)),
    }
}

/// Says what could not be done to which file.
pub fn io(what: &'static str, path: &Path) -> impl FnOnce(stdio::Error) -> StorageError {
    let what = format!("{what} {}", path.display());
    move |source| StorageError::Io { what, source }
}

/// What awaiting a blocking task expects: it neither panics nor is it cancelled before the runtime is gone.
pub const FAILED: &str = "blocking work does not panic";

pub const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// How often somebody may remove the directory that is about to be filled.
const ATTEMPTS: usize = 20;
