//! Mounts whose files appear to be of another owner: the owner of the source and the container's user change places.
//!
//! Nothing changes on the disk. The kernel takes the two for each other at this mount, as a user namespace tells it that
//! exists for nothing else.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use oci_spec::runtime::LinuxIdMapping;
use rustix::{
    fs::AtFlags,
    process::{Signal, pidfd_send_signal},
};
use sys::{
    mounts::{Depth, map_owners},
    process::{Fork, Namespaces, fork},
};

use crate::{
    failure::{Context, Failure},
    identity::Identity,
};

/// Has the owner of the detached mount `tree` and `user`, as `root` knows it, change places there.
pub fn map(root: BorrowedFd<'_>, tree: BorrowedFd<'_>, user: &str) -> Result<(), Failure> {
    let stat = rustix::fs::statat(tree, "", AtFlags::EMPTY_PATH).context("reading the source")?;
    let identity = Identity::look_up(root, user)?;
    if (stat.st_uid, stat.st_gid) == (identity.uid, identity.gid) {
        return Ok(());
    }
    let users = namespace(&exchange(stat.st_uid, identity.uid), &exchange(stat.st_gid, identity.gid))?;
    map_owners(tree, users.as_fd(), Depth::WithThoseBelow)
        .context("mapping owners, which not every file system can")
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
    map_owners(tree, namespace.as_fd(), depth).context("mapping owners, which not every file system can")
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
            let made = number(&child.pidfd).and_then(|number| {
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

/// The number of a process as /proc has it, which is still the host's here: ours is another in the container.
fn number(pidfd: &OwnedFd) -> io::Result<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A map, in lines of uid_map(5), of every number to itself but for two.
fn exchange(a: u32, b: u32) -> String {
    let (low, high) = (a.min(b), a.max(b));
    let all = [
        (0, 0, low),
        (low, high, 1),
        (low.saturating_add(1), low.saturating_add(1), (high - low).saturating_sub(1)),
        (high, low, u32::from(high != low)),
        (high.saturating_add(1), high.saturating_add(1), (u32::MAX - high).saturating_sub(1)),
    ];
    let lines = all.iter().filter(|(_, _, count)| *count > 0);
    lines.map(|(from, to, count)| format!("{from} {to} {count}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_change_places_and_the_others_stay() {
        assert_eq!(exchange(0, 1000), "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n");
        assert_eq!(exchange(8, 7), "0 0 7\n7 8 1\n8 7 1\n9 9 4294967286\n");
        assert_eq!(exchange(5, 5), "0 0 5\n5 5 1\n6 6 4294967289\n");
    }
}
