//! The root as a stack of layers: overlayfs, described by a first mount on `/` in the specification.
//!
//! The kernel takes at most one page of options. A path of ours may be long and an image may have 127
//! layers, so every directory is named by a descriptor: `/proc/self/fd/N`.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use oci_spec::runtime::Mount;
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags},
};
use sys::{
    mounts::{Depth, map_owners},
    process::with_file_system_ids,
};

use crate::{
    bundle::BELOW,
    failure::{Context, Failure},
    users::Users,
};

/// Mounts the overlay that `entry` describes on the directory `target`. In it, files belong to those in the user namespace
/// `users`, if there is one, who have the numbers of their owners in the layers.
pub fn mount(entry: &Mount, target: &Path, users: Option<&Users>) -> Result<(), Failure> {
    let mut directories = Directories { target, users, opened: Vec::new(), writable: None };
    let mut options = Vec::new();
    for option in entry.options().as_deref().unwrap_or_default() {
        match option.split_once('=') {
            Some(("lowerdir", lower)) => {
                let lower = split(lower);
                let names = lower.iter().map(|directory| directories.lower(directory));
                let names = names.collect::<Result<Vec<_>, _>>()?;
                options.push(format!("lowerdir={}", names.join(":")));
            }
            Some((key @ ("upperdir" | "workdir"), directory)) => {
                options.push(format!("{key}={}", directories.writable(Path::new(directory))?));
            }
            // What is for the mount that is made of this one.
            None if matches!(option.as_str(), "ro" | "rw") => {}
            _ if option.starts_with(BELOW) => {}
            _ => options.push(option.clone()),
        }
    }
    if sys::rootless::is_rootless() {
        // Its notes are attributes that a user may set.
        options.push("userxattr".to_owned());
    }
    let data = std::ffi::CString::new(options.join(",")).context("overlay options")?;
    let mount = || {
        rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), Some(data.as_c_str()))
            .context("mounting the image's layers")
    };
    match users {
        None => mount(),
        // Whoever mounts an overlay makes its working directory.
        Some(users) => with_file_system_ids(users.uid(0), users.gid(0), mount)
            .context("acting as the container's root")
            .flatten(),
    }
}

/// Joins directories, topmost first, into one value of `lowerdir`, as [`mount`] takes it apart again.
pub fn join<'a>(directories: impl IntoIterator<Item = &'a Path>) -> OsString {
    let mut joined = Vec::new();
    for directory in directories {
        if !joined.is_empty() {
            joined.push(b':');
        }
        for byte in directory.as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\') {
                joined.push(b'\\');
            }
            joined.push(*byte);
        }
    }
    OsString::from_vec(joined)
}

fn split(joined: &str) -> Vec<OsString> {
    let mut directories = vec![Vec::new()];
    let mut bytes = joined.bytes();
    while let Some(byte) = bytes.next() {
        let last = directories.last_mut().expect("never empty");
        match byte {
            b'\\' => last.extend(bytes.next()),
            b':' => directories.push(Vec::new()),
            _ => last.push(byte),
        }
    }
    directories.into_iter().map(OsString::from_vec).collect()
}

/// The directories of an overlay, open under a short name each.
struct Directories<'a> {
    /// Where the overlay will be mounted.
    target: &'a Path,
    users: Option<&'a Users>,
    opened: Vec<OwnedFd>,
    /// What the directories for changes are opened from, and its path, where owners are mapped: the kernel wants both on one
    /// mount.
    writable: Option<(PathBuf, OwnedFd)>,
}

impl Directories<'_> {
    fn lower(&mut self, directory: &OsStr) -> Result<String, Failure> {
        let directory = Path::new(directory);
        let opened = match self.users {
            None => open(CWD, directory)?,
            Some(users) => self.mapped(directory, users)?,
        };
        Ok(self.keep(opened))
    }

    fn writable(&mut self, directory: &Path) -> Result<String, Failure> {
        let opened = match (self.users, directory.parent(), directory.file_name()) {
            (Some(users), Some(parent), Some(name)) => {
                if self.writable.as_ref().is_none_or(|(path, _)| path != parent) {
                    self.writable = Some((parent.to_owned(), self.mapped(parent, users)?));
                }
                let (_, parent) = self.writable.as_ref().expect("just set");
                open(parent.as_fd(), Path::new(name))?
            }
            _ => open(CWD, directory)?,
        };
        Ok(self.keep(opened))
    }

    /// A mount of `directory` that maps owners. It has to be attached somewhere to become a layer (before Linux 6.15): the
    /// overlay hides it.
    fn mapped(&self, directory: &Path, users: &Users) -> Result<OwnedFd, Failure> {
        let layer = || format!("layer {}", directory.display());
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(CWD, directory, flags).context(layer())?;
        map_owners(tree.as_fd(), users.as_fd(), Depth::This)
            .context(format_args!("{}: mapping owners for a user namespace", layer()))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&tree, "", CWD, self.target, flags).context(layer())?;
        Ok(tree)
    }

    /// Keeps a directory open, and returns the short name it has meanwhile.
    fn keep(&mut self, directory: OwnedFd) -> String {
        let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
        self.opened.push(directory);
        name
    }
}

fn open(from: BorrowedFd<'_>, directory: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(from, directory, flags, Mode::empty())
        .context(format_args!("layer {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_with_colons_survive_joining() {
        let directories = ["/a:b", "/c\\d", "/e"].map(Path::new);
        let joined = join(directories);
        assert_eq!(joined, OsStr::new("/a\\:b:/c\\\\d:/e"));
        assert_eq!(split(joined.to_str().expect("ASCII")), directories.map(|d| d.as_os_str().to_owned()));
    }
}
