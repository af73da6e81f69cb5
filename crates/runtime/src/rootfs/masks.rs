//! What a container may not see or may not write, although it lies in a filesystem it has.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::Spec;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    mount::OpenTreeFlags,
};
use sys::{
    mounts::{Attributes, Depth, set_attributes},
    root,
};

use super::{attach, new_filesystem};
use crate::failure::{Context, Failure};

/// Hides the masked paths below `root` and makes the read-only ones read-only. Those the kernel does not
/// have are passed over.
pub(super) fn apply(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), Failure> {
    let Some(linux) = spec.linux() else { return Ok(()) };
    let read_only = linux.readonly_paths().as_deref().unwrap_or_default();
    for path in read_only {
        write_protect(root, Path::new(path)).map_err(|e| at(path, e))?;
    }
    let masked = linux.masked_paths().as_deref().unwrap_or_default();
    if masked.is_empty() {
        return Ok(());
    }
    let mut cover = Cover::new()?;
    for path in masked {
        cover.hide(root, Path::new(path)).map_err(|e| at(path, e))?;
    }
    Ok(())
}

/// What is mounted over a masked path: an empty directory or an empty file.
struct Cover {
    directory: OwnedFd,
    /// Whether the directory is mounted anywhere yet. Before 6.15, Linux clones no mount that is not.
    is_mounted: bool,
    file: OwnedFd,
}

impl Cover {
    fn new() -> Result<Cover, Failure> {
        let data = [("size".to_owned(), Some("0k".to_owned())), ("mode".to_owned(), Some("555".to_owned()))];
        let directory = new_filesystem("tmpfs", Path::new("tmpfs"), &data, Attributes::READ_ONLY)?;
        // The host's, not the container's, and verified: an image could have put anything at /dev/null.
        let file = rustix::fs::openat(
            CWD,
            "/dev/null",
            OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .context("opening /dev/null")?;
        let stat = rustix::fs::fstat(&file).context("reading /dev/null")?;
        let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(1, 3);
        if !is_null {
            return Err(Failure::setup("the host's /dev/null is not the null device"));
        }
        Ok(Cover { directory, is_mounted: false, file })
    }

    fn hide(&mut self, root: BorrowedFd<'_>, path: &Path) -> Result<(), Failure> {
        let Some(target) = open_existing(root, path)? else { return Ok(()) };
        if !root::is_directory(&target).context("reading")? {
            return attach(clone(self.file.as_fd(), Depth::This)?.as_fd(), target.as_fd());
        }
        if std::mem::replace(&mut self.is_mounted, true) {
            attach(clone(self.directory.as_fd(), Depth::This)?.as_fd(), target.as_fd())
        } else {
            attach(self.directory.as_fd(), target.as_fd())
        }
    }
}

fn write_protect(root: BorrowedFd<'_>, path: &Path) -> Result<(), Failure> {
    let Some(target) = open_existing(root, path)? else { return Ok(()) };
    let copy = clone(target.as_fd(), Depth::WithThoseBelow)?;
    set_attributes(copy.as_fd(), Attributes::READ_ONLY, None, Depth::WithThoseBelow)
        .context("write-protecting")?;
    attach(copy.as_fd(), target.as_fd())
}

fn open_existing(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>, Failure> {
    match root::open(root, path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("opening"),
    }
}

fn clone(of: BorrowedFd<'_>, depth: Depth) -> Result<OwnedFd, Failure> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if depth == Depth::WithThoseBelow {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(of, "", flags).context("cloning the mount")
}

fn at(path: &str, failure: Failure) -> Failure {
    Failure { message: format!("masking {path}: {failure}"), ..failure }
}
