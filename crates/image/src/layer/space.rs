//! Stops unpacking before the disk is full: others need it too, and a full one is hard to clear up.

use std::io;

use crate::tree::Root;

/// Why nothing more is written.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    #[error("cannot unpack: less than {reserve} bytes would stay free on the disk")]
    Full { reserve: u64 },
    #[error("cannot tell how much space is free on the disk")]
    Unknown(#[source] io::Error),
}

/// Looks at the free space now and then. One twentieth of the disk, at most 1 GiB, stays free.
pub struct Space<'a> {
    root: &'a Root,
    /// Bytes that may be written before it looks again.
    unchecked: u64,
}

impl<'a> Space<'a> {
    pub fn on(root: &'a Root) -> Space<'a> {
        Space { root, unchecked: INTERVAL }
    }

    /// Takes note of written bytes.
    pub fn wrote(&mut self, bytes: u64) -> Result<(), SpaceError> {
        if let Some(left) = self.unchecked.checked_sub(bytes) {
            self.unchecked = left;
            return Ok(());
        }
        self.unchecked = INTERVAL;
        let disk = rustix::fs::fstatvfs(self.root).map_err(|error| SpaceError::Unknown(error.into()))?;
        let size = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        let reserve = (size(disk.f_blocks) / 20).min(LARGEST_RESERVE);
        if size(disk.f_bavail) < reserve { Err(SpaceError::Full { reserve }) } else { Ok(()) }
    }
}

const INTERVAL: u64 = 64 << 20;
const LARGEST_RESERVE: u64 = 1 << 30;
