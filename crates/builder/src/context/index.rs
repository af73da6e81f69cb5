//! Digests of files that have not changed since they were last hashed.
//!
//! A file is taken for unchanged if device, inode, size, and the times of modification and of status change are: the
//! last cannot be set by a program. A file touched so shortly before that a further change could leave the same times
//! is not noted.
//!
//! On disk: records of 104 bytes, five little-endian numbers and the digest in hex. A damaged index is an empty one.

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
    known: HashMap<Fingerprint, Digest>,
    /// What this build has seen: all that is worth keeping.
    seen: HashMap<Fingerprint, Digest>,
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
        let known = content.chunks_exact(RECORD).filter(|_| whole).filter_map(decode).collect();
        Index { path: Some(path.to_owned()), known, seen: HashMap::new() }
    }

    /// The digest of the file that looks so.
    pub fn digest(&mut self, fingerprint: &Fingerprint) -> Option<Digest> {
        let digest = *self.known.get(fingerprint)?;
        self.seen.insert(*fingerprint, digest);
        Some(digest)
    }

    /// Notes a digest that was just taken.
    pub fn note(&mut self, fingerprint: Fingerprint, digest: Digest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64);
        if fingerprint.changed_ns.max(fingerprint.modified_ns) < now - SETTLED_NS {
            self.seen.insert(fingerprint, digest);
        }
    }

    /// Keeps what this build has seen for the next, if that is anything new.
    pub fn save(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if self.seen.keys().all(|fingerprint| self.known.contains_key(fingerprint)) {
            return Ok(());
        }
        let content: Vec<u8> = self.seen.iter().flat_map(encode).collect();
        crate::cache::replace(path, &content)
    }
}

fn encode((fingerprint, digest): (&Fingerprint, &Digest)) -> Vec<u8> {
    let Fingerprint { device, inode, size, modified_ns, changed_ns } = fingerprint;
    let numbers = [*device, *inode, *size, *modified_ns as u64, *changed_ns as u64];
    let mut record: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    record.extend(digest.hex().into_bytes());
    record
}

fn decode(record: &[u8]) -> Option<(Fingerprint, Digest)> {
    let number = |i: usize| u64::from_le_bytes(record[8 * i..8 * (i + 1)].try_into().expect("eight bytes"));
    let fingerprint = Fingerprint {
        device: number(0),
        inode: number(1),
        size: number(2),
        modified_ns: number(3) as i64,
        changed_ns: number(4) as i64,
    };
    let hex = std::str::from_utf8(&record[40..]).ok()?;
    Some((fingerprint, Digest::from_hex(hex).ok()?))
}

const RECORD: usize = 40 + 64;

/// Two seconds: the coarsest clock of any file system.
const SETTLED_NS: i64 = 2_000_000_000;
