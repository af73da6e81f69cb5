//! Files below a directory that somebody else filled: every path is resolved by the kernel, from the
//! directory's descriptor, and none leads out of it.
//!
//! Knows files and their metadata. Knows nothing of layers, archives or images.

mod copy;
mod crew;
mod metadata;
mod owners;
mod walk;

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

pub use copy::{Choice, Choose, CopyOptions, copy, copy_found, link};
pub use metadata::{Attributes, Owner, is_kept_xattr, touch_child};
pub use owners::Owners;
pub use walk::{Found, walk, walk_merged};

pub use crate::tarball::Time;

/// A directory by its `O_PATH` descriptor, how links below it are treated, and who the owners of its files are.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    links: Links,
    owners: Owners,
}

/// What symbolic links on the way to a file mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They lead where they would for a process whose root directory this is.
    StayInside,
    /// No link may stand on the way: the tree is one layer, and its links are for the whole to interpret.
    Refused,
}

impl Root {
    pub fn open(directory: &Path, links: Links) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Root::of(rustix::fs::openat(CWD, directory, flags, Mode::empty())?, links))
    }

    /// The directory that an open descriptor refers to.
    pub fn of(directory: OwnedFd, links: Links) -> Root {
        Root { directory, links, owners: Owners::default() }
    }

    /// The same directory as one of a user namespace, whose numbers owners have in archives.
    pub fn owned_as(self, owners: Owners) -> Root {
        Root { owners, ..self }
    }

    /// Who the owners of its files are.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Opens what is at `path`. A link at its end is followed only if links are and `flags` allow it.
    pub fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return Ok(rustix::fs::openat(&self.directory, ".", flags | OFlags::CLOEXEC, Mode::empty())?);
        }
        match self.links {
            Links::StayInside => sys::root::open(self.directory.as_fd(), path, flags, Mode::empty()),
            Links::Refused => {
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                loop {
                    let flags = flags | OFlags::CLOEXEC;
                    match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                        Err(Errno::AGAIN | Errno::INTR) => continue,
                        other => return Ok(other?),
                    }
                }
            }
        }
    }

    /// Opens the directory at `path`, as a place to work from.
    pub fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens the regular file at `path` for reading: never a device or a pipe, which could block.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// What is at `path` itself, without following a link at its end.
    pub fn stat(&self, path: &Path) -> io::Result<Stat> {
        let file = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(rustix::fs::statat(&file, "", AtFlags::EMPTY_PATH)?)
    }

    /// Opens the directory at `path`. What is missing of it is made, outermost first, with `mode` and
    /// `owner`; `made` learns each new directory.
    pub fn make_directories(
        &self,
        path: &Path,
        mode: u32,
        owner: Owner,
        made: &mut dyn FnMut(&Path),
    ) -> io::Result<OwnedFd> {
        match self.directory(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.as_os_str().is_empty() => {}
            other => return other,
        }
        let Some(Component::Normal(name)) = path.components().next_back() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent_path = path.parent().unwrap_or(Path::new(""));
        let parent = self.make_directories(parent_path, mode, owner, made)?;
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => {
                let new = open_child_directory(&parent, Path::new(name))?;
                self.owners.outside(owner)?.give(new.as_fd())?;
                rustix::fs::fchmod(&new, Mode::from_raw_mode(mode))?;
                made(path);
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // By its whole path again: if a dangling link stands here, this fails rather than follow it outside.
        self.directory(path)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The directories of a tree, of which the last stays open: for those who go from file to file.
#[derive(Debug)]
pub struct Directories<'a> {
    root: &'a Root,
    last: Option<(PathBuf, OwnedFd)>,
}

impl<'a> Directories<'a> {
    pub fn of(root: &'a Root) -> Directories<'a> {
        Directories { root, last: None }
    }

    /// Opens the directory at `path`, unless it is the last.
    pub fn open(&mut self, path: &Path) -> io::Result<BorrowedFd<'_>> {
        let root = self.root;
        self.get(path, |path| root.directory(path))
    }

    /// [`Directories::open`], by the way that `open` has.
    fn get(
        &mut self,
        path: &Path,
        open: impl FnOnce(&Path) -> io::Result<OwnedFd>,
    ) -> io::Result<BorrowedFd<'_>> {
        let last = match self.last.take() {
            Some(last) if last.0 == path => last,
            _ => (path.to_owned(), open(path)?),
        };
        Ok(self.last.insert(last).1.as_fd())
    }
}

/// Removes `name` from `directory`, with everything below it; nothing there is fine too.
pub fn remove(directory: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // std walks by descriptors and follows no link.
        Err(Errno::ISDIR) => std::fs::remove_dir_all(by_descriptor(directory, name)),
        Err(error) => Err(error.into()),
    }
}

/// Opens the directory `name` in `directory`, which must not be a link.
pub fn open_child_directory(directory: impl AsFd, name: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// A path to `name` in `directory` for the few calls that take no descriptor.
fn by_descriptor(directory: BorrowedFd<'_>, name: &Path) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

/// `path` without its leading slash, which openat2 with `BENEATH` would refuse, or an error if it climbs.
pub fn relative(path: &Path) -> io::Result<PathBuf> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(Ok(name)),
            Component::RootDir | Component::CurDir => None,
            Component::ParentDir | Component::Prefix(_) => Some(Err(io::ErrorKind::InvalidInput.into())),
        })
        .collect()
}

#[cfg(test)]
mod tests;
