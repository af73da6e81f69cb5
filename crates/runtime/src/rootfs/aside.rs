//! Mounts that take a second mount to make: what lies below a path of a file system, or a file in a file system of its
//! own. The whole is mounted aside, the part is cloned, and the whole is unmounted; nobody else sees it meanwhile.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::Mount;
use rustix::{
    fs::{CWD, Gid, Mode, OFlags, Uid},
    mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags},
    thread::LinkNameSpaceType,
};
use sys::{
    mounts::{Attributes, Depth},
    root,
};

use super::{new_filesystem, options::Options, overlay};
use crate::{
    confidential::Confidential,
    failure::{Context, Failure},
    users::Users,
};

/// Clones what lies at `below` in the directory `whole`, with its links staying inside; all of it if `below` is empty.
pub fn part(whole: BorrowedFd<'_>, below: &Path, depth: Depth) -> Result<OwnedFd, Failure> {
    // A path without anything in it is none to the kernel.
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let found = root::open(whole, below, OFlags::PATH, Mode::empty())
        .context(format_args!("open {}", below.display()))?;
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if depth == Depth::WithThoseBelow {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(found, "", flags).context("cloning the mount")
}

/// What `entry`, a stack of layers, has at the path that its options name. `place` is a directory to mount it on; `users` is
/// as for [`overlay::mount`], and leaves mounts there.
pub fn layers(
    place: &Path,
    entry: &Mount,
    options: &Options<'_>,
    users: Option<&Users>,
) -> Result<OwnedFd, Failure> {
    overlay::mount(entry, place, users)?;
    take_from(place, options.below())
}

/// The /dev/shm of the mount namespace at `path`, cloned from inside: its processes cannot lead the walk out of their root.
pub fn shared_memory(namespace: &Path) -> Result<OwnedFd, Failure> {
    let open = |path: &Path| File::open(path).context(format_args!("opening {}", path.display()));
    let (theirs, own) = (open(namespace)?, open(Path::new("/proc/self/ns/mnt"))?);
    let enter = |namespace: &File| {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
            .context("joining a mount namespace")
    };
    enter(&theirs)?;
    let slash = open(Path::new("/"));
    let tree = slash.and_then(|slash| part(slash.as_fd(), Path::new("dev/shm"), Depth::This));
    enter(&own)?;
    tree
}

/// A file of `confidential`, alone in a file system in memory. `place` is a directory to mount that on. Its owner is the one
/// in `users`, if there is such a namespace.
pub fn secret(
    place: &Path,
    entry: &Mount,
    options: &Options<'_>,
    confidential: &Confidential,
    users: Option<&Users>,
) -> Result<OwnedFd, Failure> {
    let index = entry.source().as_deref().and_then(Path::to_str).and_then(|index| index.parse().ok());
    let content = index.and_then(|index: usize| confidential.files.get(index));
    let content = content.ok_or_else(|| Failure::setup("there is no such secret"))?;
    let number = |key: &str, radix: u32| {
        let given = options.data.iter().find(|(name, _)| name == key)?;
        u32::from_str_radix(given.1.as_deref()?, radix).ok()
    };
    let (uid, gid) = (number("uid", 10).unwrap_or(0), number("gid", 10).unwrap_or(0));
    let (uid, gid) = users.map_or((uid, gid), |users| (users.uid(uid), users.gid(gid)));
    let size = (content.len().next_multiple_of(4096) + 4096).to_string();
    let data = [("size".to_owned(), Some(size)), ("mode".to_owned(), Some("700".to_owned()))];
    let attributes = Attributes::NO_SUID | Attributes::NO_DEVICES | Attributes::NO_EXEC;
    let memory = new_filesystem("tmpfs", Path::new("tmpfs"), &data, attributes)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file =
        rustix::fs::openat(&memory, SECRET, flags, Mode::empty()).context("making the secret's file")?;
    let mut file = File::from(file);
    file.write_all(content).context("writing the secret")?;
    rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).context("its owner")?;
    let mode = Mode::from_raw_mode(number("mode", 8).unwrap_or(0o400));
    rustix::fs::fchmod(&file, mode).context("its mode")?;
    drop(file);
    // A part can only be cloned of a mount that is attached (before Linux 6.15).
    rustix::mount::move_mount(memory.as_fd(), "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .context("attaching the secret")?;
    take_from(place, Path::new(SECRET))
}

/// Clones the part at `below` of what is mounted on `place`, and unmounts the whole.
fn take_from(place: &Path, below: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let whole = rustix::fs::open(place, flags, Mode::empty()).context("opening the mount")?;
    let part = part(whole.as_fd(), below, Depth::This);
    drop(whole);
    rustix::mount::unmount(place, UnmountFlags::DETACH).context("unmounting the whole")?;
    part
}

const SECRET: &str = "secret";
