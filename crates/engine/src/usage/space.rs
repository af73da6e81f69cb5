//! Disk space, as `du` counts it.

use std::{collections::HashSet, io, os::unix::fs::MetadataExt, path::Path};

use image::tree::{self, Links, Root};
use rustix::fs::Stat;

use crate::error::EngineError;

/// Adds up disk space. What was counted once is not counted again, under whatever name it is met.
#[derive(Debug, Default)]
pub struct Measure {
    /// Device and number of everything counted.
    seen: HashSet<(u64, u64)>,
}

impl Measure {
    /// The space of what is at `path` and, if that is a directory, of everything in it, as far as it was not counted
    /// yet. Nothing, if there is nothing. Goes into no other file system.
    pub fn tree(&mut self, path: &Path) -> Result<u64, EngineError> {
        let failed = |source| EngineError::File { path: path.to_owned(), source };
        let top = match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            top => top.map_err(failed)?,
        };
        let device = top.dev();
        if !self.seen.insert((device, top.ino())) {
            return Ok(0);
        }
        let mut space = top.blocks() * BLOCK;
        if !top.is_dir() {
            return Ok(space);
        }
        let walked = Root::open(path, Links::Refused).and_then(|root| {
            tree::walk(&root, Path::new(""), &mut |found| {
                let Stat { st_dev, st_ino, .. } = found.stat;
                let is_new = st_dev == device && self.seen.insert((st_dev, st_ino));
                if is_new {
                    space += found.stat.st_blocks as u64 * BLOCK;
                }
                io::Result::Ok(is_new)
            })
        });
        match walked {
            // It goes on living: what is removed meanwhile counts no more.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(space),
        }
    }
}

/// What `st_blocks` counts in, whatever the file system's own blocks are; see stat(2).
const BLOCK: u64 = 512;

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn a_tree_takes_what_du_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("a/b/c")).unwrap();
        fs::write(path("a/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(path("a/file"), path("a/b/again")).unwrap();
        fs::write(path("a/b/c/empty"), "").unwrap();
        std::os::unix::fs::symlink("/", path("a/link")).unwrap();
        let sparse = fs::File::create(path("a/sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        let du = Command::new("du").args(["-s", "--block-size=1"]).arg(path("a")).output().unwrap();
        let du = String::from_utf8(du.stdout).unwrap();
        let mut measure = Measure::default();
        let whole = measure.tree(&path("a")).unwrap();
        assert_eq!(Some(whole.to_string().as_str()), du.split('\t').next());
        assert!((100_000..1_000_000).contains(&whole));
        assert_eq!(measure.tree(&path("a")).unwrap(), 0);
        assert_eq!(measure.tree(&path("nothing")).unwrap(), 0);
    }

    #[test]
    fn parts_counted_before_leave_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), vec![1; 70_000]).unwrap();
        for name in ["a", "b"] {
            fs::create_dir(directory.path().join(name)).unwrap();
            fs::write(directory.path().join(name).join("file"), vec![1; 50_000]).unwrap();
        }
        let whole = Measure::default().tree(directory.path()).unwrap();
        let mut measure = Measure::default();
        let parts = ["a", "file", ""].map(|name| measure.tree(&directory.path().join(name)).unwrap());
        assert!(parts.iter().all(|part| *part > 0), "{parts:?}");
        assert_eq!(parts.iter().sum::<u64>(), whole);
    }
}
