//! Paths below a directory that somebody else controls: resolved by the kernel, never by joining strings.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// Opens `path` as a process with `root` for its root directory would: `..` and absolute links stay inside.
/// Magic links such as /proc/PID/fd/N are refused. See openat2(2), Linux 5.6.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve) {
            // Something was renamed meanwhile and the kernel could not tell whether the walk stayed inside.
            Err(Errno::AGAIN | Errno::INTR) => continue,
            other => return Ok(other?),
        }
    }
}

/// Opens the directory at `path`, making it and its parents with `mode` where they are missing.
pub fn open_or_create_directory(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let parent = match path.parent().filter(|parent| *parent != Path::new("")) {
        Some(parent) => open_or_create_directory(root, parent, mode)?,
        None => root.try_clone_to_owned()?,
    };
    let Some(Component::Normal(name)) = path.components().next_back() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match rustix::fs::mkdirat(&parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    // Not O_NOFOLLOW: a dangling link here makes this fail with NotFound rather than leave the root.
    open(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

/// Opens `path`, making an empty file there if nothing is: something to mount a file on.
pub fn open_or_create_file(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
        open_or_create_directory(root, parent, Mode::from_raw_mode(0o755))?;
    }
    open(root, path, OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644))?;
    open(root, path, OFlags::PATH, Mode::empty())
}

/// Whether the descriptor refers to a directory.
pub fn is_directory(file: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}
