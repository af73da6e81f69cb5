//! Room kept on the disk for saying that something is gone, when there is no other.
//!
//! To remove a thing is a change like any other, for which SQLite's log grows by some pages before anything is freed. On
//! a full disk nothing could be removed then but by hand.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// A file that has room and no content.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub fn below(root: &Path) -> Ballast {
        Ballast { path: root.join("ballast") }
    }

    /// Takes the room, if it is not there and the disk has some to spare. A file system that cannot set room aside does
    /// without.
    pub fn take(&self) {
        let taken = || -> io::Result<()> {
            let file = File::create_new(&self.path)?;
            Ok(fallocate(file, FallocateFlags::empty(), 0, SIZE)?)
        };
        if self.is_scarce() == Some(false)
            && taken().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists)
        {
            self.give_up();
        }
    }

    /// Gives the room to others if they have no other.
    pub fn give_up_if_scarce(&self) {
        if self.is_scarce() == Some(true) {
            self.give_up();
        }
    }

    /// Whether nothing is left on the disk.
    fn is_scarce(&self) -> Option<bool> {
        let disk = statvfs(self.path.parent()?).ok()?;
        let blocks = if rustix::process::geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
        Some(blocks.saturating_mul(disk.f_frsize) < SCARCE)
    }

    fn give_up(&self) {
        // It may have been given up before.
        let _ = fs::remove_file(&self.path);
    }
}

/// For some fifty pages of the database.
const SIZE: u64 = 256 << 10;
/// Less than this is as good as nothing: ext4 says that 16 MiB are free which it gives to nobody.
const SCARCE: u64 = 17 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn room_is_taken_once_and_kept_while_there_is_other() {
        let root = tempfile::tempdir().expect("tempdir");
        let ballast = Ballast::below(root.path());
        ballast.take();
        ballast.take();
        ballast.give_up_if_scarce();
        let file = fs::metadata(root.path().join("ballast")).expect("it is there");
        assert!(file.blocks() * 512 >= SIZE);
    }
}
