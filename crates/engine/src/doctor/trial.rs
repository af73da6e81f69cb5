//! Trying something out in namespaces of its own, by a child process that is gone afterwards.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::exit,
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    pipe::{PipeFlags, pipe_with},
};
use sys::process::{Fork, Namespaces, fork};

/// What `work` says of how it went, in a child with `namespaces` of its own. Fails as well if there can be no such child.
pub fn trial(namespaces: Namespaces, work: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    match fork(namespaces, None)? {
        Fork::Child => {
            drop(read);
            let outcome = work();
            let code = outcome.is_err().into();
            let text = outcome.unwrap_or_else(|error| error.to_string());
            // If it cannot be said, the parent sees that nothing was.
            let _ = File::from(write).write_all(text.as_bytes());
            exit(code)
        }
        Fork::Parent(child) => {
            drop(write);
            let mut text = String::new();
            File::from(read).read_to_string(&mut text)?;
            match child.wait()? {
                0 => Ok(text),
                _ => Err(io::Error::other(text)),
            }
        }
    }
}

/// The same, with an empty directory in memory that nobody else sees.
pub fn trial_with_directory(work: impl FnOnce(&Path) -> io::Result<String>) -> io::Result<String> {
    trial(Namespaces::MOUNT, || {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let places = ["/tmp", "/mnt", "/run", "/var"].map(PathBuf::from);
        let place = places.iter().find(|place| place.is_dir()).ok_or(io::ErrorKind::NotFound)?;
        mount("none", place, "tmpfs", MountFlags::empty(), None)?;
        work(place)
    })
}
