//! Copies what a walk finds into a directory, one thing after the other.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use image::{
    tarball::Time,
    tree::{self, Attributes, CopyOptions, Found, Owner, Root, open_child_directory},
};
use rustix::{
    fs::{AtFlags, FileType, Mode},
    io::Errno,
};

/// A directory that is being filled. What is in it already stays, unless something is put in its place; a directory and
/// something that is none replace each other. No link in it is followed.
pub struct Copier {
    target: Root,
    /// Whose all copies are; those of their sources' owners if there is none.
    owner: Option<Owner>,
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    /// Filling a directory changes its time, so they are set when all is there.
    times: Vec<(PathBuf, Time)>,
}

impl Copier {
    /// `target` must not follow links.
    pub fn new(target: Root, owner: Option<Owner>) -> Copier {
        Copier { target, owner, links: HashMap::new(), times: Vec::new() }
    }

    /// Puts what was found at the same path in the directory; a directory comes before what is in it. The answer is for
    /// whoever walks: whether it is one.
    pub fn put(&mut self, found: &Found<'_>) -> io::Result<bool> {
        let parent = self.target.directory(found.path.parent().unwrap_or(Path::new("")))?;
        let there = match rustix::fs::statat(&parent, found.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        if there.is_some_and(|there| there.is_dir() != found.file_type().is_dir()) {
            tree::remove(parent.as_fd(), found.name)?;
        }
        match found.file_type() {
            FileType::Directory => {
                self.directory(found, &parent)?;
                return Ok(true);
            }
            FileType::RegularFile if found.stat.st_nlink > 1 => self.linked(found, &parent)?,
            _ => tree::copy_found(found, parent.as_fd(), found.name, self.options())?,
        }
        Ok(false)
    }

    /// The directory at `path`, to change something about it.
    pub fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        self.target.open_at(path, super::READ_DIRECTORY)
    }

    /// Sets the directories' times.
    pub fn finish(self) -> io::Result<()> {
        let set = |(path, time): &(PathBuf, Time)| {
            tree::touch_child(self.target.directory(path)?, Path::new("."), *time)
        };
        self.times.iter().try_for_each(set)
    }

    fn directory(&mut self, found: &Found<'_>, parent: &OwnedFd) -> io::Result<()> {
        match rustix::fs::mkdirat(parent, found.name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let attributes = Attributes::of(open_child_directory(found.parent, found.name)?.as_fd())?;
        let owner = self.owner.unwrap_or(attributes.owner);
        let attributes = Attributes { owner, ..attributes };
        attributes.apply_untimed(open_child_directory(parent, found.name)?.as_fd())?;
        self.times.push((found.path.to_owned(), attributes.mtime));
        Ok(())
    }

    /// A file that has several names in its layer; those that are found are one file again.
    fn linked(&mut self, found: &Found<'_>, parent: &OwnedFd) -> io::Result<()> {
        let identity = (found.stat.st_dev, found.stat.st_ino);
        let Some(first) = self.links.get(&identity) else {
            tree::copy_found(found, parent.as_fd(), found.name, self.options())?;
            self.links.insert(identity, found.path.to_owned());
            return Ok(());
        };
        tree::link(&self.target, first, parent.as_fd(), found.name)
    }

    fn options(&self) -> CopyOptions<'static> {
        CopyOptions { owner: self.owner, xattrs: true, ..CopyOptions::default() }
    }
}
