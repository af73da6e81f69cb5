//! The two ranges of the protocol: `Range` of a download (RFC 9110, 14.2) and `Content-Range` of a chunk, which the
//! distribution specification writes without a unit.

use std::{ops::Range, str::FromStr};

/// What a download is to return.
#[derive(Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything: nothing was asked, or something this server does not do, such as several ranges.
    Whole,
    Part(Range<u64>),
    /// None of it exists: 416.
    Unsatisfiable,
}

/// What the header `Range: <text>` selects of a content of `size` bytes.
pub fn select(text: &str, size: u64) -> Selection {
    let Some(spec) = text.strip_prefix("bytes=") else { return Selection::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Selection::Whole };
    if spec.contains(',') {
        return Selection::Whole;
    }
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(_), Some(_)) => return Selection::Unsatisfiable,
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Selection::Whole,
    };
    if range.start >= range.end { Selection::Unsatisfiable } else { Selection::Part(range) }
}

/// The bytes a chunk claims to be: `first-last`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub start: u64,
    pub length: u64,
}

/// Not `first-last`.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidChunk;

impl FromStr for Chunk {
    type Err = InvalidChunk;

    fn from_str(text: &str) -> Result<Chunk, InvalidChunk> {
        // Some clients write it as HTTP would: `bytes 0-9/*`.
        let text = text.strip_prefix("bytes ").map_or(text, |rest| rest.split('/').next().unwrap_or(rest));
        let (first, last) = text.trim().split_once('-').ok_or(InvalidChunk)?;
        let (first, last) = (number(first).ok_or(InvalidChunk)?, number(last).ok_or(InvalidChunk)?);
        let length = last.checked_sub(first).and_then(|n| n.checked_add(1)).ok_or(InvalidChunk)?;
        Ok(Chunk { start: first, length })
    }
}

/// Digits only; `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_select_what_http_says() {
        for (text, expected) in [
            ("bytes=0-9", Selection::Part(0..10)),
            ("bytes=90-200", Selection::Part(90..100)),
            ("bytes=90-", Selection::Part(90..100)),
            ("bytes=-10", Selection::Part(90..100)),
            ("bytes=-1000", Selection::Part(0..100)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=9-0", Selection::Unsatisfiable),
            ("bytes=0-1,5-6", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("lines=0-9", Selection::Whole),
            ("bytes=0-18446744073709551615", Selection::Part(0..100)),
        ] {
            assert_eq!(select(text, 100), expected, "{text}");
        }
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn a_chunk_is_two_numbers_in_order() {
        assert_eq!("0-9".parse(), Ok(Chunk { start: 0, length: 10 }));
        assert_eq!("bytes 5-5/*".parse(), Ok(Chunk { start: 5, length: 1 }));
        for wrong in ["", "-", "0-", "-1", "9-0", "a-b", "+0-9", "0-18446744073709551615"] {
            assert_eq!(wrong.parse::<Chunk>(), Err(InvalidChunk), "{wrong}");
        }
    }

    #[test]
    fn ranges_that_nobody_would_write_lie_within_what_there_is() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/request");
        let words = [
            "bytes=",
            "bytes ",
            "-",
            ",",
            "/",
            "*",
            "0",
            "99",
            "18446744073709551615",
            "18446744073709551616",
        ];
        testkit::fuzz(&corpus, &words, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for size in [0, 1, 100, u64::MAX] {
                if let Selection::Part(range) = select(&text, size) {
                    assert!(range.start < range.end && range.end <= size, "{text} of {size}");
                }
            }
            if let Ok(Chunk { start, length }) = text.parse::<Chunk>() {
                assert!(length > 0 && start.checked_add(length - 1).is_some(), "{text}");
            }
        });
    }
}
