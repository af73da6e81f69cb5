//! /dev: the handful of devices every container may use, and the ones asked for.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, makedev, mkdirat, mknodat, symlinkat},
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags},
    pty::OpenptFlags,
    termios::Winsize,
};
use sys::root;

use super::attach;
use crate::{
    failure::{Context, Failure},
    users::Users,
};

/// Adds what every container has to the /dev of `root`, whatever that is.
pub(super) fn add_usual(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let dev = root::open_or_create_directory(root, Path::new("/dev"), Mode::from_raw_mode(0o755))
        .context("making /dev")?;
    // It may be the image's, and opened to be looked through only.
    let dev =
        rustix::fs::openat(&dev, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context("opening /dev")?;
    populate(dev.as_fd())
}

/// Fills the directory `dev`, usually a fresh tmpfs. What is there stays.
pub(super) fn populate(dev: BorrowedFd<'_>) -> Result<(), Failure> {
    for (name, major, minor) in DEVICES {
        let path = Path::new("/dev").join(name);
        make(dev, &path, FileType::CharacterDevice, 0o666, (major, minor))?;
    }
    // Kernels may be without it, and a link to nothing helps nobody.
    let is_there = |target: &str| target != "/proc/kcore" || Path::new(target).exists();
    for (name, target) in LINKS.into_iter().filter(|(_, target)| is_there(target)) {
        unless_there(symlinkat(target, dev, name)).context(format_args!("linking /dev/{name}"))?;
    }
    for name in ["pts", "mqueue"] {
        unless_there(mkdirat(dev, name, Mode::from_raw_mode(0o755)))
            .context(format_args!("making /dev/{name}"))?;
    }
    Ok(())
}

fn unless_there(made: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if made == Err(Errno::EXIST) { Ok(()) } else { made }
}

/// Fills the directory `dev` for a container with the user namespace `users`, which has no other devices below /dev and
/// cannot make any: with the usual ones and with those that the specification lists.
pub(super) fn populate_for(dev: BorrowedFd<'_>, spec: &Spec, users: &Users) -> Result<(), Failure> {
    populate(dev)?;
    for device in requested(spec) {
        if let Ok(below) = device.path().strip_prefix(DEV) {
            add(dev, below, device)?;
        }
    }
    chown(dev, Path::new(""), users.uid(0), users.gid(0))
        .and_then(|()| give_all(dev, users))
        .context("owners of devices")
}

/// Makes the devices that the specification lists, but for those that [`populate_for`] has made if `is_lent`.
pub(super) fn add_requested(root: BorrowedFd<'_>, spec: &Spec, is_lent: bool) -> Result<(), Failure> {
    for device in requested(spec).filter(|device| !is_lent || !device.path().starts_with(DEV)) {
        add(root, device.path(), device)?;
    }
    Ok(())
}

fn requested(spec: &Spec) -> impl Iterator<Item = &LinuxDevice> {
    let linux = spec.linux().as_ref();
    linux.and_then(|linux| linux.devices().as_ref()).into_iter().flatten()
}

/// Makes `device` at `path` in `root`.
fn add(root: BorrowedFd<'_>, path: &Path, device: &LinuxDevice) -> Result<(), Failure> {
    let shown = device.path().display();
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let directory = root::open_or_create_directory(root, parent, Mode::from_raw_mode(0o755))
        .context(format_args!("making the directory of {shown}"))?;
    let name = path.file_name().ok_or_else(|| Failure::setup(format_args!("no device {shown}")))?;
    let mode = device.file_mode().unwrap_or(0o666);
    let number = (device.major() as u32, device.minor() as u32);
    make(directory.as_fd(), device.path(), kind(device), mode, number)?;
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    match chown(directory.as_fd(), Path::new(name), uid, gid) {
        // What the host has lent stays its own.
        Err(Errno::PERM | Errno::INVAL) if sys::rootless::is_rootless() => Ok(()),
        given => given.context(format_args!("owner of {shown}")),
    }
}

/// Has everything in `directory` belong to those in `users` who have the numbers of its owners.
fn give_all(directory: BorrowedFd<'_>, users: &Users) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        chown(directory.as_fd(), name, users.uid(stat.st_uid), users.gid(stat.st_gid))?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            give_all(rustix::fs::openat(&directory, name, flags, Mode::empty())?.as_fd(), users)?;
        }
    }
    Ok(())
}

/// Changes the owner of `name` in `directory`, or of that itself if the name is empty.
fn chown(directory: BorrowedFd<'_>, name: &Path, uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)
}

/// A terminal: what programs talk to, and the end that whoever watches them holds.
#[derive(Debug)]
pub struct Terminal {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

impl Terminal {
    /// Opens a new terminal of the devpts instance at /dev/pts below `root`.
    ///
    /// A running container may have put something else there: it is checked to be the multiplexer.
    pub fn open(root: BorrowedFd<'_>, columns: u16, rows: u16) -> Result<Terminal, Failure> {
        let master =
            root::open(root, Path::new("/dev/pts/ptmx"), OFlags::RDWR | OFlags::NOCTTY, Mode::empty())
                .context("opening a terminal")?;
        if rustix::fs::fstat(&master).context("reading the terminal")?.st_rdev != makedev(5, 2) {
            return Err(Failure::setup("the container's /dev/pts/ptmx is not a terminal multiplexer"));
        }
        rustix::pty::unlockpt(&master).context("unlocking the terminal")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave =
            rustix::pty::ioctl_tiocgptpeer(&master, flags).context("opening the terminal's other end")?;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).context("sizing the terminal")?;
        Ok(Terminal { master, slave })
    }
}

/// Mounts the slave of the first terminal on /dev/console, where system programs look for one.
pub(super) fn mount_console(root: BorrowedFd<'_>, terminal: &Terminal) -> Result<(), Failure> {
    let console =
        root::open_or_create_file(root, Path::new("/dev/console")).context("making /dev/console")?;
    let number =
        rustix::fs::minor(rustix::fs::fstat(&terminal.slave).context("reading the terminal")?.st_rdev);
    let node = root::open(root, Path::new(&format!("/dev/pts/{number}")), OFlags::PATH, Mode::empty())
        .context("finding the terminal")?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = rustix::mount::open_tree(&node, "", flags).context("cloning the terminal")?;
    attach(clone.as_fd(), console.as_fd())
}

fn make(
    directory: BorrowedFd<'_>,
    path: &Path,
    kind: FileType,
    mode: u32,
    (major, minor): (u32, u32),
) -> Result<(), Failure> {
    let describe = || format!("making device {}", path.display());
    let name = path.file_name().unwrap_or_default();
    match mknodat(directory, name, kind, Mode::from_raw_mode(mode), makedev(major, minor)) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        // In a user namespace no device can be made, but the host's may be lent.
        Err(Errno::PERM) => return lend(directory, path, makedev(major, minor)).context(describe()),
        Err(error) => return Err(error).context(describe()),
    }
    // mknod obeys the umask, which is not what a device's mode should depend on.
    rustix::fs::chmodat(directory, name, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())
        .context(describe())
}

/// Mounts the host's device at `path`, if it has this number, in `directory`, where it has the same name.
fn lend(directory: BorrowedFd<'_>, path: &Path, number: u64) -> rustix::io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let device = rustix::mount::open_tree(rustix::fs::CWD, path, flags)?;
    if rustix::fs::statat(&device, "", AtFlags::EMPTY_PATH)?.st_rdev != number {
        return Err(Errno::NODEV);
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat(
        directory,
        path.file_name().unwrap_or_default(),
        flags,
        Mode::from_raw_mode(0o644),
    )?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&device, "", &place, "", flags)
}

fn kind(device: &LinuxDevice) -> FileType {
    match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        _ => FileType::CharacterDevice,
    }
}

const DEV: &str = "/dev";

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];
