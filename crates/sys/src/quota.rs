//! Quotas of projects: how much a directory may hold, where the file system counts that. See quotactl_fd(2).
//!
//! Files belong to a project by a number; what is made in a directory is of its project.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use crate::process::check;

/// What the files of a project take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    /// Directories count as well.
    pub files: u64,
    /// How many bytes they may take; 0 for any number.
    pub limit: u64,
}

/// Whether the file system of `file` keeps what projects may take. Where that cannot be asked, it does not.
pub fn is_enforced(file: BorrowedFd<'_>) -> bool {
    let mut status = Status { version: 0, flags: 0, rest: [0; 124] };
    // SAFETY: the kernel writes a struct fs_quota_stat, 80 bytes, to `status`, which is larger and aligned for it.
    let asked = unsafe { quotactl(file, GET_STATUS, 0, &raw mut status) };
    asked.is_ok() && status.flags & PROJECTS_ENFORCED != 0
}

/// What the files of a project take on the file system of `file`.
pub fn usage(file: BorrowedFd<'_>, project: u32) -> io::Result<Usage> {
    let mut quota = Quota::default();
    // SAFETY: the kernel writes a struct fs_disk_quota to `quota`, which is laid out as one.
    match unsafe { quotactl(file, GET_QUOTA, project, &raw mut quota) } {
        // Where nothing was ever counted.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        other => other?,
    }
    let bytes = |blocks: u64| blocks.saturating_mul(BLOCK);
    Ok(Usage { bytes: bytes(quota.blocks), files: quota.inodes, limit: bytes(quota.hard_blocks) })
}

/// Sets how many bytes the files of a project may take on the file system of `file`.
pub fn limit(file: BorrowedFd<'_>, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK);
    let mut quota = Quota {
        version: 1,
        flags: OF_PROJECT,
        fields: SOFT_BLOCKS | HARD_BLOCKS,
        id: project,
        hard_blocks: blocks,
        soft_blocks: blocks,
        ..Quota::default()
    };
    // SAFETY: the kernel reads a struct fs_disk_quota from `quota`, which is laid out as one.
    unsafe { quotactl(file, SET_LIMITS, project, &raw mut quota) }
}

/// Makes a directory, and all that is made in it from now on, part of a project.
pub fn join(directory: BorrowedFd<'_>, project: u32) -> io::Result<()> {
    let mut attributes = Attributes::default();
    // SAFETY: both calls take a struct fsxattr, which `attributes` is laid out as, and keep no pointer to it.
    unsafe {
        check(i64::from(libc::ioctl(directory.as_raw_fd(), GET_ATTRIBUTES as _, &raw mut attributes)))?;
        attributes.project = project;
        attributes.flags |= INHERITED;
        check(i64::from(libc::ioctl(directory.as_raw_fd(), SET_ATTRIBUTES as _, &raw const attributes)))?;
    }
    Ok(())
}

/// # Safety
///
/// `argument` is what `command` reads or writes.
unsafe fn quotactl<T>(file: BorrowedFd<'_>, command: u32, id: u32, argument: *mut T) -> io::Result<()> {
    let command = (command << 8) | PROJECTS;
    // SAFETY: as the caller promises.
    check(unsafe { libc::syscall(libc::SYS_quotactl_fd, file.as_raw_fd(), command, id, argument) }).map(drop)
}

/// `struct fsxattr`.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

/// `struct fs_disk_quota`.
#[derive(Default)]
#[repr(C)]
struct Quota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    hard_blocks: u64,
    soft_blocks: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    blocks: u64,
    inodes: u64,
    /// Times, warnings, and what is on real-time devices.
    rest: [u64; 7],
}

/// The head of `struct fs_quota_stat`, and more room than its rest needs.
#[repr(C, align(8))]
struct Status {
    version: i8,
    flags: u16,
    rest: [u8; 124],
}

const _: () =
    assert!(size_of::<Attributes>() == 28 && size_of::<Quota>() == 112 && size_of::<Status>() >= 80);

/// PRJQUOTA.
const PROJECTS: u32 = 2;
/// Q_XGETQUOTA, Q_XSETQLIM, Q_XGETQSTAT.
const GET_QUOTA: u32 = 0x5803;
const SET_LIMITS: u32 = 0x5804;
const GET_STATUS: u32 = 0x5805;
/// FS_QUOTA_PDQ_ENFD.
const PROJECTS_ENFORCED: u16 = 1 << 5;
/// FS_PROJ_QUOTA.
const OF_PROJECT: i8 = 2;
/// FS_DQ_BSOFT, FS_DQ_BHARD.
const SOFT_BLOCKS: u16 = 1 << 2;
const HARD_BLOCKS: u16 = 1 << 3;
/// What quotas count in, whatever the file system's blocks are.
const BLOCK: u64 = 512;
/// FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR.
const GET_ATTRIBUTES: u32 = 0x801c_581f;
const SET_ATTRIBUTES: u32 = 0x401c_5820;
/// FS_XFLAG_PROJINHERIT.
const INHERITED: u32 = 0x200;
