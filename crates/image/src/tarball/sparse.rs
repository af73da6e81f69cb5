//! Files with holes: where the bytes that an archive has of them belong.

use tar::GnuSparseHeader;

use super::field::{Malformed, size_field};

/// A stretch of a file that is not a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// Segments in rising order that do not touch each other's bytes.
#[derive(Default)]
pub struct SparseMap(Vec<Segment>);

impl SparseMap {
    pub fn extend(&mut self, headers: &[GnuSparseHeader]) -> Result<(), Malformed> {
        for header in headers.iter().filter(|h| h.offset[0] != 0 || h.numbytes[0] != 0) {
            self.push(Segment {
                offset: size_field(&header.offset)?,
                length: size_field(&header.numbytes)?,
            })?;
        }
        Ok(())
    }

    pub fn push(&mut self, segment: Segment) -> Result<(), Malformed> {
        let end = self.0.last().map_or(0, |s| s.offset + s.length);
        if segment.offset < end || self.0.len() == SEGMENT_LIMIT {
            return Err("an impossible sparse map");
        }
        self.0.push(segment);
        Ok(())
    }

    pub fn finish(self, size: u64, stored: u64) -> Result<Vec<Segment>, Malformed> {
        let end = self.0.last().map_or(0, |s| s.offset + s.length);
        let sum: u64 = self.0.iter().map(|s| s.length).sum();
        if end <= size && sum == stored { Ok(self.0) } else { Err("an impossible sparse map") }
    }
}

const SEGMENT_LIMIT: usize = 1 << 16;
