//! Tar, as strangers write it and as we write it.
//!
//! Knows the formats: ustar, PAX, GNU's long names and sparse files. Knows nothing of disks or layers:
//! what a name or a link means is for the reader of the entries to judge.

mod field;
mod pax;
mod read;
mod sparse;
mod write;

pub use read::{Reader, TarError};
pub use sparse::Segment;
pub use write::Writer;

/// What one entry says of a file, whatever mixture of headers said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As written, except that no NUL is in it; may be absolute or climb with `..`.
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    /// Names in the order they came, each once.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file this large, holes included.
    File {
        size: u64,
    },
    Directory,
    Symlink {
        target: Vec<u8>,
    },
    /// One more name for a file that an earlier entry made.
    HardLink {
        target: Vec<u8>,
    },
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// Seconds since the epoch, possibly before it, and the nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// Tar counts in these.
const BLOCK: usize = 512;

/// How many bytes fill up the last block of `size` bytes of content.
fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

#[cfg(test)]
pub(crate) mod tests;
