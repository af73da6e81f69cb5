//! Visits a tree in one order on every machine: names sorted by their bytes, a directory before what is in it.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, FileType, OFlags, Stat};

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
    let start = Root { directory: root.directory(start)?, links: super::Links::Refused };
    let mut levels = vec![Level::read(&start, PathBuf::new())?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let path = level.path.join(&name);
        let descend = {
            let parent = level.directory(&start)?;
            let stat = match rustix::fs::statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(rustix::io::Errno::NOENT) => continue, // removed since its name was read
                stat => stat.map_err(io::Error::from)?,
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
            visit(Found { path: &path, parent, name: Path::new(&name), stat })? && is_directory
        };
        if descend {
            levels.push(Level::read(&start, path)?);
            if let Some(far) = levels.len().checked_sub(OPEN_LEVELS + 1) {
                levels[far].directory = None;
            }
        }
    }
    Ok(())
}

/// A directory being visited.
struct Level {
    path: PathBuf,
    /// Still to visit, last name first.
    names: Vec<OsString>,
    /// Closed while far from what is being visited: trees may be deeper than a process may have files open.
    directory: Option<OwnedFd>,
}

impl Level {
    fn read(root: &Root, path: PathBuf) -> io::Result<Level> {
        let directory = root.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Level { path, names, directory: Some(directory) })
    }

    fn directory(&mut self, root: &Root) -> io::Result<BorrowedFd<'_>> {
        let directory = match self.directory.take() {
            Some(directory) => directory,
            None => root.directory(&self.path)?,
        };
        let directory: &OwnedFd = self.directory.insert(directory);
        Ok(directory.as_fd())
    }
}

const OPEN_LEVELS: usize = 64;
