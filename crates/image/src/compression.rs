//! Streams that may be compressed: recognises how by the first bytes, never by a name.
//!
//! Knows gzip, zstd, xz and bzip2. A stream that blows up beyond reason is stopped, and none makes a decoder take
//! more than 128 MiB.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::manifest::{OCI_LAYER, OCI_LAYER_BZIP2, OCI_LAYER_GZIP, OCI_LAYER_XZ, OCI_LAYER_ZSTD};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// Recognises the format in a stream's first bytes.
    pub fn of(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // A frame, or one of the skippable frames that some writers begin with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Compression::Bzip2,
            _ => Compression::None,
        }
    }

    /// What a manifest calls a layer that is compressed so.
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::None => OCI_LAYER,
            Compression::Gzip => OCI_LAYER_GZIP,
            Compression::Zstd => OCI_LAYER_ZSTD,
            Compression::Xz => OCI_LAYER_XZ,
            Compression::Bzip2 => OCI_LAYER_BZIP2,
        }
    }
}

/// How `source` is compressed, and its plain bytes.
pub fn decode<'a>(source: impl BufRead + 'a) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let mut source = Counted { source, count: 0 };
    let mut start = Vec::with_capacity(LONGEST_MAGIC);
    (&mut source).take(LONGEST_MAGIC as u64).read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    let source = io::Cursor::new(start).chain(source);
    let plain: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(Bounded::new(MultiGzDecoder::new(source), |d| read_by(d.get_ref()))),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(Bounded::new(decoder, |d| read_by(d.get_ref())))
        }
        Compression::Xz => {
            let decoder = XzReader::new_mem_limit(BufReader::new(source), true, XZ_MEMORY_KIB);
            Box::new(Bounded::new(decoder, |d| read_by(d.inner().get_ref())))
        }
        Compression::Bzip2 => Box::new(Bounded::new(MultiBzDecoder::new(source), |d| read_by(d.get_ref()))),
    };
    Ok((compression, plain))
}

type Source<R> = io::Chain<io::Cursor<Vec<u8>>, Counted<R>>;

fn read_by<R>(source: &Source<R>) -> u64 {
    source.get_ref().1.count
}

/// Counts what is read.
struct Counted<R> {
    source: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.count += count as u64;
        self.source.consume(count);
    }
}

/// Stops a decoder that makes far too much of far too little.
struct Bounded<D, F> {
    decoder: D,
    consumed: F,
    produced: u64,
}

impl<D: Read, F: Fn(&D) -> u64> Bounded<D, F> {
    fn new(decoder: D, consumed: F) -> Bounded<D, F> {
        Bounded { decoder, consumed, produced: 0 }
    }
}

impl<D: Read, F: Fn(&D) -> u64> Read for Bounded<D, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.produced += count as u64;
        let over =
            self.produced > HARMLESS_SIZE && self.produced / HARMLESS_RATIO > (self.consumed)(&self.decoder);
        if over {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the data unpacks to more than 10 GiB and a thousand times its size",
            ));
        }
        Ok(count)
    }
}

const LONGEST_MAGIC: usize = 8;
const ZSTD_WINDOW_LOG: u32 = 27;
const XZ_MEMORY_KIB: u32 = 128 * 1024;
const HARMLESS_SIZE: u64 = 10 << 30;
const HARMLESS_RATIO: u64 = 1000;

#[cfg(test)]
mod tests {
    use std::{io::Write, process};

    use super::*;

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        decode(bytes)?.1.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn every_format_is_recognised_by_its_bytes() {
        let text = b"the same text in every dress".repeat(100);
        assert_eq!(decoded(&text).unwrap(), text);
        assert_eq!(decoded(b"").unwrap(), b"");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(decoded(&gzip).unwrap(), text);
        assert_eq!(decoded(&[gzip.clone(), gzip].concat()).unwrap(), text.repeat(2));
        assert_eq!(decoded(&zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap(), text);
        assert_eq!(decoded(&through("xz", &text)).unwrap(), text);
        assert_eq!(decoded(&through("bzip2", &text)).unwrap(), text);
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let text = vec![7; 100_000];
        let packed = zstd::encode_all(text.as_slice(), 1).unwrap();
        assert!(decoded(&packed[..packed.len() - 1]).is_err());
        assert!(decoded(b"BZh91AY&SY").is_err());
    }

    #[test]
    fn a_stream_that_blows_up_beyond_reason_is_stopped() {
        let endless =
            Bounded { decoder: io::repeat(0), consumed: |_: &_| 1 << 20, produced: HARMLESS_SIZE - 10 };
        let error = io::copy(&mut { endless }, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("thousand"), "{error}");
    }

    fn through(program: &str, text: &[u8]) -> Vec<u8> {
        let mut child = process::Command::new(program)
            .stdin(process::Stdio::piped())
            .stdout(process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        child.wait_with_output().unwrap().stdout
    }
}
