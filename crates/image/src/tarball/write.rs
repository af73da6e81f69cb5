//! Writes tar so that equal files give equal bytes, on every machine and at any time.
//!
//! ustar headers, with a PAX header only where one of them cannot say something; no user names, whole
//! seconds, zeros wherever the format leaves a choice.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::{BLOCK, Entry, Kind, padding};

/// Writes entries to `W`. The archive is complete after [`Writer::finish`].
pub struct Writer<W: Write> {
    target: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub fn new(target: W) -> Writer<W> {
        Writer { target, buffer: vec![0; BUFFER] }
    }

    /// Writes an entry without content: anything but a file with some.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.file(entry, io::empty())
    }

    /// Writes an entry and exactly as much of `content` as the entry's size says.
    /// `UnexpectedEof` if there is less.
    pub fn file(&mut self, entry: &Entry, mut content: impl Read) -> io::Result<()> {
        self.header(entry)?;
        let Kind::File { size } = entry.kind else { return Ok(()) };
        let mut left = size;
        while left > 0 {
            let part = &mut self.buffer[..left.min(BUFFER as u64) as usize];
            content.read_exact(part)?;
            self.target.write_all(part)?;
            left -= part.len() as u64;
        }
        self.pad(size)
    }

    /// Writes an entry's header. The content, exactly as much as the entry's size says, is to be written to
    /// what this returns.
    pub fn begin(&mut self, entry: &Entry) -> io::Result<Content<'_, W>> {
        self.header(entry)?;
        let size = if let Kind::File { size } = entry.kind { size } else { 0 };
        Ok(Content { writer: self, size, left: size })
    }

    /// Writes the end of the archive and returns the target.
    pub fn finish(mut self) -> io::Result<W> {
        self.target.write_all(&[0; 2 * BLOCK])?;
        self.target.flush()?;
        Ok(self.target)
    }

    fn header(&mut self, entry: &Entry) -> io::Result<()> {
        let mut records = Records::default();
        let mut header = Header::new_ustar();
        header.set_mode(entry.mode & 0o7777);
        header.set_uid(records.number("uid", entry.uid.into(), OCTAL_7));
        header.set_gid(records.number("gid", entry.gid.into(), OCTAL_7));
        match u64::try_from(entry.mtime.seconds) {
            Ok(seconds) => header.set_mtime(records.number("mtime", seconds, OCTAL_11)),
            Err(_) => {
                records.add(b"mtime", entry.mtime.seconds.to_string().as_bytes());
                header.set_mtime(0);
            }
        }
        header.set_size(0);
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
        let kind = match &entry.kind {
            Kind::File { size } => {
                header.set_size(records.number("size", *size, OCTAL_11));
                EntryType::Regular
            }
            Kind::Directory => EntryType::Directory,
            Kind::Symlink { target } => {
                records.name(b"linkpath", target, &mut header.as_old_mut().linkname);
                EntryType::Symlink
            }
            Kind::HardLink { target } => {
                records.name(b"linkpath", target, &mut header.as_old_mut().linkname);
                EntryType::Link
            }
            Kind::Character { major, minor } => device(&mut header, *major, *minor, EntryType::Char)?,
            Kind::Block { major, minor } => device(&mut header, *major, *minor, EntryType::Block)?,
            Kind::Fifo => EntryType::Fifo,
        };
        header.set_entry_type(kind);
        records.name(b"path", &entry.path, &mut header.as_old_mut().name);
        for (name, value) in &entry.xattrs {
            records.add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        self.extended_header(&records)?;
        header.set_cksum();
        self.target.write_all(header.as_bytes())
    }

    fn extended_header(&mut self, records: &Records) -> io::Result<()> {
        if records.0.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..PAX_NAME.len()].copy_from_slice(PAX_NAME);
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let size = records.0.len() as u64;
        header.set_size(size);
        header.set_cksum();
        self.target.write_all(header.as_bytes())?;
        self.target.write_all(&records.0)?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.target.write_all(&[0; BLOCK][..padding(size)])
    }
}

/// Takes the content of one entry.
pub struct Content<'a, W: Write> {
    writer: &'a mut Writer<W>,
    size: u64,
    left: u64,
}

impl<W: Write> Content<'_, W> {
    /// Ends the entry; an error if content is missing.
    pub fn finish(self) -> io::Result<()> {
        match self.left {
            0 => self.writer.pad(self.size),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "there is less content than announced")),
        }
    }
}

impl<W: Write> Write for Content<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.target.write(bytes)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "there is more content than announced")
        })?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.target.flush()
    }
}

fn device(header: &mut Header, major: u32, minor: u32, kind: EntryType) -> io::Result<EntryType> {
    if major > OCTAL_7 as u32 || minor > OCTAL_7 as u32 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the device number does not fit a tar header",
        ));
    }
    header.set_device_major(major)?;
    header.set_device_minor(minor)?;
    Ok(kind)
}

/// The records of a PAX header.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// Puts `name` into `field` as far as it fits, and whole into a record if it does not.
    fn name(&mut self, key: &[u8], name: &[u8], field: &mut [u8]) {
        let fits = name.len().min(field.len());
        field[..fits].copy_from_slice(&name[..fits]);
        if name.len() > field.len() {
            self.add(key, name);
        }
    }

    /// What the plain header shall say of `number`: itself, or 0 and a record if it is over `limit`.
    fn number(&mut self, key: &str, number: u64, limit: u64) -> u64 {
        if number <= limit {
            return number;
        }
        self.add(key.as_bytes(), number.to_string().as_bytes());
        0
    }

    /// The length that begins a record counts its own digits.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3; // the space, '=' and the newline
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        for part in [b" ", key, b"=", value, b"\n"] {
            self.0.extend_from_slice(part);
        }
    }
}

const BUFFER: usize = 128 * 1024;
const PAX_NAME: &[u8] = b"PaxHeaders/entry";
/// The largest numbers of seven and eleven octal digits.
const OCTAL_7: u64 = 0o7_777_777;
const OCTAL_11: u64 = 0o77_777_777_777;
