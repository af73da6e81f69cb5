//! What a container said, line by line: as docker counts lines, and as one process tells another.
//!
//! ```text
//!   stream u8 │ whole u8 │ length u16 │ nanoseconds since 1970 i64 │ text
//! ```
//!
//! Numbers are little-endian: both processes are on one machine, and of one version.

use std::io::{self, Read};

use jiff::Timestamp;

use super::{LONGEST, Stream, lines};

/// A line, or a part of one that is very long or has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub stream: Stream,
    pub at: Timestamp,
    /// Whether the line ends here.
    pub whole: bool,
    /// Without the line's end.
    pub text: &'a [u8],
}

impl Message<'_> {
    /// How many bytes go before the text.
    pub const HEADER: usize = 12;

    pub fn encode(&self, into: &mut impl for<'a> Extend<&'a u8>) {
        into.extend(&[self.stream as u8, u8::from(self.whole)]);
        into.extend(&(self.text.len() as u16).to_le_bytes());
        into.extend(&(self.at.as_nanosecond() as i64).to_le_bytes());
        into.extend(self.text);
    }

    /// The next message from `input`, whose text is put into `buffer`; `None` at the end.
    pub fn read<'a>(input: &mut impl Read, buffer: &'a mut Vec<u8>) -> io::Result<Option<Message<'a>>> {
        let mut header = [0; Self::HEADER];
        match input.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [stream, whole, low, high, time @ ..] = header;
        buffer.resize(usize::from(u16::from_le_bytes([low, high])), 0);
        input.read_exact(buffer)?;
        Ok(Some(Message {
            stream: if stream == Stream::Stderr as u8 { Stream::Stderr } else { Stream::Stdout },
            at: Timestamp::from_nanosecond(i64::from_le_bytes(time).into()).map_err(io::Error::other)?,
            whole: whole != 0,
            text: buffer,
        }))
    }
}

/// Makes lines of what comes in pieces.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Of each stream, a line that is not whole yet.
    begun: [Vec<u8>; 2],
}

impl Assembly {
    /// Hands every line that ends in `output` to `take`, in one piece unless it has 16 KiB, and whether it ends there.
    pub fn add(&mut self, stream: Stream, output: &[u8], mut take: impl FnMut(&[u8], bool)) {
        let begun = &mut self.begun[stream as usize];
        for (mut line, ended) in lines(output) {
            // One that fits is handed on as it is, without a copy.
            while begun.len() + line.len() >= LONGEST {
                let (first, rest) = line.split_at(LONGEST - begun.len());
                begun.extend_from_slice(first);
                take(begun, false);
                begun.clear();
                line = rest;
            }
            match (ended, begun.is_empty()) {
                (true, true) => take(line, true),
                (true, false) => {
                    begun.extend_from_slice(line);
                    take(begun, true);
                    begun.clear();
                }
                (false, _) => begun.extend_from_slice(line),
            }
        }
    }

    /// Hands over what was begun and will not be ended.
    pub fn finish(&mut self, mut take: impl FnMut(Stream, &[u8])) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let begun = std::mem::take(&mut self.begun[stream as usize]);
            if !begun.is_empty() {
                take(stream, &begun);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let at = "2026-01-02T03:04:05.000000006Z".parse().expect("a time");
        let sent = [
            Message { stream: Stream::Stdout, at, whole: true, text: b"one\0" },
            Message { stream: Stream::Stderr, at, whole: false, text: &[b'x'; LONGEST] },
            Message { stream: Stream::Stdout, at, whole: true, text: b"" },
        ];
        let mut bytes = Vec::new();
        sent.iter().for_each(|message| message.encode(&mut bytes));
        let (mut input, mut buffer) = (bytes.as_slice(), Vec::new());
        for message in sent {
            assert_eq!(Message::read(&mut input, &mut buffer).expect("readable"), Some(message));
        }
        assert_eq!(Message::read(&mut input, &mut buffer).expect("readable"), None);
    }

    #[test]
    fn lines_are_assembled_for_each_stream_by_itself() {
        let mut assembly = Assembly::default();
        let mut seen = Vec::new();
        for (stream, output) in
            [(Stream::Stdout, "a\nb"), (Stream::Stderr, "oops\n"), (Stream::Stdout, "c\n\nd")]
        {
            assembly.add(stream, output.as_bytes(), |text, whole| {
                seen.push(format!("{} {} {whole}", stream.name(), String::from_utf8_lossy(text)));
            });
        }
        assembly.finish(|stream, text| {
            seen.push(format!("{} {} at last", stream.name(), String::from_utf8_lossy(text)));
        });
        assert_eq!(
            seen,
            ["stdout a true", "stderr oops true", "stdout bc true", "stdout  true", "stdout d at last"]
        );
    }
}
