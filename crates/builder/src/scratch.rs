//! Directories that live as long as the build that made them, however it ends.
//!
//! Each is locked by the process that uses it. What is not locked was left by one that was killed, and the next build
//! removes it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use image::tree::Owner;
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};

/// A locked directory that is removed in the end.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Scratch {
    /// Makes a new directory in `parent`, after removing those that nobody uses any more.
    pub fn new(parent: &Path) -> io::Result<Scratch> {
        fs::create_dir_all(parent)?;
        sweep(parent)?;
        loop {
            let mut unique = [0; 8];
            getrandom::fill(&mut unique).map_err(io::Error::other)?;
            let path = parent.join(format!("{:016x}", u64::from_le_bytes(unique)));
            fs::create_dir(&path)?;
            // Another build may sweep it away before it is locked: then it is a directory without a name.
            match lock(&path) {
                Ok(Some(lock)) if path.exists() => return Ok(Scratch { path, _lock: lock }),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
        }
    }

    /// Who owns it: this process's user.
    pub fn owner(&self) -> io::Result<Owner> {
        let metadata = fs::metadata(&self.path)?;
        Ok(Owner { uid: metadata.uid(), gid: metadata.gid() })
    }

    /// Makes an empty directory in it whose name begins with `name`.
    pub fn unique(&self, name: &str) -> io::Result<PathBuf> {
        let mut number = 0;
        loop {
            match self.directory(&format!("{name}{number}")) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                other => return other,
            }
        }
    }

    /// Makes an empty file in it, for writing and reading.
    pub fn file(&self, name: &str) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).open(self.path.join(name))
    }

    /// Moves what is at `path` into it, to be removed with it.
    pub fn take(&self, path: &Path) -> io::Result<()> {
        fs::rename(path, self.path.join("taken"))
    }

    /// Makes an empty directory in it.
    pub fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next build.
        fs::remove_dir_all(&self.path).ok();
    }
}

/// Removes the directories in `parent` that nobody uses any more.
pub fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if let Ok(Some(_lock)) = lock(&path) {
            // Left for the next time if something in it is still in use.
            fs::remove_dir_all(&path).ok();
        }
    }
    Ok(())
}

/// Locks a directory; `None` if another process has.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory.into())),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_locks_is_swept_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().expect("temporary directory");
        let left = parent.path().join("left");
        fs::create_dir_all(left.join("upper/x")).expect("left over");
        let first = Scratch::new(parent.path()).expect("first");
        assert!(!left.exists());
        let upper = first.directory("upper").expect("upper");
        let second = Scratch::new(parent.path()).expect("second");
        assert!(upper.exists());
        drop((first, second));
        assert_eq!(fs::read_dir(parent.path()).expect("parent").count(), 0);
    }
}
