//! One file or directory of a tree as an archive, under a name of its own, as `cp` takes it.

use std::{
    io::Write,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, FileType};

use crate::{
    layer::{PackError, Packer, Packing},
    tree::{Found, Links, Root, open_child_directory, walk},
};

/// What of a tree is taken.
#[derive(Debug, Clone, Copy)]
pub struct Pick<'a> {
    pub path: &'a Path,
    /// What stands for the path in the archive.
    pub name: &'a Path,
    /// Whether a link at the path's end is followed, which must lead to a directory then.
    pub follow: bool,
}

/// Writes to `target` what is at a path of `root`, with everything below it as far as `descend` wants it. Links stay inside
/// on the way to the path, and none is followed below it.
pub fn pick(
    root: &Root,
    pick: Pick<'_>,
    descend: &dyn Fn(&Found<'_>) -> bool,
    target: impl Write,
) -> Result<(), PackError> {
    let (parent, name) = match (pick.follow, pick.path.file_name()) {
        (false, Some(name)) => {
            (root.directory(pick.path.parent().unwrap_or(Path::new("")))?, PathBuf::from(name))
        }
        _ => (root.directory(pick.path)?, PathBuf::from(".")),
    };
    let stat = rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(std::io::Error::from)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
    let mut packer = Packer::new(target, Packing::Files).seen_by(root.owners().clone());
    let top = Found { path: pick.path, parent: parent.as_fd(), name: &name, stat };
    packer.pack_as(&top, pick.name)?;
    if is_directory {
        let directory = Root::of(open_child_directory(&parent, &name)?, Links::Refused);
        walk::<PackError>(&directory, Path::new(""), &mut |found| {
            Ok(packer.pack_as(&found, &pick.name.join(found.path))? && descend(&found))
        })?;
    }
    packer.finish()?;
    Ok(())
}
