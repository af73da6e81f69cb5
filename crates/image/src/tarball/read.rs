//! Reads a tar stream, trusting nothing in it.
//!
//! Wherever programs are known to disagree about an entry (two names, two sizes, content behind a
//! directory), the archive is refused: what one program checks must be what another unpacks.

use std::io::{self, BufRead, Read};

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::{
    BLOCK, Entry, Kind, Time,
    field::{Malformed, checksum, field, id, octal, size_field, text},
    padding,
    pax::{self, Overrides},
    sparse::{Segment, SparseMap},
};

/// Why a tar stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("not a tar archive")]
    NotTar,
    #[error("the tar archive is malformed: {what} near \"{}\"", .entry.escape_ascii())]
    Malformed { entry: Vec<u8>, what: &'static str },
    #[error("the tar archive ends in the middle of \"{}\"", .entry.escape_ascii())]
    Truncated { entry: Vec<u8> },
    #[error("cannot read the tar archive")]
    Read(#[source] io::Error),
}

/// Reads one entry after another from a stream that need not be seekable.
pub struct Reader<R> {
    source: R,
    /// What is left in the stream of the current entry's content and padding.
    left: u64,
    padding: usize,
    /// Where the current file's content lies, if it has holes.
    segments: Option<Vec<Segment>>,
    /// The last name seen, to tell where things went wrong.
    place: Vec<u8>,
    started: bool,
}

impl<R: BufRead> Reader<R> {
    pub fn new(source: R) -> Reader<R> {
        Reader { source, left: 0, padding: 0, segments: None, place: Vec::new(), started: false }
    }

    /// The next entry, or `None` at the archive's end. What was not read of the last one is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_rest()?;
        let mut extended = Extended::default();
        loop {
            let Some(header) = self.header()? else {
                return match extended.is_empty() {
                    true => Ok(None),
                    false => Err(self.malformed("an extended header without an entry")),
                };
            };
            let size = self.check(size_field(&header.as_old().size))?;
            let kind = header.entry_type();
            match kind {
                EntryType::XHeader => {
                    let content = self.extension(size)?;
                    let overrides = self.check(Overrides::parse(&content))?;
                    self.once(extended.pax.replace(overrides).is_some())?;
                }
                EntryType::XGlobalHeader => {
                    let content = self.extension(size)?;
                    self.check(pax::check_global(&content))?;
                }
                EntryType::GNULongName => {
                    let name = self.long_name(size)?;
                    self.once(extended.name.replace(name).is_some())?;
                }
                EntryType::GNULongLink => {
                    let name = self.long_name(size)?;
                    self.once(extended.link.replace(name).is_some())?;
                }
                _ => return self.entry(&header, size, extended).map(Some),
            }
        }
    }

    /// The current file's content, holes left out.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }

    /// Where the current file's content belongs, if the file has holes.
    pub fn segments(&self) -> Option<&[Segment]> {
        self.segments.as_deref()
    }

    /// Ends reading and returns the stream, which may hold more than the archive.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// The next header that is not the end's zeros.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|b| *b == 0) {
            let mut second = [0; BLOCK];
            return match self.block(&mut second)? && second != [0; BLOCK] {
                true => Err(self.malformed("content after the end")),
                false => Ok(None),
            };
        }
        if octal(&header.as_old().cksum) != Some(checksum(header.as_bytes())) {
            return Err(if self.started { self.malformed("a wrong checksum") } else { TarError::NotTar });
        }
        self.started = true;
        Ok(Some(header))
    }

    fn entry(&mut self, header: &Header, plain: u64, extended: Extended) -> Result<Entry, TarError> {
        let Extended { pax, name, link } = extended;
        let mut pax = pax.unwrap_or_default();
        if (name.is_some() && pax.path.is_some()) || (link.is_some() && pax.link.is_some()) {
            return Err(self.malformed("two long names for one entry"));
        }
        let sparse = pax.sparse.take();
        let real_name = sparse.as_ref().and_then(|s| s.name.clone());
        let path = real_name.or(pax.path).or(name).unwrap_or_else(|| plain_path(header));
        self.place.clone_from(&path);
        let target = || pax.link.take().or(link).unwrap_or_else(|| text(&header.as_old().linkname).to_vec());
        let stored = pax.size.unwrap_or(plain);
        let mut content = 0;
        let kind = match header.entry_type() {
            // Before POSIX, a directory was a file whose name ends in a slash.
            EntryType::Regular if header.as_old().linkflag == [0] && path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                content = stored;
                Kind::File { size: stored }
            }
            EntryType::GNUSparse => {
                content = stored;
                let size = self.old_sparse(header, stored)?;
                Kind::File { size }
            }
            EntryType::Link => Kind::HardLink { target: target() },
            EntryType::Symlink => Kind::Symlink { target: target() },
            EntryType::Directory => Kind::Directory,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => {
                let (major, minor) = self.device(header)?;
                Kind::Character { major, minor }
            }
            EntryType::Block => {
                let (major, minor) = self.device(header)?;
                Kind::Block { major, minor }
            }
            _ => return Err(self.malformed("an entry of unknown type")),
        };
        if content == 0 && stored != 0 {
            return Err(self.malformed("content in an entry that cannot have any"));
        }
        if matches!(&kind, Kind::Symlink { target } | Kind::HardLink { target } if target.is_empty()) {
            return Err(self.malformed("a link to nowhere"));
        }
        self.left = content;
        self.padding = padding(content);
        let kind = match (kind, sparse.and_then(|s| s.size)) {
            (kind, None) => kind,
            (Kind::File { .. }, Some(size)) if self.segments.is_none() => {
                self.new_sparse(size)?;
                Kind::File { size }
            }
            _ => return Err(self.malformed("holes in an entry that cannot have any")),
        };
        let old = header.as_old();
        let mode = self.check(field(&old.mode).ok_or("an impossible mode"))?;
        let owner =
            |plain: &[u8]| field(plain).and_then(|n| id(n.try_into().ok()?)).ok_or("an impossible owner");
        let uid = pax.uid.map_or_else(|| owner(&old.uid), Ok);
        let gid = pax.gid.map_or_else(|| owner(&old.gid), Ok);
        let mtime = pax.mtime.map_or_else(
            || field(&old.mtime).map(|seconds| Time { seconds, nanoseconds: 0 }).ok_or("an impossible time"),
            Ok,
        );
        Ok(Entry {
            path,
            kind,
            mode: (mode & 0o7777) as u32,
            uid: self.check(uid)?,
            gid: self.check(gid)?,
            mtime: self.check(mtime)?,
            xattrs: pax.xattrs,
        })
    }

    fn device(&self, header: &Header) -> Result<(u32, u32), TarError> {
        let part = |digits: &[u8]| field(digits).and_then(|n| u32::try_from(n).ok());
        header
            .as_ustar()
            .and_then(|h| Some((part(&h.dev_major)?, part(&h.dev_minor)?)))
            .or_else(|| header.as_gnu().and_then(|h| Some((part(&h.dev_major)?, part(&h.dev_minor)?))))
            .ok_or_else(|| self.malformed("an impossible device number"))
    }

    /// GNU's first sparse format: the map is in the header and in blocks that follow it.
    fn old_sparse(&mut self, header: &Header, stored: u64) -> Result<u64, TarError> {
        let Some(gnu) = header.as_gnu() else {
            return Err(self.malformed("a sparse file outside the GNU format"));
        };
        let size = self.check(size_field(&gnu.realsize))?;
        let mut map = SparseMap::default();
        let mut more = gnu.isextended[0] != 0;
        self.check(map.extend(&gnu.sparse))?;
        while more {
            let mut block = GnuExtSparseHeader::new();
            if !self.block(block.as_mut_bytes())? {
                return Err(TarError::Truncated { entry: self.place.clone() });
            }
            self.check(map.extend(&block.sparse))?;
            more = block.isextended[0] != 0;
        }
        self.segments = Some(self.check(map.finish(size, stored))?);
        Ok(size)
    }

    /// GNU's sparse format 1.0: the map stands as decimal lines, in whole blocks, before the content.
    fn new_sparse(&mut self, size: u64) -> Result<(), TarError> {
        let before = self.left;
        let count = self.map_number()?;
        let mut map = SparseMap::default();
        for _ in 0..count {
            let segment = Segment { offset: self.map_number()?, length: self.map_number()? };
            self.check(map.push(segment))?;
        }
        let used = before - self.left;
        self.skip(padding(used) as u64)?;
        self.left = match self.left.checked_sub(padding(used) as u64) {
            Some(left) => left,
            None => return Err(self.malformed("an impossible sparse map")),
        };
        self.segments = Some(self.check(map.finish(size, self.left))?);
        Ok(())
    }

    fn map_number(&mut self) -> Result<u64, TarError> {
        let mut number: u64 = 0;
        for position in 0..20 {
            let mut byte = [0];
            self.content().read_exact(&mut byte).map_err(|e| self.failed(e))?;
            match byte[0] {
                b'\n' if position > 0 => return Ok(number),
                digit @ b'0'..=b'9' if number < i64::MAX as u64 / 10 => {
                    number = number * 10 + u64::from(digit - b'0');
                }
                _ => break,
            }
        }
        Err(self.malformed("an impossible sparse map"))
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let content = self.extension(size)?;
        let name = text(&content);
        // Only the terminator may follow: another program might go on reading behind it.
        match content[name.len()..].iter().all(|b| *b == 0) {
            true => Ok(name.to_vec()),
            false => Err(self.malformed("a name with a NUL in it")),
        }
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_LIMIT {
            return Err(self.malformed("an extended header of more than 1 MiB"));
        }
        let mut content = vec![0; size as usize];
        self.source.read_exact(&mut content).map_err(|e| self.failed(e))?;
        self.skip(padding(size) as u64)?;
        Ok(content)
    }

    /// Fills `block`; false at the stream's end.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, TarError> {
        if self.source.fill_buf().map_err(TarError::Read)?.is_empty() {
            return Ok(false);
        }
        self.source.read_exact(block).map_err(|e| self.failed(e))?;
        Ok(true)
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let rest = self.left + std::mem::take(&mut self.padding) as u64;
        self.left = 0;
        self.segments = None;
        self.skip(rest)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), TarError> {
        while count > 0 {
            let available = self.source.fill_buf().map_err(TarError::Read)?.len() as u64;
            if available == 0 {
                return Err(TarError::Truncated { entry: self.place.clone() });
            }
            let step = available.min(count);
            self.source.consume(step as usize);
            count -= step;
        }
        Ok(())
    }

    fn once(&self, repeated: bool) -> Result<(), TarError> {
        if repeated { Err(self.malformed("two extended headers of one kind for one entry")) } else { Ok(()) }
    }

    fn check<T>(&self, result: Result<T, Malformed>) -> Result<T, TarError> {
        result.map_err(|what| self.malformed(what))
    }

    fn malformed(&self, what: Malformed) -> TarError {
        TarError::Malformed { entry: self.place.clone(), what }
    }

    fn failed(&self, error: io::Error) -> TarError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Truncated { entry: self.place.clone() },
            _ => TarError::Read(error),
        }
    }
}

/// The content of a reader's current entry.
pub struct Content<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: BufRead> Content<'_, R> {
    /// What an error in reading this means.
    pub fn failed(&self, error: io::Error) -> TarError {
        self.reader.failed(error)
    }
}

impl<R: BufRead> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Content<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = self.reader.left;
        if left == 0 {
            return Ok(&[]);
        }
        let available = self.reader.source.fill_buf()?;
        if available.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(&available[..available.len().min(usize::try_from(left).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, count: usize) {
        self.reader.left -= count as u64;
        self.reader.source.consume(count);
    }
}

/// Extended headers that precede an entry.
#[derive(Default)]
struct Extended {
    pax: Option<Overrides>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extended {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }
}

/// The name in the plain header, with ustar's prefix.
fn plain_path(header: &Header) -> Vec<u8> {
    let name = text(&header.as_old().name);
    match header.as_ustar().map(|h| text(&h.prefix)) {
        Some(prefix) if !prefix.is_empty() => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

const EXTENSION_LIMIT: u64 = 1 << 20;
