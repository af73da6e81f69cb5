//! The merged view of a stack: every file that a mount of its layers would show, once, with the layer it comes from.
//!
//! What COPY --from takes of another stage, what is exported as files, and what squashing leaves of many layers is read
//! here. As elsewhere in a stack nothing is mounted, and the rules are overlayfs's: a directory is merged with those of
//! the same name below it down to one that is opaque or something that is no directory; of everything else the topmost
//! counts, and a whiteout means that nothing is there. See the kernel's Documentation/filesystems/overlayfs.rst.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use image::tree::{Found, Root, open_child_directory};
use rustix::fs::{AtFlags, Dir, OFlags, Stat};

use super::{READ_DIRECTORY, Seen, Stack, absent, is_directory, is_marked_opaque, is_whiteout};

impl Stack {
    /// Visits everything below the directory `start`, a resolved path: names sorted by their bytes, a directory before
    /// what is in it. `visit` gets the index of the layer that each thing comes from, the topmost being 0, and where it
    /// is there; a directory that several layers have has the attributes of the topmost. `visit` tells whether to go
    /// into a directory. No link is followed.
    ///
    /// Files that are one file in a layer (hard links) are told by the device and inode number of their `stat`.
    /// Fails with `NotFound` or `NotADirectory` if `start` is no directory.
    pub fn walk<E: From<io::Error>>(
        &self,
        start: &Path,
        visit: &mut dyn FnMut(usize, Found<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.visit(start, Meaning::Files, &mut |layer, found, _| visit(layer, found))
    }

    /// Visits what these layers, taken together, say of others below them: as [`Stack::walk`], and whiteouts too.
    /// `visit` also learns whether what it gets hides what is below it.
    pub fn walk_changes<E: From<io::Error>>(
        &self,
        visit: &mut dyn FnMut(Found<'_>, bool) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.visit(Path::new(""), Meaning::Changes, &mut |_, found, hides| visit(found, hides))
    }

    fn visit<E: From<io::Error>>(
        &self,
        start: &Path,
        meaning: Meaning,
        visit: &mut dyn FnMut(usize, Found<'_>, bool) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut levels = vec![Level::read(self, PathBuf::new(), start, self.merged_at(start)?)?];
        while let Some(level) = levels.last_mut() {
            let Some((name, layers)) = level.names.pop() else {
                levels.pop();
                continue;
            };
            let Some(child) = level.child(self, &name, &layers, meaning)? else { continue };
            let path = level.path.join(&name);
            let top = child.layers[0];
            let found = Found {
                path: &path,
                parent: level.directory(self, top)?,
                name: Path::new(&name),
                stat: child.stat,
            };
            if visit(top, found, child.hides)? && is_directory(&child.stat) {
                let place = level.place.join(&name);
                // Only the deepest directory is open: a stack may be higher, and a tree deeper, than a process may have
                // files open.
                level.open.clear();
                levels.push(Level::read(self, path, &place, child.layers)?);
            }
        }
        Ok(())
    }

    /// The layer that `path`, a resolved one, comes from, the topmost being 0, and what is there; `None` if nothing is.
    pub fn find(&self, path: &Path) -> io::Result<Option<(usize, Stat)>> {
        let depth = match self.depth(path.parent().unwrap_or(Path::new(""))) {
            Ok(depth) => depth,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        for (index, layer) in self.layers[..depth].iter().enumerate() {
            match layer.stat(path) {
                Ok(stat) => return Ok(Some((index, stat)).filter(|_| !is_whiteout(&stat))),
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The layer with this index.
    pub fn layer(&self, index: usize) -> &Root {
        &self.layers[index]
    }

    /// The layers whose content the directory `path` shows, topmost first.
    fn merged_at(&self, path: &Path) -> io::Result<Vec<usize>> {
        let mut layers = Vec::new();
        for (index, layer) in self.layers[..self.depth(path)?].iter().enumerate() {
            match layer.directory(path) {
                Ok(_) => layers.push(index),
                Err(error) if absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(layers)
    }

    /// Of how many layers, from the top, the directory `path` shows the content.
    fn depth(&self, path: &Path) -> io::Result<usize> {
        let mut depth = self.layers.len();
        let mut here = PathBuf::new();
        for name in path {
            here.push(name);
            depth = match self.see(&here, depth)? {
                Seen::Directory { depth, .. } => depth,
                Seen::Other(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Seen::Nothing => return Err(io::ErrorKind::NotFound.into()),
            };
        }
        Ok(depth)
    }
}

/// What a stack is seen as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// All there is: what is deleted is not there.
    Files,
    /// Something said of layers below.
    Changes,
}

/// A directory being visited.
struct Level {
    /// From where the walk began.
    path: PathBuf,
    /// From the root of the layers.
    place: PathBuf,
    /// Still to visit, last name first, each with the layers that have it, topmost first.
    names: Vec<(OsString, Vec<usize>)>,
    /// The directory in the layers in which something was looked at since it was last the deepest.
    open: BTreeMap<usize, OwnedFd>,
}

/// What a name in a merged directory stands for.
struct Child {
    stat: Stat,
    /// The layer it comes from; for a directory also those it is merged with.
    layers: Vec<usize>,
    /// Whether what is below the stack is not seen: told for [`Meaning::Changes`] only.
    hides: bool,
}

impl Level {
    fn read(stack: &Stack, path: PathBuf, place: &Path, layers: Vec<usize>) -> io::Result<Level> {
        let mut names: BTreeMap<OsString, Vec<usize>> = BTreeMap::new();
        let mut open = BTreeMap::new();
        for index in layers {
            let directory = open_directory(stack, index, place)?;
            for entry in Dir::read_from(&directory)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.entry(OsString::from_vec(name)).or_default().push(index);
                }
            }
            open.insert(index, directory);
        }
        Ok(Level { path, place: place.to_owned(), names: names.into_iter().rev().collect(), open })
    }

    /// What `name`, which only `layers` have, stands for; `None` if that is nothing.
    fn child(
        &mut self,
        stack: &Stack,
        name: &OsString,
        layers: &[usize],
        meaning: Meaning,
    ) -> io::Result<Option<Child>> {
        let mut child: Option<Child> = None;
        for (position, index) in layers.iter().enumerate() {
            let directory = self.directory(stack, *index)?;
            let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_directory = is_directory(&stat);
            let child = match &mut child {
                None if meaning == Meaning::Files && is_whiteout(&stat) => return Ok(None),
                None => child.insert(Child { stat, layers: vec![*index], hides: !is_directory }),
                Some(child) if is_directory => {
                    child.layers.push(*index);
                    child
                }
                Some(child) => {
                    child.hides = true;
                    break;
                }
            };
            let is_last = position + 1 == layers.len() && meaning == Meaning::Files;
            if !is_directory || is_last {
                break;
            }
            if is_marked_opaque(open_child_directory(directory, Path::new(name))?) {
                child.hides = true;
                break;
            }
        }
        Ok(child)
    }

    fn directory(&mut self, stack: &Stack, index: usize) -> io::Result<BorrowedFd<'_>> {
        let directory = match self.open.remove(&index) {
            Some(directory) => directory,
            None => open_directory(stack, index, &self.place)?,
        };
        let directory: &OwnedFd = self.open.entry(index).or_insert(directory);
        Ok(directory.as_fd())
    }
}

fn open_directory(stack: &Stack, index: usize, place: &Path) -> io::Result<OwnedFd> {
    stack.layers[index].open_at(place, READ_DIRECTORY.union(OFlags::NOFOLLOW))
}

#[cfg(test)]
mod tests;
