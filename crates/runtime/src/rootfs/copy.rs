//! Copy-up: a new volume starts with what the image has at the place it is mounted on.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps},
    io::Errno,
};
use sys::root;

use crate::failure::{Context, Failure};

/// Copies what lies at `path` in `root` into `volume`, unless the volume already holds something.
pub(super) fn fill_if_empty(
    root: BorrowedFd<'_>,
    path: &Path,
    volume: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let source = match root::open(root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Ok(source) => source,
        // Nothing there, or a file, or a link that leads nowhere: the volume stays empty.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => return Ok(()),
        Err(error) => return Err(error).context("reading the image"),
    };
    let target = rustix::fs::openat(volume, ".", DIRECTORY, Mode::empty()).context("opening the volume")?;
    if !entries(target.as_fd()).context("reading the volume")?.is_empty() {
        return Ok(());
    }
    copy_directory(&source, &target).context("filling the volume from the image")
}

fn copy_directory(source: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    for name in entries(source.as_fd())? {
        let stat = rustix::fs::statat(source, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
        copy_entry(source, target, &name, &stat)?;
    }
    let stat = rustix::fs::fstat(source)?;
    rustix::fs::fchown(target, uid(&stat), gid(&stat))?;
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode))?;
    rustix::fs::futimens(target, &times(&stat))
}

fn copy_entry(source: &OwnedFd, target: &OwnedFd, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(target, name, Mode::from_raw_mode(0o700))?;
            let from = rustix::fs::openat(source, name, DIRECTORY, Mode::empty())?;
            let to = rustix::fs::openat(target, name, DIRECTORY, Mode::empty())?;
            return copy_directory(&from, &to);
        }
        FileType::RegularFile => {
            let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let from = rustix::fs::openat(source, name, read, Mode::empty())?;
            let to = rustix::fs::openat(target, name, write, Mode::from_raw_mode(0o600))?;
            // Not copy_file_range(2), which does not cross from one kind of file system to another.
            while rustix::fs::sendfile(&to, &from, None, 1 << 30)? > 0 {}
            rustix::fs::fchown(&to, uid(stat), gid(stat))?;
            // After chown, which clears the set-id bits.
            rustix::fs::fchmod(&to, mode)?;
            return rustix::fs::futimens(&to, &times(stat));
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(source, name, Vec::new())?;
            rustix::fs::symlinkat(&*link, target, name)?;
        }
        kind => rustix::fs::mknodat(target, name, kind, mode, stat.st_rdev)?,
    }
    rustix::fs::chownat(target, name, uid(stat), gid(stat), AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(target, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        // A fresh ext4 has lost+found; docker does not count it as content either.
        if !matches!(entry.file_name().to_bytes(), b"." | b".." | b"lost+found") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn uid(stat: &Stat) -> Option<rustix::fs::Uid> {
    Some(rustix::fs::Uid::from_raw(stat.st_uid))
}

fn gid(stat: &Stat) -> Option<rustix::fs::Gid> {
    Some(rustix::fs::Gid::from_raw(stat.st_gid))
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
