//! Serves a [`Disk`] to qemu by the network block device protocol, over a socket.
//!
//! Of the protocol, what a client needs that asks for one export and writes: the fixed newstyle handshake and simple
//! replies. See <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>.

use std::{
    io::{self, BufReader, Read, Write},
    os::unix::net::UnixStream,
};

use super::disk::{BLOCK, Disk, Refusal};

/// How a client was served to the end.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It has left.
    Disconnected,
    /// Its last request will never be answered.
    PowerLost,
}

/// Serves one client until it leaves or the disk loses power.
pub fn serve(disk: &Disk, stream: &UnixStream) -> io::Result<End> {
    let mut connection = Connection { input: BufReader::with_capacity(1 << 16, stream), output: stream };
    if !connection.negotiate(disk)? {
        return Ok(End::Disconnected);
    }
    loop {
        let request = connection.request()?;
        let mut data = Vec::new();
        let done = match request.kind {
            READ => {
                data.resize(request.length, 0);
                disk.read(request.offset, &mut data)
            }
            WRITE => {
                let mut written = vec![0; request.length];
                connection.input.read_exact(&mut written)?;
                match request.flags & FORCE_UNIT_ACCESS {
                    0 => disk.write(request.offset, &written),
                    _ => disk.write_through(request.offset, &written),
                }
            }
            FLUSH => disk.flush(),
            DISCONNECT => return Ok(End::Disconnected),
            _ => Err(Refusal::Failed),
        };
        let error = match done {
            Ok(()) => 0,
            Err(Refusal::Failed) => {
                data.clear();
                EIO
            }
            Err(Refusal::PowerLost) => return Ok(End::PowerLost),
        };
        connection.reply(error, request.cookie, &data)?;
    }
}

struct Connection<'s> {
    input: BufReader<&'s UnixStream>,
    output: &'s UnixStream,
}

struct Request {
    flags: u16,
    kind: u16,
    cookie: [u8; 8],
    offset: u64,
    length: usize,
}

impl Connection<'_> {
    /// Agrees on the one export there is; whether the client stays.
    fn negotiate(&mut self, disk: &Disk) -> io::Result<bool> {
        self.send(&[b"NBDMAGIC", OPTION_MAGIC, &FIXED_NEWSTYLE.to_be_bytes()])?;
        let _flags = self.u32()?;
        loop {
            let _magic: [u8; 8] = self.bytes()?;
            let option = self.u32()?;
            let length = self.length(MOST_TEXT)?;
            io::copy(&mut self.input.by_ref().take(length as u64), &mut io::sink())?;
            match option {
                GO => {
                    let flags = HAS_FLAGS | SENDS_FLUSH | SENDS_FORCE_UNIT_ACCESS;
                    let export =
                        [&EXPORT.to_be_bytes()[..], &disk.size().to_be_bytes(), &flags.to_be_bytes()]
                            .concat();
                    self.answer(option, INFO, &export)?;
                    let size = (BLOCK as u32).to_be_bytes();
                    let blocks =
                        [&BLOCK_SIZE.to_be_bytes()[..], &size, &size, &(MOST_DATA as u32).to_be_bytes()]
                            .concat();
                    self.answer(option, INFO, &blocks)?;
                    self.answer(option, ACKNOWLEDGED, &[])?;
                    return Ok(true);
                }
                ABORT => {
                    self.answer(option, ACKNOWLEDGED, &[])?;
                    return Ok(false);
                }
                _ => self.answer(option, UNSUPPORTED, &[])?,
            }
        }
    }

    fn answer(&mut self, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u32).to_be_bytes();
        self.send(&[&ANSWER_MAGIC.to_be_bytes(), &option.to_be_bytes(), &kind.to_be_bytes(), &length, data])
    }

    fn request(&mut self) -> io::Result<Request> {
        let magic = self.u32()?;
        if magic != REQUEST_MAGIC {
            return Err(io::Error::other(format!("a request that begins with {magic:x}")));
        }
        Ok(Request {
            flags: u16::from_be_bytes(self.bytes()?),
            kind: u16::from_be_bytes(self.bytes()?),
            cookie: self.bytes()?,
            offset: u64::from_be_bytes(self.bytes()?),
            length: self.length(MOST_DATA)?,
        })
    }

    fn reply(&mut self, error: u32, cookie: [u8; 8], data: &[u8]) -> io::Result<()> {
        self.send(&[&REPLY_MAGIC.to_be_bytes(), &error.to_be_bytes(), &cookie, data])
    }

    fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.output.write_all(&parts.concat())
    }

    /// A length that is not more than `most`.
    fn length(&mut self, most: usize) -> io::Result<usize> {
        let length = self.u32()? as usize;
        let fits = length <= most;
        fits.then_some(length).ok_or_else(|| io::Error::other(format!("a request of {length} bytes")))
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

const OPTION_MAGIC: &[u8] = b"IHAVEOPT";
const ANSWER_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

/// Handshake flags.
const FIXED_NEWSTYLE: u16 = 1;
/// Options, and what is answered.
const ABORT: u32 = 2;
const GO: u32 = 7;
const ACKNOWLEDGED: u32 = 1;
const INFO: u32 = 3;
const UNSUPPORTED: u32 = 0x8000_0001;
/// Kinds of information.
const EXPORT: u16 = 0;
const BLOCK_SIZE: u16 = 3;
/// Transmission flags.
const HAS_FLAGS: u16 = 1 << 0;
const SENDS_FLUSH: u16 = 1 << 2;
const SENDS_FORCE_UNIT_ACCESS: u16 = 1 << 3;
/// Requests, a flag of theirs, and what is replied.
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const FORCE_UNIT_ACCESS: u16 = 1;
const EIO: u32 = 5;

/// In bytes: of an option, and of what is read or written at once.
const MOST_TEXT: usize = 64 << 10;
const MOST_DATA: usize = 32 << 20;
