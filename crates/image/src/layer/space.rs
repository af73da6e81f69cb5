//! Stops unpacking before the disk is full: others need it too, and a full one is hard to clear up.

use std::{env, io};

use types::Bytes;

use crate::tree::Root;

/// Why nothing more is written.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    #[error("cannot unpack: less than {reserve} bytes would stay free on the disk")]
    Full { reserve: u64 },
    #[error("cannot tell how much space is free on the disk")]
    Unknown(#[source] io::Error),
    #[error("{RESERVED_SPACE} is {0:?}, expected a size such as 1GB, or a share of the disk such as 5%")]
    Setting(String),
}

/// Looks at the free space now and then.
pub struct Space<'a> {
    root: &'a Root,
    reserve: Reserve,
    /// Bytes that may be written before it looks again.
    unchecked: u64,
}

impl<'a> Space<'a> {
    /// Space on the disk that holds `root`, as much as `SAMPAN_RESERVED_SPACE` allows.
    pub fn on(root: &'a Root) -> Result<Space<'a>, SpaceError> {
        let setting = env::var(RESERVED_SPACE).ok().filter(|value| !value.is_empty());
        let reserve = match setting {
            None => Reserve::Usual,
            Some(value) => Reserve::parse(&value).ok_or(SpaceError::Setting(value))?,
        };
        Ok(Space { root, reserve, unchecked: INTERVAL })
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
        let reserve = self.reserve.of(size(disk.f_blocks));
        if size(disk.f_bavail) < reserve { Err(SpaceError::Full { reserve }) } else { Ok(()) }
    }
}

/// How much of a disk stays free.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reserve {
    /// One twentieth, at most 1 GiB.
    Usual,
    Bytes(u64),
    Percent(u64),
}

impl Reserve {
    fn parse(text: &str) -> Option<Reserve> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Reserve::Percent),
            None => text.parse::<Bytes>().ok().map(|bytes| Reserve::Bytes(bytes.0)),
        }
    }

    fn of(self, disk: u64) -> u64 {
        match self {
            Reserve::Usual => (disk / 20).min(LARGEST_USUAL),
            Reserve::Bytes(bytes) => bytes,
            Reserve::Percent(percent) => (u128::from(disk) * u128::from(percent) / 100) as u64,
        }
    }
}

const RESERVED_SPACE: &str = "SAMPAN_RESERVED_SPACE";
const INTERVAL: u64 = 64 << 20;
const LARGEST_USUAL: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_a_size_or_a_share() {
        let of_100_gib = |text| Reserve::parse(text).map(|reserve| reserve.of(100 << 30));
        assert_eq!(Reserve::Usual.of(100 << 30), 1 << 30);
        assert_eq!(Reserve::Usual.of(10 << 30), 512 << 20);
        assert_eq!(of_100_gib("0"), Some(0));
        assert_eq!(of_100_gib("5GB"), Some(5 << 30));
        assert_eq!(of_100_gib("5%"), Some(5 << 30));
        for wrong in ["", "much", "101%", "-1", "%"] {
            assert_eq!(of_100_gib(wrong), None, "{wrong}");
        }
    }
}
