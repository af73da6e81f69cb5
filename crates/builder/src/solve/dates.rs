//! No file of a layer is newer than the build's date, whenever it was really made.

use std::{io, os::fd::AsFd, path::Path};

use image::tree::{self, Found, Links, Root};
use rustix::fs::{OFlags, Stat};

use super::bytecode;
use crate::stack::set_time;

/// Sets back the modification times below `directory`, its own too, that are after `date` (seconds since 1970).
pub fn limit(directory: &Path, date: i64) -> io::Result<()> {
    let root = Root::open(directory, Links::Refused)?;
    tree::walk(&root, Path::new(""), &mut |found: Found<'_>| -> io::Result<bool> {
        if is_after(&found.stat, date) {
            // One whose source is older, or in a layer below, says what that has kept.
            let is_compiled_here =
                || bytecode::source(found.path).is_some_and(|source| root.stat(&source).is_ok());
            if found.file_type().is_file() && is_compiled_here() {
                bytecode::limit(found.parent, found.name, date)?;
            }
            tree::touch_child(found.parent, found.name, tree::Time { seconds: date, nanoseconds: 0 })?;
        }
        Ok(true)
    })?;
    let top = root.open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)?;
    match is_after(&rustix::fs::fstat(&top)?, date) {
        true => set_time(top.as_fd(), date),
        false => Ok(()),
    }
}

fn is_after(stat: &Stat, date: i64) -> bool {
    (stat.st_mtime, stat.st_mtime_nsec as i64) > (date, 0)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::{MetadataExt, symlink},
        time::{Duration, UNIX_EPOCH},
    };

    use super::*;

    #[test]
    fn what_is_newer_is_set_back_and_what_is_older_stays() {
        let top = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| top.path().join(name);
        fs::create_dir(path("d")).expect("directory");
        fs::write(path("d/new"), "").expect("file");
        symlink("nowhere", path("d/link")).expect("link");
        let old = File::create(path("old")).expect("file");
        old.set_modified(UNIX_EPOCH + Duration::from_millis(7_500)).expect("time");
        limit(top.path(), 1000).expect("limited");
        let times =
            |name: &str| fs::symlink_metadata(path(name)).map(|file| (file.mtime(), file.mtime_nsec()));
        for name in ["", "d", "d/new", "d/link"] {
            assert_eq!(times(name).expect("there"), (1000, 0), "{name}");
        }
        assert_eq!(times("old").expect("there"), (7, 500_000_000));
    }
}
