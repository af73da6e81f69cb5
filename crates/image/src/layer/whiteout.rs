//! How a layer says that something below it is gone.
//!
//! | | in an archive | on disk |
//! |---|---|---|
//! | `NAME` is gone | an empty file `.wh.NAME` | `NAME`, a character device 0:0 |
//! | a directory hides what is below | an empty file `.wh..wh..opq` in it | the attribute `trusted.overlay.opaque=y` |

use std::{io, os::fd::BorrowedFd, path::Path};

use rustix::{
    fs::{AtFlags, FileType, Mode, Stat, XattrFlags, makedev},
    io::Errno,
};

/// What a name in an archive means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    Ordinary,
    Gone(&'a [u8]),
    Opaque,
    /// A name that only looks like a whiteout's.
    Strange,
}

/// What the name of an entry means.
pub fn meaning(name: &[u8]) -> Meaning<'_> {
    match name.strip_prefix(PREFIX) {
        None => Meaning::Ordinary,
        Some(b".wh..opq") => Meaning::Opaque,
        Some(b"" | b"." | b"..") => Meaning::Strange,
        Some(hidden) if hidden.starts_with(PREFIX) => Meaning::Strange,
        Some(hidden) => Meaning::Gone(hidden),
    }
}

/// Puts a whiteout at `name`.
pub fn make(directory: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<()> {
    rustix::fs::mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
}

/// Whether a file is a whiteout.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(0, 0)
}

/// Whether `name` is a whiteout; false if nothing is there.
pub fn is_whiteout_at(directory: BorrowedFd<'_>, name: &Path) -> io::Result<bool> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(is_whiteout(&stat)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes an open directory hide what is below.
pub fn set_opaque(directory: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty()) {
        // Only the machine's own root may set that one; a user's overlay looks for its namesake.
        Err(Errno::PERM) => {
            Ok(rustix::fs::fsetxattr(directory, OPAQUE_FOR_USERS, b"y", XattrFlags::empty())?)
        }
        result => Ok(result?),
    }
}

/// Whether an open directory hides what is below.
pub fn is_opaque(directory: BorrowedFd<'_>) -> io::Result<bool> {
    for name in [OPAQUE, OPAQUE_FOR_USERS] {
        if xattr_starts_with(directory, name, b'y')? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an open file or directory stands for content that is elsewhere, under another name.
pub fn is_redirected(file: BorrowedFd<'_>) -> io::Result<bool> {
    // Nearly no file has any attribute, and one call says so.
    if matches!(rustix::fs::flistxattr(file, &mut [0; 256]), Ok(0) | Err(Errno::OPNOTSUPP)) {
        return Ok(false);
    }
    for name in REDIRECTIONS {
        let mut value = [0; 0];
        match rustix::fs::fgetxattr(file, name, &mut value) {
            Ok(_) => return Ok(true),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Whether an extended attribute is overlayfs's own, which no archive may bring.
pub fn is_overlays(xattr: &[u8]) -> bool {
    xattr.starts_with(b"trusted.overlay.") || xattr.starts_with(b"user.overlay.")
}

fn xattr_starts_with(file: BorrowedFd<'_>, name: &str, first: u8) -> io::Result<bool> {
    let mut value = [0; 8];
    match rustix::fs::fgetxattr(file, name, &mut value) {
        Ok(length) => Ok(length > 0 && value[0] == first),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE | Errno::PERM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub const PREFIX: &[u8] = b".wh.";
pub const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
const OPAQUE: &str = "trusted.overlay.opaque";
const OPAQUE_FOR_USERS: &str = "user.overlay.opaque";
const REDIRECTIONS: [&str; 3] =
    ["trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.redirect"];
