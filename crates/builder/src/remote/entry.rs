//! A directory of the cache that is being used.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, Timespec, Timestamps, UTIME_NOW, flock};

/// A directory that nobody else uses or removes meanwhile.
#[derive(Debug)]
pub struct Entry {
    pub path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Entry {
    /// Opens `path`, a new directory if there is none. Blocks while others use it. What nobody has opened for long is
    /// what the cache is rid of first.
    pub fn open(path: PathBuf) -> io::Result<Entry> {
        loop {
            fs::create_dir_all(&path)?;
            let lock = match open_directory(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            flock(&lock, FlockOperation::LockExclusive)?;
            // Whoever had it may have moved it out of the way.
            let is_there = fs::symlink_metadata(&path).is_ok_and(|there| {
                lock.metadata().is_ok_and(|ours| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
            });
            if is_there {
                let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
                let times = Timestamps { last_access: now, last_modification: now };
                rustix::fs::futimens(&lock, &times)?;
                return Ok(Entry { path, _lock: lock });
            }
        }
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn whoever_waits_for_a_directory_gets_one_that_is_there() {
        let parent = tempfile::tempdir().expect("temporary directory");
        let path = parent.path().join("a/b");
        let first = Entry::open(path.clone()).expect("opened");
        let (done, waits) = mpsc::channel();
        let second = thread::spawn({
            let path = path.clone();
            move || {
                let entry = Entry::open(path);
                done.send(()).expect("somebody listens");
                entry
            }
        });
        assert!(waits.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
        fs::rename(&path, parent.path().join("removed")).expect("moved away");
        drop(first);
        let second = second.join().expect("no panic").expect("opened");
        assert!(second.path.is_dir());
    }
}
