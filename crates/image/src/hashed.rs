//! A stream that knows the digest of what went through it.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use types::{Digest, Hasher};

/// Hashes and counts what is read from `source`.
pub struct Hashed<R> {
    source: R,
    hasher: Hasher,
    count: u64,
    /// More than this is an error, at once.
    limit: u64,
}

impl<R: Read> Hashed<R> {
    pub fn new(source: R) -> Hashed<R> {
        Hashed { source, hasher: Digest::hasher(), count: 0, limit: u64::MAX }
    }

    /// Fails as soon as there is more than `limit` bytes.
    pub fn limited(self, limit: u64) -> Hashed<R> {
        Hashed { limit, ..self }
    }

    /// Whether there was more than the limit allows.
    pub fn exceeded(&self) -> bool {
        self.count > self.limit
    }

    /// Reads what is left; the digest and length of all.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        let mut buffer = vec![0; BUFFER];
        while self.read(&mut buffer)? > 0 {}
        Ok((self.hasher.finish(), self.count))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count += count as u64;
        if self.exceeded() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is more data than was announced"));
        }
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Writes what is read from `source` to a file as well, at once.
pub struct Copied<R> {
    pub source: R,
    pub copy: Option<File>,
}

impl<R: Read> Read for Copied<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let Some(copy) = &mut self.copy {
            copy.write_all(&buffer[..count])?;
        }
        Ok(count)
    }
}

/// Hashes and counts what is written, and hands it on.
pub struct HashedWriter<W> {
    target: W,
    hasher: Hasher,
    count: u64,
}

impl<W: Write> HashedWriter<W> {
    pub fn new(target: W) -> HashedWriter<W> {
        HashedWriter { target, hasher: Digest::hasher(), count: 0 }
    }

    pub fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.count)
    }
}

impl<W: Write> Write for HashedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.target.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

/// [`io::copy`] for much: that one reads 8 KiB at a time.
pub fn copy(source: &mut impl Read, target: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => target.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How much is read at once where much is read.
pub const BUFFER: usize = 128 * 1024;
