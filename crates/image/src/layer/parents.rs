//! Gives directories that an archive only implied the attributes they have in the layers below.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{fs::OFlags, io::Errno};

use super::whiteout;
use crate::tree::{Attributes, Links, Root, open_child_directory};

/// Gives each of `implied`, directories of `tree`, the attributes of the same directory in `below`, the
/// layers under it, topmost first. What no layer has stays as it is.
pub fn adopt(tree: &Root, implied: &[PathBuf], below: &[PathBuf]) -> io::Result<()> {
    let below: Vec<Root> =
        below.iter().map(|layer| Root::open(layer, Links::Refused)).collect::<Result<_, _>>()?;
    for path in implied {
        for layer in &below {
            match look_up(layer.as_fd(), path)? {
                Seen::Directory(directory) => {
                    let own = tree.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
                    Attributes::of(directory.as_fd())?.apply(own.as_fd())?;
                    break;
                }
                Seen::Hidden => break,
                Seen::Nothing => {}
            }
        }
    }
    Ok(())
}

/// What one layer says of a directory.
enum Seen {
    Directory(OwnedFd),
    /// The layer has something else there, so that layers below do not count.
    Hidden,
    Nothing,
}

fn look_up(layer: BorrowedFd<'_>, path: &Path) -> io::Result<Seen> {
    let mut directory = open_child_directory(layer, Path::new("."))?;
    for part in path.components() {
        let Component::Normal(name) = part else { return Ok(Seen::Hidden) };
        let opaque = whiteout::is_opaque(directory.as_fd())?;
        match open_child_directory(&directory, Path::new(name)) {
            Ok(child) => directory = child,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) if opaque => Ok(Seen::Hidden),
                    Some(Errno::NOENT) => Ok(Seen::Nothing),
                    Some(Errno::NOTDIR | Errno::LOOP) => Ok(Seen::Hidden),
                    _ => Err(error),
                };
            }
        }
    }
    Ok(Seen::Directory(directory))
}
