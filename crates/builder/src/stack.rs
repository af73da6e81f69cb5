//! An image's file system seen through the stack of its layers' directories, without mounting it.
//!
//! COPY, ADD and WORKDIR put files into a fresh directory that becomes the next layer. All they need of the image below
//! is what the path to their destination means (links, missing directories), what the directories on it look like, and
//! /etc/passwd. Looking that up layer by layer takes no privilege, no mount whose end syncs a disk, and works the same
//! on every kernel and without root; an overlay mount would need all three for the same answers.
//!
//! A path is followed here, component by component. Inside a layer only paths without links are opened, below the
//! layer's descriptor.

mod copy;
mod merged;

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io::{self, Read},
    os::{fd::AsFd, unix::ffi::OsStringExt},
    path::{Component, Path, PathBuf},
};

use image::tree::{Attributes, Links, Owner, Root};
use rustix::{
    fs::{FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT},
    io::Errno,
};

pub use copy::Copier;

/// Directories stacked as overlayfs would, the topmost first.
pub struct Stack {
    layers: Vec<Root>,
}

/// Where a path leads.
#[derive(Debug)]
pub struct Resolved {
    /// The same place from the root, without links.
    pub path: PathBuf,
    /// What is there, unless nothing is.
    pub stat: Option<Stat>,
}

impl Resolved {
    pub fn kind(&self) -> Option<FileType> {
        self.stat.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }
}

/// What directories are like that are made on the way.
#[derive(Debug, Clone, Copy)]
pub struct NewDirectory {
    pub owner: Owner,
    pub mode: u32,
    /// Of modification, in seconds since 1970.
    pub time: i64,
}

/// What one component of a path is. A directory's content comes from the first `depth` layers only; below those it is
/// hidden.
enum Seen {
    Nothing,
    Directory { stat: Stat, depth: usize },
    Other(Stat),
}

impl Stack {
    pub fn open<'a>(directories: impl IntoIterator<Item = &'a Path>) -> io::Result<Stack> {
        let layers = directories.into_iter().map(|directory| Root::open(directory, Links::Refused));
        Ok(Stack { layers: layers.collect::<Result<_, _>>()? })
    }

    /// The topmost directory, the one to write to.
    pub fn top(&self) -> &Root {
        &self.layers[0]
    }

    /// Gives the topmost directory the attributes of the root below, or those of a new directory: in an overlay, it is
    /// the topmost that counts.
    pub fn adopt_root(&self, time: i64) -> io::Result<()> {
        let root = self.top().open_at(Path::new(""), READ_DIRECTORY)?;
        match self.attributes(Path::new(""))? {
            Some(attributes) => attributes.apply(root.as_fd()),
            None => {
                rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755))?;
                set_time(root, time)
            }
        }
    }

    /// Follows `path` from the root. Links stay inside; one at the end is followed if `follow`. Fails with
    /// `NotADirectory` if a file is used as a directory.
    pub fn resolve(&self, path: &Path, follow: bool) -> io::Result<Resolved> {
        let mut rest: VecDeque<OsString> = components(path);
        // The names so far, and how many layers the directory they lead to is made of.
        let mut names: Vec<(OsString, usize)> = Vec::new();
        let mut last = None;
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                names.pop();
                last = None;
                continue;
            }
            let depth = names.last().map_or(self.layers.len(), |(_, depth)| *depth);
            let here: PathBuf =
                names.iter().map(|(name, _)| name.as_os_str()).chain([name.as_os_str()]).collect();
            match self.see(&here, depth)? {
                Seen::Nothing => {
                    names.push((name, 0));
                    last = None;
                }
                Seen::Directory { stat, depth } => {
                    names.push((name, depth));
                    last = Some(stat);
                }
                Seen::Other(stat) if is_link(&stat) && (follow || !rest.is_empty()) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = self.read_link(&here, depth)?;
                    if target.is_absolute() {
                        names.clear();
                    }
                    last = None;
                    for component in components(&target).into_iter().rev() {
                        rest.push_front(component);
                    }
                }
                Seen::Other(stat) => {
                    if rest.iter().any(|name| name != "..") {
                        return Err(io::ErrorKind::NotADirectory.into());
                    }
                    names.push((name, 0));
                    last = Some(stat);
                }
            }
        }
        let path: PathBuf = names.iter().map(|(name, _)| name.as_os_str()).collect();
        let stat = match last {
            Some(stat) => Some(stat),
            // The root itself, or where `..` led back to.
            None => match names.last() {
                Some((_, 0)) => None,
                _ => self.stat_directory(&path)?,
            },
        };
        Ok(Resolved { path, stat })
    }

    /// The content of the regular file at `path`, if it is one of at most `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let resolved = self.resolve(path, true)?;
        if resolved.kind() != Some(FileType::RegularFile) {
            return Ok(None);
        }
        for layer in &self.layers {
            match layer.file(&resolved.path) {
                Ok(file) => {
                    let mut content = Vec::new();
                    file.take(limit + 1).read_to_end(&mut content)?;
                    return Ok(Some(content).filter(|content| content.len() as u64 <= limit));
                }
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Makes sure that the directory `path`, a resolved one, is in the topmost layer: what exists below keeps its
    /// attributes, what is missing is made as `new` says.
    pub fn make_directory(&self, path: &Path, new: NewDirectory) -> io::Result<()> {
        let mut here = PathBuf::new();
        for name in path {
            let parent = self.top().directory(&here)?;
            here.push(name);
            if self.top().stat(&here).is_ok() {
                continue;
            }
            let below = self.attributes(&here)?;
            rustix::fs::mkdirat(&parent, name, Mode::RWXU)?;
            let made = self.top().open_at(&here, READ_DIRECTORY)?;
            match below {
                Some(attributes) => attributes.apply(made.as_fd())?,
                None => {
                    new.owner.give(made.as_fd())?;
                    rustix::fs::fchmod(&made, Mode::from_raw_mode(new.mode))?;
                    set_time(made.as_fd(), new.time)?;
                }
            }
        }
        Ok(())
    }

    /// Gives `path`, and every directory above it, the modification time it has in the layers below: putting something
    /// into it changed that. What is not below gets `time`.
    pub fn restore_times(&self, path: &Path, time: i64) -> io::Result<()> {
        for here in path.ancestors() {
            let Ok(directory) = self.top().open_at(here, READ_DIRECTORY) else { continue };
            let below = self.below().filter_map(|layer| layer.stat(here).ok()).find(is_directory);
            match below {
                Some(stat) => {
                    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
                    rustix::fs::futimens(&directory, &modified(time))?;
                }
                None => set_time(directory.as_fd(), time)?,
            }
        }
        Ok(())
    }

    /// The attributes of the directory `path` in the topmost of the lower layers that has it.
    fn attributes(&self, path: &Path) -> io::Result<Option<Attributes>> {
        for layer in self.below() {
            match layer.open_at(path, READ_DIRECTORY.union(OFlags::NOFOLLOW)) {
                Ok(directory) => return Attributes::of(directory.as_fd()).map(Some),
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn below(&self) -> impl Iterator<Item = &Root> {
        self.layers.iter().skip(1)
    }

    fn stat_directory(&self, path: &Path) -> io::Result<Option<Stat>> {
        for layer in &self.layers {
            match layer.stat(path) {
                Ok(stat) if is_directory(&stat) => return Ok(Some(stat)),
                Ok(_) => return Ok(None),
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// What the first `depth` layers show at `path`, whose parent is a directory.
    fn see(&self, path: &Path, depth: usize) -> io::Result<Seen> {
        let mut found = None;
        let mut reached = 0;
        for (i, layer) in self.layers[..depth].iter().enumerate() {
            let stat = match layer.stat(path) {
                Ok(stat) => stat,
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(error),
            };
            match (is_directory(&stat), found.is_some()) {
                // A whiteout, or what a directory above hides.
                (false, true) => break,
                (false, false) if is_whiteout(&stat) => return Ok(Seen::Nothing),
                (false, false) => return Ok(Seen::Other(stat)),
                (true, _) => {
                    found.get_or_insert(stat);
                    reached = i + 1;
                    if is_opaque(layer, path)? {
                        break;
                    }
                }
            }
        }
        Ok(found.map_or(Seen::Nothing, |stat| Seen::Directory { stat, depth: reached }))
    }

    fn read_link(&self, path: &Path, depth: usize) -> io::Result<PathBuf> {
        for layer in &self.layers[..depth] {
            match layer.open_at(path, OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(link) => {
                    let target = rustix::fs::readlinkat(link, "", Vec::new())?;
                    return Ok(OsString::from_vec(target.into_bytes()).into());
                }
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    named.collect()
}

/// Nothing is there in this layer: no such file, or something that is no directory on the way to it.
fn absent(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_symlink()
}

/// Overlayfs's mark of something deleted: the character device 0:0.
fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

/// Whether overlayfs hides what lower layers have in this directory.
fn is_opaque(layer: &Root, path: &Path) -> io::Result<bool> {
    Ok(is_marked_opaque(layer.open_at(path, READ_DIRECTORY)?))
}

/// [`is_opaque`] of an open directory.
fn is_marked_opaque(directory: impl AsFd) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::fgetxattr(&directory, *name, &mut value) == Ok(1) && value[0] == b'y'
    })
}

/// Sets when `file` was last modified, in seconds since 1970.
pub fn set_time(file: impl AsFd, seconds: i64) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &modified(Timespec { tv_sec: seconds, tv_nsec: 0 }))?)
}

fn modified(time: Timespec) -> Timestamps {
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: time }
}

const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

#[cfg(test)]
mod tests;
