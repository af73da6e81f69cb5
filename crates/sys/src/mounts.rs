//! What rustix lacks of the mount API: mount_setattr(2), Linux 5.12.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use crate::process::check;

/// Flags of a mount that mount_setattr(2) sets and clears. Combines with `|`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Attributes(u64);

impl Attributes {
    pub const NONE: Attributes = Attributes(0);
    pub const READ_ONLY: Attributes = Attributes(libc::MOUNT_ATTR_RDONLY);
    pub const NO_SUID: Attributes = Attributes(libc::MOUNT_ATTR_NOSUID);
    pub const NO_DEVICES: Attributes = Attributes(libc::MOUNT_ATTR_NODEV);
    pub const NO_EXEC: Attributes = Attributes(libc::MOUNT_ATTR_NOEXEC);
    pub const NO_SYMLINKS: Attributes = Attributes(libc::MOUNT_ATTR_NOSYMFOLLOW);
    pub const NO_DIRECTORY_ACCESS_TIMES: Attributes = Attributes(libc::MOUNT_ATTR_NODIRATIME);
    pub const NO_ACCESS_TIMES: Attributes = Attributes(libc::MOUNT_ATTR_NOATIME);
    pub const STRICT_ACCESS_TIMES: Attributes = Attributes(libc::MOUNT_ATTR_STRICTATIME);
    /// All ways to keep access times, of which a mount has one. To set any, this is cleared; nothing set is relatime.
    pub const ACCESS_TIMES: Attributes = Attributes(libc::MOUNT_ATTR__ATIME);

    pub fn contains(self, other: Attributes) -> bool {
        self.0 & other.0 == other.0
    }

    /// These without those of `other`.
    pub fn without(self, other: Attributes) -> Attributes {
        Attributes(self.0 & !other.0)
    }

    /// The same flags as fsmount(2) takes them.
    pub fn bits(self) -> u32 {
        self.0 as u32
    }
}

impl std::ops::BitOr for Attributes {
    type Output = Attributes;

    fn bitor(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Attributes {
    fn bitor_assign(&mut self, other: Attributes) {
        *self = *self | other;
    }
}

/// How mounts made below one mount show up in its copies. See mount_namespaces(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Propagation {
    Private,
    Slave,
    Shared,
    Unbindable,
}

/// Has owners appear at a mount as the user namespace `users` maps them. See mount_setattr(2).
pub fn map_owners(mount: BorrowedFd<'_>, users: BorrowedFd<'_>, depth: Depth) -> io::Result<()> {
    // SAFETY: all-zero is a valid mount_attr: it changes nothing.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = libc::MOUNT_ATTR_IDMAP;
    change.userns_fd = users.as_raw_fd() as u64;
    change_attributes(mount, &change, depth.flags())
}

/// Which mounts a change is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    This,
    WithThoseBelow,
}

impl Depth {
    fn flags(self) -> i32 {
        if self == Depth::WithThoseBelow { libc::AT_RECURSIVE } else { 0 }
    }
}

/// Sets flags (never clears one) and the propagation of the mount `mount` is the root of.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    set: Attributes,
    propagation: Option<Propagation>,
    depth: Depth,
) -> io::Result<()> {
    // SAFETY: all-zero is a valid mount_attr: it changes nothing.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = set.0;
    change.propagation = match propagation {
        None => 0,
        Some(Propagation::Private) => libc::MS_PRIVATE,
        Some(Propagation::Slave) => libc::MS_SLAVE,
        Some(Propagation::Shared) => libc::MS_SHARED,
        Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
    };
    change_attributes(mount, &change, depth.flags())
}

/// Clears flags and then sets flags of the mount `mount` is the root of.
pub fn exchange_attributes(
    mount: BorrowedFd<'_>,
    clear: Attributes,
    set: Attributes,
    depth: Depth,
) -> io::Result<()> {
    // SAFETY: all-zero is a valid mount_attr: it changes nothing.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = set.0;
    change.attr_clr = clear.0;
    change_attributes(mount, &change, depth.flags())
}

fn change_attributes(mount: BorrowedFd<'_>, change: &libc::mount_attr, flags: i32) -> io::Result<()> {
    // SAFETY: the path is a valid string, and `change` lives through the call with its own size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &raw const *change,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}
