//! Digests of what has not changed since it was last looked into.
//!
//! Something is taken for unchanged if device, inode, size, and the times of modification and of status change are: the
//! last cannot be set by a program, and changes with mode, owner and extended attributes too. What was touched so shortly
//! before that a further change could leave the same times is not noted.
//!
//! On disk: records of 112 bytes, six little-endian numbers and the digest in hex. A damaged index is an empty one.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::Stat;
use types::Digest;

/// The digests known for one context.
#[derive(Debug, Default)]
pub struct Index {
    /// Where it is kept, if it is.
    path: Option<PathBuf>,
    /// By device and inode.
    known: HashMap<(u64, u64), Known>,
    /// Something was noted that is not on the disk.
    has_news: bool,
}

/// What was found at an inode.
#[derive(Debug, Clone, Copy)]
struct Known {
    fingerprint: Fingerprint,
    digest: Digest,
    /// How many indexes were written since it was last asked for. Other builds may take other parts of the same context.
    idle: u64,
}

/// What tells a file from another, and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i64,
    changed_ns: i64,
}

impl Fingerprint {
    /// Device and inode.
    pub fn inode(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    pub fn of(stat: &Stat) -> Fingerprint {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Fingerprint {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size as u64,
            modified_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            changed_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

impl Index {
    /// Reads the index kept at `path`.
    pub fn load(path: &Path) -> Index {
        let content = fs::read(path).unwrap_or_default();
        let whole = content.len().is_multiple_of(RECORD);
        let known = content.chunks_exact(RECORD).filter(|_| whole).filter_map(Known::decode);
        let known = known.map(|known| (known.fingerprint.inode(), known)).collect();
        Index { path: Some(path.to_owned()), known, has_news: false }
    }

    /// The digest of what looks so.
    pub fn digest(&mut self, fingerprint: &Fingerprint) -> Option<Digest> {
        let known = self.known.get_mut(&fingerprint.inode())?;
        if known.fingerprint != *fingerprint {
            return None;
        }
        known.idle = 0;
        Some(known.digest)
    }

    /// Notes a digest that was just taken.
    pub fn note(&mut self, fingerprint: Fingerprint, digest: Digest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64);
        if fingerprint.changed_ns.max(fingerprint.modified_ns) < now - SETTLED_NS {
            self.known.insert(fingerprint.inode(), Known { fingerprint, digest, idle: 0 });
            self.has_news = true;
        }
    }

    /// Keeps what is known for the next build, if that is anything new, but for what nobody has asked for for long.
    pub fn save(&self) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.has_news) else { return Ok(()) };
        let mut content = Vec::with_capacity(self.known.len() * RECORD);
        let kept = self.known.values().filter(|known| known.idle < LONGEST_IDLE);
        kept.for_each(|known| known.encode(&mut content));
        crate::cache::replace(path, &content)
    }
}

impl Known {
    /// As it is on the disk for the next build, which has not asked for it yet.
    fn encode(&self, target: &mut Vec<u8>) {
        let Fingerprint { device, inode, size, modified_ns, changed_ns } = self.fingerprint;
        for number in [device, inode, size, modified_ns as u64, changed_ns as u64, self.idle + 1] {
            target.extend(number.to_le_bytes());
        }
        target.extend(self.digest.hex().into_bytes());
    }

    fn decode(record: &[u8]) -> Option<Known> {
        let number =
            |i: usize| u64::from_le_bytes(record[8 * i..8 * (i + 1)].try_into().expect("eight bytes"));
        let fingerprint = Fingerprint {
            device: number(0),
            inode: number(1),
            size: number(2),
            modified_ns: number(3) as i64,
            changed_ns: number(4) as i64,
        };
        let hex = std::str::from_utf8(&record[NUMBERS..]).ok()?;
        Some(Known { fingerprint, digest: Digest::from_hex(hex).ok()?, idle: number(5) })
    }
}

const NUMBERS: usize = 6 * 8;
const RECORD: usize = NUMBERS + 64;

/// How many indexes of a context something stays in that no build asks for.
const LONGEST_IDLE: u64 = 10;

/// Two seconds: the coarsest clock of any file system.
const SETTLED_NS: i64 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(inode: u64, changed_ns: i64) -> Fingerprint {
        Fingerprint { device: 1, inode, size: 10, modified_ns: 5, changed_ns }
    }

    #[test]
    fn what_is_noted_is_known_to_later_builds_until_it_changes_or_nobody_asks() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("index");
        let (one, other) = (fingerprint(1, 7), fingerprint(2, 7));
        let digest = Digest::of(b"content");
        let mut index = Index::load(&path);
        index.note(one, digest);
        index.note(other, digest);
        index.save().expect("saved");
        for build in 0..12 {
            let mut index = Index::load(&path);
            assert_eq!(index.digest(&one), Some(digest));
            assert_eq!(index.digest(&fingerprint(1, 8)), None);
            index.note(fingerprint(3, build), digest);
            index.save().expect("saved");
        }
        assert_eq!(Index::load(&path).digest(&other), None);
        fs::write(&path, b"damaged").expect("damaged");
        assert_eq!(Index::load(&path).digest(&one), None);
    }

    #[test]
    fn what_has_just_changed_is_not_noted() {
        let mut index = Index::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
        let fresh = fingerprint(1, now);
        index.note(fresh, Digest::of(b""));
        assert_eq!(index.digest(&fresh), None);
    }
}
