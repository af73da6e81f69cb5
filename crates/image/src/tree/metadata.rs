//! A file's owner, mode, times and extended attributes, read and set through descriptors.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags},
    io::Errno,
};

use super::by_descriptor;
use crate::tarball::Time;

/// Who owns a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// What a file has besides its content and type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    pub mode: u32,
    pub owner: Owner,
    pub mtime: Time,
    /// Only kept ones, see [`is_kept_xattr`]; sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Owner {
    /// Makes this the owner of `file`.
    pub fn give(self, file: BorrowedFd<'_>) -> io::Result<()> {
        let (uid, gid) = self.raw();
        known(rustix::fs::fchown(file, Some(uid), Some(gid)))
    }

    fn raw(self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }
}

impl Attributes {
    /// Those of an open file or directory.
    pub fn of(file: BorrowedFd<'_>) -> io::Result<Attributes> {
        Attributes::of_open(file, &rustix::fs::fstat(file)?)
    }

    /// Those of an open file or directory that is known to have this `stat`.
    pub(crate) fn of_open(file: BorrowedFd<'_>, stat: &rustix::fs::Stat) -> io::Result<Attributes> {
        let list = |buffer: &mut [u8]| rustix::fs::flistxattr(file, buffer);
        let get = |name: &CString, buffer: &mut [u8]| rustix::fs::fgetxattr(file, name, buffer);
        Ok(Attributes { xattrs: xattrs(list, get)?, ..Attributes::from_stat(stat) })
    }

    /// Those of `name` in `directory`, a link or a device say, which cannot or must not be opened.
    pub fn of_child(directory: BorrowedFd<'_>, name: &Path) -> io::Result<Attributes> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let path = by_descriptor(directory, name);
        let list = |buffer: &mut [u8]| rustix::fs::llistxattr(&path, buffer);
        let get = |name: &CString, buffer: &mut [u8]| rustix::fs::lgetxattr(&path, name, buffer);
        Ok(Attributes { xattrs: xattrs(list, get)?, ..Attributes::from_stat(&stat) })
    }

    pub(crate) fn from_stat(stat: &rustix::fs::Stat) -> Attributes {
        Attributes {
            mode: stat.st_mode & 0o7777,
            owner: Owner { uid: stat.st_uid, gid: stat.st_gid },
            mtime: Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
            xattrs: Vec::new(),
        }
    }

    /// Gives them to an open file or directory. The order matters: a change of owner takes away set-id bits
    /// and capabilities, and everything but the last step changes the times.
    pub fn apply(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        self.apply_untimed(file)?;
        Ok(rustix::fs::futimens(file, &self.times())?)
    }

    /// [`Attributes::apply`] without the times, for a directory that is still to be filled.
    pub fn apply_untimed(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        // Most files are new, and have both: asking is cheaper than a change of the file system.
        let now = Attributes::from_stat(&rustix::fs::fstat(file)?);
        if now.owner != self.owner {
            self.owner.give(file)?;
        }
        if now.owner != self.owner || now.mode != self.mode {
            rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))?;
        }
        for (name, value) in &self.xattrs {
            optional(rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()))?;
        }
        Ok(())
    }

    /// Gives them to `name` in `directory`, which is neither a file nor a directory.
    pub fn apply_to_child(&self, directory: BorrowedFd<'_>, name: &Path, is_link: bool) -> io::Result<()> {
        let (uid, gid) = self.owner.raw();
        known(rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))?;
        if !is_link {
            // Through the descriptor's path, because fchmodat follows links and this name is none.
            rustix::fs::chmodat(directory, name, Mode::from_raw_mode(self.mode), AtFlags::empty())?;
        }
        for (key, value) in &self.xattrs {
            let path = by_descriptor(directory, name);
            optional(rustix::fs::lsetxattr(path, key.as_slice(), value, XattrFlags::empty()))?;
        }
        touch_child(directory, name, self.mtime)
    }

    fn times(&self) -> Timestamps {
        timestamps(self.mtime)
    }
}

/// Sets the modification time of `name` in `directory`, a link itself rather than what it names.
pub fn touch_child(directory: impl AsFd, name: &Path, mtime: Time) -> io::Result<()> {
    Ok(rustix::fs::utimensat(directory, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn timestamps(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
    }
}

/// Whether an extended attribute belongs to a file's content and travels with images. Labels and
/// measurements of one machine's security modules do not, nor does what overlayfs notes for itself.
pub fn is_kept_xattr(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

fn xattrs(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CString, &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // Nearly no file has any, and one call says so.
    let mut names = vec![0; 256];
    let length = match list(&mut names) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => length,
        Err(Errno::RANGE) => {
            names.resize(LARGEST_XATTR, 0);
            list(&mut names)?
        }
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for name in names[..length].split(|b| *b == 0).filter(|name| is_kept_xattr(name)) {
        let mut value = vec![0; LARGEST_XATTR];
        let key = CString::new(name).expect("split at its NULs");
        let length = get(&key, &mut value)?;
        value.truncate(length);
        value.shrink_to_fit();
        all.push((name.to_vec(), value));
    }
    all.sort();
    Ok(all)
}

/// In a user namespace that has no such user, a file stays its maker's.
fn known(given: rustix::io::Result<()>) -> io::Result<()> {
    match given {
        Err(Errno::INVAL) if sys::rootless::is_rootless() => Ok(()),
        given => Ok(given?),
    }
}

/// A file system without extended attributes, or a user who may not set this one, does without them.
fn optional(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::OPNOTSUPP | Errno::PERM) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The kernel's limits for one value and for all names of a file. See xattr(7).
const LARGEST_XATTR: usize = 65536;
