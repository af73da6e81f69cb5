//! Copy-up: a new volume starts with what the image has at the place it is mounted on.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags},
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
    let mut copy = Copy { top: target.as_fd(), linked: HashMap::new() };
    copy.directory(&source, &target, Path::new("")).context("filling the volume from the image")
}

/// A tree on its way into a volume.
struct Copy<'a> {
    /// The volume.
    top: BorrowedFd<'a>,
    /// Where the first copy is of each file that has several names, by device and inode.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    /// Copies what is in a directory, and what it is like itself, to the one at `path` in the volume.
    fn directory(&mut self, source: &OwnedFd, target: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
        for name in entries(source.as_fd())? {
            let stat = rustix::fs::statat(source, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
            let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            if stat.st_nlink > 1 && !FileType::from_raw_mode(stat.st_mode).is_dir() {
                if let Some(first) = self.linked.get(&(stat.st_dev, stat.st_ino)) {
                    rustix::fs::linkat(self.top, first, target, &*name, AtFlags::empty())?;
                    continue;
                }
                self.linked.insert((stat.st_dev, stat.st_ino), path.clone());
            }
            if FileType::from_raw_mode(stat.st_mode).is_dir() {
                rustix::fs::mkdirat(target, &*name, Mode::from_raw_mode(0o700))?;
                let from = rustix::fs::openat(source, &*name, DIRECTORY, Mode::empty())?;
                let to = rustix::fs::openat(target, &*name, DIRECTORY, Mode::empty())?;
                self.directory(&from, &to, &path)?;
            } else {
                copy_entry(source, target, &name, &stat)?;
            }
        }
        let stat = rustix::fs::fstat(source)?;
        rustix::fs::fchown(target, uid(&stat), gid(&stat))?;
        rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode))?;
        copy_xattrs(source, target)?;
        rustix::fs::futimens(target, &times(&stat))
    }
}

/// Copies anything but a directory.
fn copy_entry(source: &OwnedFd, target: &OwnedFd, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    match FileType::from_raw_mode(stat.st_mode) {
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
            copy_xattrs(&from, &to)?;
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

/// Copies what a file has in extended attributes: not labels of one machine, nor what overlayfs notes for itself.
fn copy_xattrs(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let mut names = vec![0; 256];
    let length = match rustix::fs::flistxattr(from, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(Errno::RANGE) => {
            names.resize(LARGEST_XATTR, 0);
            rustix::fs::flistxattr(from, &mut names)?
        }
        length => length?,
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let name = CString::new(name).expect("split at its NULs");
        let mut value = vec![0; LARGEST_XATTR];
        let length = rustix::fs::fgetxattr(from, &name, &mut value)?;
        match rustix::fs::fsetxattr(to, &name, &value[..length], XattrFlags::empty()) {
            // A file system that has none, or not this one, does without.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_kept(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
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
/// The kernel's limit for one value and for all names of a file; see xattr(7).
const LARGEST_XATTR: usize = 65536;
