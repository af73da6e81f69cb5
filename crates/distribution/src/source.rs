//! The bytes of an upload.

use std::io::{self, Read};

/// A part of what is uploaded; remembers its own failure, as opposed to the connection's.
pub(crate) struct Source<'a> {
    content: Box<dyn Read + Send + 'a>,
    position: u64,
    left: u64,
    sent: &'a dyn Fn(u64),
    /// Why it could not be read.
    pub failure: Option<io::Error>,
}

impl<'a> Source<'a> {
    /// `length` bytes of `content`, which begins at `position` of the whole.
    pub fn new(
        content: Box<dyn Read + Send + 'a>,
        position: u64,
        length: u64,
        sent: &'a dyn Fn(u64),
    ) -> Source<'a> {
        Source { content, position, left: length, sent, failure: None }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = match self.content.read(&mut buffer[..wanted]) {
            Ok(0) if wanted > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            outcome => outcome,
        };
        match length {
            Ok(length) => {
                self.position += length as u64;
                self.left -= length as u64;
                (self.sent)(self.position);
                Ok(length)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the source failed"))
            }
        }
    }
}
