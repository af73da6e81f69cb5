//! A file that is read again when it changes.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

/// What was made of a file's text. Looks once a second whether the file has changed; one that cannot be read or
/// understood any more leaves the last one in force.
pub struct Watched<T, E> {
    path: PathBuf,
    make: fn(&Path, &str) -> Result<T, E>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    stamp: Stamp,
    looked: Instant,
    value: Arc<T>,
}

/// Changes when the file does.
type Stamp = (SystemTime, u64, u64);

impl<T, E: std::error::Error + From<Unreadable>> Watched<T, E> {
    /// Reads the file for the first time.
    pub fn open(path: &Path, make: fn(&Path, &str) -> Result<T, E>) -> Result<Watched<T, E>, E> {
        let current = Mutex::new(read(path, make)?);
        Ok(Watched { path: path.to_owned(), make, current })
    }

    pub fn current(&self) -> Arc<T> {
        let mut current = self.current.lock().expect("nothing panics with this lock");
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            if stamp(&self.path).is_ok_and(|stamp| stamp != current.stamp) {
                match read(&self.path, self.make) {
                    Ok(read) => *current = read,
                    Err(error) => eprintln!("registry: {error}; what was read before stays in force"),
                }
            }
        }
        Arc::clone(&current.value)
    }
}

/// The file is not there, or not for us.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}", path = path.display())]
pub struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

fn read<T, E: From<Unreadable>>(path: &Path, make: fn(&Path, &str) -> Result<T, E>) -> Result<Current<T>, E> {
    let unreadable = |source| Unreadable { path: path.to_owned(), source };
    // Before the text: a change in between is seen next time.
    let stamp = stamp(path).map_err(unreadable)?;
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(Current { stamp, looked: Instant::now(), value: Arc::new(make(path, &text)?) })
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let found = fs::metadata(path)?;
    Ok((found.modified()?, found.len(), found.ino()))
}

/// How often to look whether the file has changed.
pub const LOOK: Duration = Duration::from_secs(1);
