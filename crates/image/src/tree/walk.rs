//! Visits a tree in one order on every machine: names sorted by their bytes, a directory before what is in it.

use std::{
    ffi::OsString,
    io,
    ops::Range,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, OFlags, Stat},
    io::Errno,
};

use super::Root;

/// One thing found in a tree.
pub struct Found<'a> {
    /// From where the walk began.
    pub path: &'a Path,
    /// The directory it is in.
    pub parent: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a Path,
    pub stat: Stat,
}

impl Found<'_> {
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// Visits everything below the directory `start` of `root`. `visit` tells whether to go into a directory.
/// No link is followed below `start`, whatever changes there meanwhile.
pub fn walk<E: From<io::Error>>(
    root: &Root,
    start: &Path,
    visit: &mut dyn FnMut(Found<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    walk_from(&[Root::of(root.directory(start)?, super::Links::Refused)], visit)
}

/// Visits everything in several trees as if they were one: what is in an earlier one hides what is in a later one at the
/// same place, unless both are directories.
pub fn walk_merged<E: From<io::Error>>(
    roots: &[Root],
    visit: &mut dyn FnMut(Found<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    let start = |root: &Root| Ok(Root::of(root.directory(Path::new(""))?, super::Links::Refused));
    walk_from(&roots.iter().map(start).collect::<io::Result<Vec<_>>>()?, visit)
}

fn walk_from<E: From<io::Error>>(
    roots: &[Root],
    visit: &mut dyn FnMut(Found<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    let mut levels = vec![Level::read(roots, 0..roots.len(), PathBuf::new())?];
    while let Some(level) = levels.last_mut() {
        let Some((name, tree)) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let path = level.path.join(&name);
        let descend = {
            let parent = level.directory(roots, tree)?;
            let stat = match rustix::fs::statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue, // removed since its name was read
                stat => stat.map_err(io::Error::from)?,
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
            visit(Found { path: &path, parent, name: Path::new(&name), stat })? && is_directory
        };
        if descend {
            let trees = tree..level.trees.end;
            levels.push(Level::read(roots, trees, path)?);
            if let Some(far) = levels.len().checked_sub(OPEN_LEVELS + 1) {
                levels[far].directories.clear();
            }
        }
    }
    Ok(())
}

/// A directory being visited.
struct Level {
    path: PathBuf,
    /// Which trees may have it.
    trees: Range<usize>,
    /// Still to visit, last name first, and the first tree that has it.
    names: Vec<(OsString, usize)>,
    /// By tree. Closed while far from what is being visited: trees may be deeper than a process may have files open.
    directories: Vec<(usize, OwnedFd)>,
}

impl Level {
    /// The directory `path` of the first of `trees`, and of those after it that have it too.
    fn read(roots: &[Root], mut trees: Range<usize>, path: PathBuf) -> io::Result<Level> {
        let mut directories = Vec::with_capacity(trees.len());
        let mut names = Vec::new();
        for tree in trees.clone() {
            let directory = match open(&roots[tree], &path) {
                Ok(directory) => directory,
                Err(error) if tree == trees.start => return Err(error),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => continue,
                    // What is no directory there, a link perhaps, hides what comes after it.
                    Some(Errno::NOTDIR | Errno::LOOP) => {
                        trees.end = tree;
                        break;
                    }
                    _ => return Err(error),
                },
            };
            for entry in rustix::fs::Dir::read_from(&directory)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push((OsString::from_vec(name), tree));
                }
            }
            directories.push((tree, directory));
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        if directories.len() > 1 {
            // Of one name in several trees, the first tree's comes last.
            names.reverse();
            names.dedup_by(|later, first| later.0 == first.0);
            names.reverse();
        }
        Ok(Level { path, trees, names, directories })
    }

    fn directory(&mut self, roots: &[Root], tree: usize) -> io::Result<BorrowedFd<'_>> {
        let at = match self.directories.iter().position(|(of, _)| *of == tree) {
            Some(at) => at,
            None => {
                self.directories.push((tree, open(&roots[tree], &self.path)?));
                self.directories.len() - 1
            }
        };
        Ok(self.directories[at].1.as_fd())
    }
}

fn open(root: &Root, path: &Path) -> io::Result<OwnedFd> {
    root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
}

const OPEN_LEVELS: usize = 64;
