//! Directories that `RUN --mount=type=cache` mounts. They outlive builds, however these end.
//!
//! ```text
//! <cache>/mounts/<name>/files    what is mounted; there as soon as it is complete
//!                      /about    what it is, for those who list the cache
//! ```
//!
//! Whoever uses one has its directory locked: shared if others may use it at the same time, or else exclusively. The next
//! one of that name is `<name>-1`, and so on.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, flock, openat},
    io::Errno,
};
use types::Digest;

use super::Cache;
use crate::{graph::Sharing, stop::Stop};

/// A cache in use, until it is dropped.
#[derive(Debug)]
pub struct MountDirectory {
    /// What is to be mounted.
    pub files: PathBuf,
    /// Held for its lock.
    _lock: File,
}

/// How to begin a cache that there is not yet.
pub struct Fresh<'a> {
    /// Makes the directory, of which nothing is there yet, with what it begins with.
    pub fill: &'a dyn Fn(&Path) -> io::Result<()>,
    /// A line that tells what it is.
    pub about: &'a str,
}

impl Cache {
    /// The cache that `key` stands for. Waits for others if it is not to be shared with them; `None` if `stop` is set
    /// meanwhile.
    pub fn mount(
        &self,
        key: &Digest,
        sharing: Sharing,
        fresh: &Fresh<'_>,
        stop: &Stop,
    ) -> io::Result<Option<MountDirectory>> {
        let parent = self.directory("mounts");
        fs::create_dir_all(&parent)?;
        let mut number = 0;
        while !stop.is_set() {
            let name = match number {
                0 => key.hex(),
                number => format!("{}-{number}", key.hex()),
            };
            match enter(&parent.join(name), sharing, fresh)? {
                Entry::Mine(directory) => return Ok(Some(directory)),
                Entry::Gone => {}
                Entry::Taken if sharing == Sharing::Locked => thread::sleep(PAUSE),
                Entry::Taken => number += 1,
            }
        }
        Ok(None)
    }
}

enum Entry {
    Mine(MountDirectory),
    /// Somebody uses it in a way that excludes others.
    Taken,
    /// It was removed, or is being made, just now.
    Gone,
}

fn enter(path: &Path, sharing: Sharing, fresh: &Fresh<'_>) -> io::Result<Entry> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Entry::Gone),
        other => File::from(other?),
    };
    let files = path.join("files");
    // To begin it, one has to be alone.
    let exclusive = sharing != Sharing::Shared || !files.exists();
    if !take(&lock, exclusive)? {
        return Ok(if sharing == Sharing::Shared && !files.exists() { pause() } else { Entry::Taken });
    }
    if fs::metadata(path).map(|now| now.ino()).ok() != Some(lock.metadata()?.ino()) {
        return Ok(Entry::Gone);
    }
    lock.set_modified(SystemTime::now())?;
    if !files.exists() {
        let aside = path.join("files.new");
        if aside.exists() {
            // Of a build that was killed.
            fs::remove_dir_all(&aside)?;
        }
        (fresh.fill)(&aside)?;
        fs::write(path.join("about"), fresh.about)?;
        fs::rename(&aside, &files)?;
    }
    if exclusive && sharing == Sharing::Shared && !take(&lock, false)? {
        return Ok(pause());
    }
    Ok(Entry::Mine(MountDirectory { files, _lock: lock }))
}

/// Locks a directory; whether nobody was in the way.
fn take(lock: &File, exclusive: bool) -> io::Result<bool> {
    let operation = match exclusive {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingLockShared,
    };
    match flock(lock, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Somebody else is just beginning it.
fn pause() -> Entry {
    thread::sleep(PAUSE);
    Entry::Gone
}

/// How often one that is taken is tried again.
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use super::*;

    struct Place(tempfile::TempDir, Cache, Stop);

    fn place() -> Place {
        let directory = tempfile::tempdir().expect("temporary directory");
        let cache = Cache::new(directory.path().to_owned());
        Place(directory, cache, Stop::new().expect("eventfd"))
    }

    fn mount(Place(_, cache, stop): &Place, sharing: Sharing) -> Option<MountDirectory> {
        let fresh = Fresh { fill: &|path| fs::create_dir(path), about: "a cache" };
        cache.mount(&Digest::of(b"c"), sharing, &fresh, stop).expect("mounted")
    }

    #[test]
    fn a_cache_is_begun_once_and_found_again() {
        let Place(_directory, cache, stop) = place();
        let begun = Cell::new(0);
        let fill = |path: &Path| {
            begun.set(begun.get() + 1);
            fs::create_dir(path)
        };
        let fresh = Fresh { fill: &fill, about: "a cache" };
        let key = Digest::of(b"c");
        let first = cache.mount(&key, Sharing::Locked, &fresh, &stop).expect("made").expect("not stopped");
        fs::write(first.files.join("f"), "x").expect("written");
        drop(first);
        let again = cache.mount(&key, Sharing::Shared, &fresh, &stop).expect("made").expect("not stopped");
        assert_eq!(fs::read_to_string(again.files.join("f")).expect("kept"), "x");
        assert_eq!(begun.get(), 1);
    }

    #[test]
    fn one_that_was_half_begun_is_begun_again() {
        let place = place();
        let half = place.1.directory("mounts").join(Digest::of(b"c").hex()).join("files.new/half");
        fs::create_dir_all(half).expect("left by a build that was killed");
        let mounted = mount(&place, Sharing::Shared).expect("not stopped");
        assert_eq!(fs::read_dir(mounted.files).expect("directory").count(), 0);
    }

    #[test]
    fn shared_is_shared_private_is_another_and_locked_waits() {
        let place = Arc::new(place());
        let (one, two) = (mount(&place, Sharing::Shared), mount(&place, Sharing::Shared));
        assert_eq!(one.as_ref().map(|it| &it.files), two.as_ref().map(|it| &it.files));
        let private = mount(&place, Sharing::Private).expect("not stopped");
        assert_ne!(Some(&private.files), one.as_ref().map(|it| &it.files));
        let waiting = {
            let place = Arc::clone(&place);
            thread::spawn(move || mount(&place, Sharing::Locked).map(|mounted| mounted.files.clone()))
        };
        let first = one.as_ref().map(|it| it.files.clone());
        drop((one, two));
        assert_eq!(waiting.join().expect("no panic"), first);
    }

    #[test]
    fn who_waits_is_freed_when_nobody_wants_the_build_any_more() {
        let place = place();
        let _taken = mount(&place, Sharing::Locked);
        place.2.set();
        assert!(mount(&place, Sharing::Locked).is_none());
    }
}
