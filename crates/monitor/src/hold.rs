//! Keeping a container still while its files are read, without leaving it so if the reader is killed.
//!
//! `hold` in the container's directory is locked by whoever does that, and has a word in it for as long as the container
//! may be paused on his behalf. A paused container whose file has the word and no lock was left so: whoever looks at it
//! next lets it go on.

use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    path::Path,
};

/// The right to pause a container for a while. Others who ask for it wait.
#[derive(Debug)]
pub struct Hold {
    file: File,
    /// Whether the last one who had it was killed, and may have left the container paused.
    pub is_inherited: bool,
}

impl Hold {
    /// Takes it for the container in the directory `bundle`.
    pub fn take(bundle: &Path) -> io::Result<Hold> {
        let mut file = File::options().create(true).append(true).open(bundle.join(FILE))?;
        file.lock()?;
        let is_inherited = file.metadata()?.len() > 0;
        file.write_all(b"held\n")?;
        Ok(Hold { file, is_inherited })
    }

    /// Gives it back, once the container goes on.
    pub fn release(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// Whether the container in the directory `bundle` was held by somebody who was killed. If so, it is held no more.
pub fn take_back(bundle: &Path) -> io::Result<bool> {
    let file = match File::options().write(true).open(bundle.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let was_held = file.metadata()?.len() > 0;
    file.set_len(0)?;
    Ok(was_held)
}

const FILE: &str = "hold";
