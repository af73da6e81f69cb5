//! What a process of a step wrote, as a record has it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Stream;

/// The last of what was written, in the pieces it came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    pub pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Since the step began.
    pub milliseconds: u64,
    pub is_error: bool,
    pub text: String,
}

impl Log {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn size(&self) -> usize {
        self.pieces.iter().map(|piece| piece.text.len()).sum()
    }
}

/// A log that is being written, in memory: what is secret in it is known to be so only when it is complete.
#[derive(Debug, Default)]
pub struct Draft {
    bytes: Vec<u8>,
    /// For each piece where it begins.
    pieces: Vec<(usize, Duration, Stream)>,
}

impl Draft {
    pub fn add(&mut self, at: Duration, stream: Stream, bytes: &[u8]) {
        self.pieces.push((self.bytes.len(), at, stream));
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * LONGEST {
            self.shorten();
        }
    }

    /// Drops what is older than the last of it.
    fn shorten(&mut self) {
        let Some(excess) = self.bytes.len().checked_sub(LONGEST) else { return };
        self.bytes.drain(..excess);
        let kept = self.pieces.partition_point(|(start, ..)| *start <= excess).saturating_sub(1);
        self.pieces.drain(..kept);
        self.pieces.iter_mut().for_each(|(start, ..)| *start = start.saturating_sub(excess));
    }

    /// The last `length` bytes.
    pub fn tail(&self, length: usize) -> &[u8] {
        &self.bytes[self.bytes.len().saturating_sub(length)..]
    }

    /// The log, `secrets` blotted out wherever they stand.
    pub fn finish<'a>(mut self, secrets: impl IntoIterator<Item = &'a [u8]>) -> Log {
        for secret in secrets {
            blot(&mut self.bytes, secret);
            // Who prints a key prints it line by line, and a file's last line end is seldom printed.
            for line in secret.split(|byte| *byte == b'\n') {
                blot(&mut self.bytes, line.trim_ascii());
            }
        }
        self.shorten();
        let ends = self.pieces.iter().skip(1).map(|(start, ..)| *start).chain([self.bytes.len()]);
        let pieces = self.pieces.iter().zip(ends).filter(|((start, ..), end)| start < end);
        let piece = |((start, at, stream), end): (&(usize, Duration, Stream), usize)| Piece {
            milliseconds: at.as_millis() as u64,
            is_error: *stream == Stream::Err,
            text: String::from_utf8_lossy(&self.bytes[*start..end]).into_owned(),
        };
        Log { pieces: pieces.map(piece).collect() }
    }
}

/// Overwrites `secret` with asterisks. One so short that any text has it is left alone.
fn blot(text: &mut [u8], secret: &[u8]) {
    if secret.len() < SHORTEST_SECRET {
        return;
    }
    let mut from = 0;
    while let Some(found) = text[from..].windows(secret.len()).position(|window| window == secret) {
        from += found;
        text[from..from + secret.len()].fill(b'*');
        from += secret.len();
    }
}

/// How much of a step's output is kept, in bytes.
const LONGEST: usize = 64 << 10;

const SHORTEST_SECRET: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &Log) -> Vec<&str> {
        log.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn a_secret_is_blotted_out_even_where_it_came_in_two_pieces() {
        let mut draft = Draft::default();
        for (at, text) in [(1, "a=hun"), (2, "ter2;\n"), (3, "line1\nline2\n")] {
            draft.add(Duration::from_millis(at), Stream::Out, text.as_bytes());
        }
        assert_eq!(draft.tail(6), b"line2\n");
        let log = draft.finish([b"hunter2\n".as_slice(), b"line1\nno"]);
        assert_eq!(texts(&log), ["a=***", "****;\n", "*****\nline2\n"]);
    }

    #[test]
    fn of_a_long_log_the_end_stays() {
        let mut draft = Draft::default();
        for number in 0..100_000 {
            draft.add(Duration::ZERO, Stream::Err, format!("{number}\n").as_bytes());
        }
        let log = draft.finish([]);
        assert_eq!(log.size(), LONGEST);
        assert_eq!(texts(&log).last(), Some(&"99999\n"));
    }
}
