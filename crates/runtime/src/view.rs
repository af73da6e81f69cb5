//! A container's files, seen from outside without being in its way.
//!
//! Each view is made in a thread that has its own mount namespace, or is in the container's, and is used from anywhere by
//! descriptor. Nothing of it is seen on the host, and the kernel takes it down when the descriptors are closed, however
//! that comes about.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    thread,
};

use oci_spec::runtime::Spec;
use rustix::{mount::OpenTreeFlags, thread::ThreadNameSpaceType};
use sys::process::{Namespaces, unshare, unshare_directories};

use crate::{
    failure::{Context, Failure},
    rootfs,
};

/// The root directory of a container, with what is mounted in it or without.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    /// Without it, nothing would be mounted on anything any more.
    _namespace: Option<File>,
}

impl View {
    /// Mounts what is on disk of the container that `spec` describes: its root, and the files and directories mounted there.
    /// What it keeps in memory while it runs is not there.
    pub fn of_bundle(spec: &Spec, bundle: &Path) -> Result<View, Failure> {
        elsewhere(|| {
            unshare(Namespaces::MOUNT).context("a mount namespace")?;
            let root = rootfs::set_up_files(spec, bundle)?;
            let namespace = File::open("/proc/thread-self/ns/mnt").context("the mount namespace")?;
            Ok(View { root, _namespace: Some(namespace) })
        })
    }

    /// The root of the running container whose first process `init` stands for, without what is mounted in it.
    pub fn of_bare_root(init: BorrowedFd<'_>) -> Result<View, Failure> {
        elsewhere(|| {
            unshare_directories().context("leaving the other threads")?;
            rustix::thread::move_into_thread_name_spaces(init, ThreadNameSpaceType::MOUNT)
                .context("joining the container's mounts")?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let root = rustix::mount::open_tree(rustix::fs::CWD, "/", flags).context("cloning the root")?;
            Ok(View { root, _namespace: None })
        })
    }
}

impl AsFd for View {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Does something in a thread of its own, whose namespaces are nobody else's.
fn elsewhere(work: impl FnOnce() -> Result<View, Failure> + Send) -> Result<View, Failure> {
    thread::scope(|scope| scope.spawn(work).join().expect("nothing in it panics"))
}
