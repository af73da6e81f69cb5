//! Containers that are created now and started later, by another process, with nobody of ours staying beside them.
//!
//! Their first process waits at a *gate*, a named pipe that it has open for reading and writing. Whoever starts the
//! container writes a byte. That the container waits is what the kernel says: somebody can open the pipe for writing
//! only while the process has it open, and it closes when the process becomes its program or ends.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

pub use crate::rootfs::Way;

/// What applies to a held container besides its specification.
#[derive(Debug)]
pub struct Held {
    pub gate: Gate,
    /// How many descriptors after the standard streams the program is given.
    pub preserved: u32,
    pub way: Way,
    /// The name of a new session keyring, so that the program cannot use the caller's.
    pub keyring: Option<String>,
}

/// The container's side of its gate.
#[derive(Debug)]
pub struct Gate(OwnedFd);

impl Gate {
    /// Makes the gate of a new container at `path`.
    pub fn make(path: &Path) -> io::Result<Gate> {
        rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
        // For both: nobody who comes and goes at the other end then looks like an end of it.
        Ok(Gate(rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Waits until somebody opens it, who in turn waits until this is closed.
    pub(crate) fn wait(self) -> io::Result<File> {
        let mut gate = File::from(self.0);
        gate.read_exact(&mut [0])?;
        Ok(gate)
    }

    /// Whether a container waits at the gate at `path`.
    pub fn is_shut(path: &Path) -> io::Result<bool> {
        Ok(Key::open(path)?.is_some())
    }

    /// Lets the container at the gate at `path` go on, and waits until it has become its program or has ended.
    /// `false` if none waits.
    pub fn open(path: &Path) -> io::Result<bool> {
        let Some(Key(end)) = Key::open(path)? else { return Ok(false) };
        File::from(end.try_clone()?).write_all(b"!")?;
        loop {
            // Nothing is asked for: that the last reader is gone is told anyway.
            match poll(&mut [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::empty())], None) {
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The other side of a gate that somebody waits at.
struct Key(OwnedFd);

impl Key {
    fn open(path: &Path) -> io::Result<Option<Key>> {
        match rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(end) => Ok(Some(Key(end))),
            Err(Errno::NXIO | Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_gate_is_shut_while_somebody_waits_at_it() {
        let directory = std::env::temp_dir().join(format!("gate-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a new directory");
        let path = directory.join("gate");
        assert!(!Gate::is_shut(&path).expect("readable"), "there is none");
        let gate = Gate::make(&path).expect("made");
        assert!(Gate::is_shut(&path).expect("readable"));
        let waiting = thread::spawn(move || gate.wait().map(drop));
        assert!(Gate::open(&path).expect("opened"));
        waiting.join().expect("no panic").expect("told to go on");
        assert!(!Gate::is_shut(&path).expect("readable"));
        assert!(!Gate::open(&path).expect("nobody is there"));
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
