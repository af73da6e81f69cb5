//! The network namespace that has the networks of an ordinary user's engine: bridges, firewall and all, as the host has root's.
//!
//! It is mounted on a file, which all of the engine's processes see and nobody else, for they share a mount namespace. With the
//! last of them it goes, and all that is in it.
//!
//! Whoever enters it has no way back to the host's, which is not the user's. So what is done there is done by a thread, which ends
//! there. The sockets that it made go on speaking for the namespace.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
};

use rustix::{
    fs::{FlockOperation, OFlags, flock, statfs},
    mount::mount_bind,
    thread::{LinkNameSpaceType, gettid, move_into_link_name_space},
};
use sys::process::{Namespaces, unshare};

/// The network namespace that is mounted on a file, or is to be.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RootlessNetns(PathBuf);

impl RootlessNetns {
    pub fn at(place: PathBuf) -> RootlessNetns {
        RootlessNetns(place)
    }

    pub fn place(&self) -> &Path {
        &self.0
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        statfs(&self.0).is_ok_and(|system| system.f_type == NSFS_MAGIC)
    }

    /// Makes one, unless there is one.
    pub fn ensure(&self) -> io::Result<()> {
        if self.exists() {
            return Ok(());
        }
        let flags = OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.0, flags, 0o600.into())?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
        if self.exists() {
            return Ok(());
        }
        in_a_thread(|| {
            unshare(Namespaces::NETWORK)?;
            sys::loopback::up()?;
            Ok(mount_bind("/proc/thread-self/ns/net", &self.0)?)
        })
    }

    /// Runs `work` there. It may enter other network namespaces of the user's and come back.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = File::open(&self.0)?;
        in_a_thread(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })
    }
}

/// Runs `work` in a thread that is gone when this returns: a process that has threads cannot fork.
fn in_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let (thread, outcome) = thread::scope(|scope| {
        let thread = scope.spawn(|| (gettid(), work()));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    // One that was joined is still on its way out of the kernel's list.
    let listed = PathBuf::from(format!("/proc/self/task/{}", thread.as_raw_nonzero()));
    while listed.exists() {
        thread::yield_now();
    }
    outcome
}

/// See linux/magic.h: the file system of namespaces.
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;
