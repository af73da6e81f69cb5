//! Volumes that have to be mounted: on the host, while anybody uses them.
//!
//! Each user has a file in a directory of the volume's own. The first mounts, the last unmounts, both under a lock on
//! the directory; the kernel lets go of it if its holder is killed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FlockOperation, StatxAttributes, StatxFlags, flock, statx},
    mount::UnmountFlags,
};

/// One user's part in a volume that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VolumeUse {
    /// The file that says so.
    pub claim: PathBuf,
    /// What is mounted on.
    pub place: PathBuf,
}

impl VolumeUse {
    /// Begins to use the volume; `mount` is called if it is not mounted yet. Returns the file that says so.
    pub fn begin<E: From<io::Error>>(&self, mount: impl FnOnce(&Path) -> Result<(), E>) -> Result<File, E> {
        let users = self.users();
        fs::create_dir_all(users)?;
        let _lock = lock(users)?;
        let claim = File::create(&self.claim)?;
        if !is_mount_point(&self.place)? {
            mount(&self.place).inspect_err(|_| drop(fs::remove_file(&self.claim)))?;
        }
        Ok(claim)
    }

    /// Ends it; the last one to do so unmounts the volume.
    pub fn end(&self) -> io::Result<()> {
        let users = self.users();
        let _lock = match lock(users) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            lock => lock?,
        };
        match fs::remove_file(&self.claim) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if fs::read_dir(users)?.next().is_none() && is_mount_point(&self.place)? {
            // What still has a file open there keeps the file system, without the name.
            rustix::mount::unmount(&self.place, UnmountFlags::DETACH)?;
        }
        Ok(())
    }

    fn users(&self) -> &Path {
        self.claim.parent().expect("a claim is a file in its volume's directory")
    }
}

fn lock(directory: &Path) -> io::Result<File> {
    let directory = File::open(directory)?;
    rustix::io::retry_on_intr(|| flock(&directory, FlockOperation::LockExclusive))?;
    Ok(directory)
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    match statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
