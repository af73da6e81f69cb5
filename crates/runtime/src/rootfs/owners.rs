//! Mounts whose files appear to be of other owners: that of the source and the container's user change places, or all are
//! those of a user namespace.
//!
//! Nothing changes on the disk. The kernel takes one for the other at this mount, as a user namespace tells it, which is the
//! container's or exists for nothing else.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::Duration,
};

use oci_spec::runtime::LinuxIdMapping;
use rustix::{
    fs::{AtFlags, CWD},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
    process::{Signal, pidfd_send_signal},
};
use sys::{
    mounts::{Depth, map_owners},
    process::{Fork, Namespaces, fork, number_of},
};

use crate::{
    failure::{Context, Failure},
    identity::Identity,
    users::{Map, Users},
};

/// Has the owner of the detached mount `tree` and `user`, as `root` knows it, change places there.
pub fn map(root: BorrowedFd<'_>, tree: BorrowedFd<'_>, user: &str) -> Result<(), Failure> {
    let Some((uids, gids)) = exchange(root, tree, user)? else { return Ok(()) };
    let users = namespace(&uids.lines(), &gids.lines())?;
    map_owners(tree, users.as_fd(), Depth::WithThoseBelow).context(NOT_EVERY_FILE_SYSTEM)
}

/// The same in a container with the user namespace `users`, whose numbers the owners then have.
pub fn map_within(
    root: BorrowedFd<'_>,
    tree: BorrowedFd<'_>,
    user: &str,
    users: &Users,
) -> Result<(), Failure> {
    let Some((uids, gids)) = exchange(root, tree, user)? else {
        return lend(tree, users, Depth::WithThoseBelow);
    };
    let (uids, gids) = users.after(&uids, &gids);
    let users = namespace(&uids, &gids)?;
    map_owners(tree, users.as_fd(), Depth::WithThoseBelow).context(NOT_EVERY_FILE_SYSTEM)
}

/// Has files at the detached mount `tree` belong to those in `users` who have the numbers of their owners: what is the
/// host's root's is the container's root's there. Where a file system cannot do that, its files stay those of nobody in the
/// container; such file systems are the kernel's own, and some that are shared between machines.
pub fn lend(tree: BorrowedFd<'_>, users: &Users, depth: Depth) -> Result<(), Failure> {
    let mapped = match map_owners(tree, users.as_fd(), depth) {
        // One that cannot keeps all from being mapped.
        Err(error) if is_refusal(&error) && depth == Depth::WithThoseBelow => {
            map_owners(tree, users.as_fd(), Depth::This)
        }
        mapped => mapped,
    };
    match mapped {
        Err(error) if is_refusal(&error) => Ok(()),
        mapped => mapped.context("mapping owners"),
    }
}

/// Whether a mount's file system cannot map owners, or it maps them already. See mount_setattr(2).
fn is_refusal(error: &io::Error) -> bool {
    let known = [Errno::INVAL, Errno::PERM].map(|errno| Some(errno.raw_os_error()));
    known.contains(&error.raw_os_error())
}

/// What the owner of `tree` and `user`, as `root` knows it, are to be there. `None` if they are one.
fn exchange(root: BorrowedFd<'_>, tree: BorrowedFd<'_>, user: &str) -> Result<Option<(Map, Map)>, Failure> {
    let stat = rustix::fs::statat(tree, "", AtFlags::EMPTY_PATH).context("reading the source")?;
    let identity = Identity::look_up(root, user)?;
    if (stat.st_uid, stat.st_gid) == (identity.uid, identity.gid) {
        return Ok(None);
    }
    let uids = Map::exchange(stat.st_uid, identity.uid);
    Ok(Some((uids, Map::exchange(stat.st_gid, identity.gid))))
}

/// Has owners appear at the detached mount `tree` as the mappings of the specification say.
pub fn map_as(
    tree: BorrowedFd<'_>,
    users: &[LinuxIdMapping],
    groups: &[LinuxIdMapping],
    depth: Depth,
) -> Result<(), Failure> {
    if users.is_empty() || groups.is_empty() {
        return Err(Failure::setup("an idmap mount needs mappings of users and of groups"));
    }
    let namespace = namespace(&lines(users), &lines(groups))?;
    map_owners(tree, namespace.as_fd(), depth).context(NOT_EVERY_FILE_SYSTEM)
}

/// Whether the file system of `directory` can show files as another's. Tried at a mount that nobody else sees.
///
/// Forks, so the process must have one thread.
pub fn can_map(directory: &Path) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, directory, flags)?;
    let shifted = "0 100000 65536\n";
    let namespace = namespace(shifted, shifted).map_err(io::Error::other)?;
    map_owners(tree.as_fd(), namespace.as_fd(), Depth::This)
}

/// Mappings in lines of uid_map(5).
pub fn lines(mappings: &[LinuxIdMapping]) -> String {
    let line = |mapping: &LinuxIdMapping| {
        format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size())
    };
    mappings.iter().map(line).collect()
}

/// A user namespace with these maps. It takes a process to make one, which is gone afterwards.
fn namespace(users: &str, groups: &str) -> Result<File, Failure> {
    match fork(Namespaces::USER, None).context("a user namespace")? {
        Fork::Child => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        Fork::Parent(child) => {
            let made = number_of(child.pidfd.as_fd()).and_then(|number| {
                let process = format!("/proc/{number}");
                fs::write(format!("{process}/uid_map"), users)?;
                fs::write(format!("{process}/gid_map"), groups)?;
                File::open(format!("{process}/ns/user"))
            });
            pidfd_send_signal(&child.pidfd, Signal::KILL).context("a user namespace")?;
            child.wait().context("a user namespace")?;
            made.context("a user namespace")
        }
    }
}

const NOT_EVERY_FILE_SYSTEM: &str = "mapping owners, which not every file system can";
