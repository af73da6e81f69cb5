//! What builds use in place: cache mounts, git repositories, downloads.
//!
//! Whoever uses `<cache>/<kind>/<name>` holds a lock on it, shared at least, and has set its modification time. What nobody
//! has locked can be removed: it is locked exclusively, moved away, and deleted.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, flock, openat},
    io::Errno,
};

/// Whether somebody holds a lock on what is at `path`.
pub fn is_in_use(path: &Path) -> bool {
    matches!(lock(path), Ok(None))
}

/// Locks what is at `path`, a file or a directory, exclusively; `None` if somebody uses it.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = openat(CWD, path, flags, Mode::empty())?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file.into())),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the file at `path`; false if somebody uses it, or it is gone.
///
/// Whoever waits for its lock finds that it has lost its name.
pub fn remove(path: &Path) -> io::Result<bool> {
    let removed = lock(path).and_then(|held| match held {
        Some(_lock) => std::fs::remove_file(path).map(|()| true),
        None => Ok(false),
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed,
    }
}

/// Locks a file exclusively, as soon as nobody else has.
pub fn wait(file: &File) -> io::Result<()> {
    loop {
        match flock(file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => continue,
            locked => return Ok(locked?),
        }
    }
}
