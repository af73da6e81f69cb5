//! Equal steps of builds that go on at once are carried out once, whether the builds are threads or processes.
//!
//! Whoever is to carry a step out locks `<cache>/turns/<key>`; all others wait for that lock, and then find the record. The
//! kernel unlocks it when its holder dies, and the next in line takes the turn.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use types::Digest;

use super::{Cache, hold};

/// The right to carry a step out. To be dropped when its record is kept, or others find none.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Cache {
    /// Waits until nobody else carries out the step with this key. Its record may be there then, and is to be looked for
    /// again before the step is carried out.
    ///
    /// Whoever has a turn must not wait for another, or two may wait for each other.
    pub fn turn(&self, key: &Digest) -> io::Result<Turn> {
        Turn::take(&self.path("turns", key))
    }
}

impl Turn {
    fn take(path: &Path) -> io::Result<Turn> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        loop {
            let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            hold::wait(&lock)?;
            // Whoever had it before has removed the file: others may lock another under its name already.
            if fs::metadata(path).is_ok_and(|named| lock.metadata().is_ok_and(|own| own.ino() == named.ino()))
            {
                return Ok(Turn { path: path.to_owned(), _lock: lock });
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Before it is unlocked. What stays of it is an empty file, which the next turn takes.
        fs::remove_file(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;
    use crate::cache::Record;

    #[test]
    fn of_many_that_want_the_same_step_one_carries_it_out() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let cache = Cache::new(directory.path().to_owned());
        let record = Record { layer: None, created: "2026-01-01T00:00:00Z".into() };
        for round in 0..20 {
            let key = Digest::of(format!("{round}").as_bytes());
            let (made, found, at_once) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            let one = || {
                let _turn = cache.turn(&key).expect("turn");
                if cache.record(&key).is_some() {
                    found.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                // Of those that fail, each lets another try.
                if made.fetch_add(1, Ordering::SeqCst) == 2 {
                    cache.keep_record(&key, "RUN", &[], &record).expect("kept");
                }
                at_once.fetch_sub(1, Ordering::SeqCst);
            };
            thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(one))));
            assert_eq!((made.into_inner(), found.into_inner()), (3, 5));
        }
        assert_eq!(fs::read_dir(directory.path().join("turns")).expect("turns").count(), 0);
    }
}
