//! A container's output on disk, bounded, in one of two formats: what Kubernetes' runtimes write (CRI), or docker's
//! JSON.
//!
//! ```text
//!   2026-01-02T03:04:05.000000006Z stdout F a whole line
//!   2026-01-02T03:04:05.000000007Z stderr P part of a line, continued by the next entry of that stream
//!
//!   {"log":"a whole line\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
//! ```
//!
//! In the first, the bytes of a line are kept as they are, and what is said without a line's end can be read at once. In
//! the second, as with docker, a line is written when it is whole or has 16 KiB, and what is no UTF-8 is lost.
//!
//! `log` is the newest file, `log.1` the one before, and so on; `log.1.gz` if it was compressed since.
//!
//! What is wanted elsewhere, or may be lost rather than have the container wait, is taken there by another process.

mod aside;
mod carrier;
mod compress;
mod connection;
mod journald;
mod message;
mod read;
mod syslog;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::event::PollFd;

use self::{aside::Aside, message::Assembly};
pub use self::{
    aside::{Destination, Errand, PATIENCE},
    carrier::{CARRIER_ROLE, carry},
    compress::{COMPRESSION_ROLE, compress, detach_and_compress},
    journald::{Journald, is_there as journald_is_there},
    read::{Entry, Position, Reader, Selection},
    syslog::{Address, Syslog, Words},
};
use crate::order::Order;

/// One of a process's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// A file that has grown to this size is followed by a new one.
    pub file_bytes: u64,
    /// How many files are kept, the newest among them.
    pub files: u32,
    /// Whether all but the newest are compressed.
    #[serde(default)]
    pub compress: bool,
}

impl Default for Limits {
    /// 5 files of 20 MB, as docker's `local` driver has them.
    fn default() -> Limits {
        Limits { file_bytes: 20_000_000, files: 5, compress: true }
    }
}

/// What the log is called and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Format {
    /// `log`, as Kubernetes has it.
    #[default]
    Lines,
    /// As docker has it.
    Json {
        /// The name of the newest file.
        name: String,
        /// What each entry says of the container, a JSON object; empty for nothing.
        attributes: String,
    },
    /// Not at all.
    None,
}

impl Format {
    /// The newest file in `directory`, if there are any.
    pub fn file(&self, directory: &Path) -> Option<PathBuf> {
        match self {
            Format::Lines => Some(directory.join(NAME)),
            Format::Json { name, .. } => Some(directory.join(name)),
            Format::None => None,
        }
    }
}

/// Keeps what one container says.
#[derive(Debug)]
pub struct Log {
    files: Writer,
    aside: Option<Aside>,
    /// When full files were last compressed.
    compressed: Instant,
    /// Whether anybody will read it after the container's end.
    stays: bool,
}

impl Log {
    /// Goes on with the log of the container in `bundle`, as its order says.
    pub(crate) fn open(bundle: &Path, order: &Order) -> io::Result<Log> {
        let aside = order.errand.as_ref().map(|errand| Aside::start(bundle, errand)).transpose()?;
        let format = match &order.errand {
            Some(Errand { destination: Destination::Files, .. }) => Format::None,
            _ => order.log_format.clone(),
        };
        let files = Writer::new(bundle, format, order.log);
        Ok(Log { files, aside, compressed: Instant::now(), stays: order.afterwards.is_none() })
    }

    /// Adds what `stream` said just now.
    pub fn append(&mut self, stream: Stream, output: &[u8]) {
        let now = Timestamp::now();
        // A full disk costs entries, never the container: there is nobody to tell and nothing to undo.
        let _ = self.files.append(now, stream, output);
        // A flood fills files faster than they are compressed, and most of them are gone before it is over.
        if self.files.has_full && self.compressed.elapsed() >= COMPRESSED_EVERY {
            self.compress();
        }
        if let Some(aside) = &mut self.aside {
            aside.append(now, stream, output);
        }
    }

    /// Whether nothing more should be read of the container's output until there is room for it.
    pub fn is_behind(&self) -> bool {
        self.aside.as_ref().is_some_and(Aside::is_behind)
    }

    /// What becomes writable when there is room for what is kept in memory.
    pub fn behind(&self) -> Option<BorrowedFd<'_>> {
        self.aside.as_ref()?.behind()
    }

    /// Uses the room that there is. After [`Log::end`], whether all that was said is where it is wanted.
    pub fn catch_up(&mut self) -> bool {
        self.aside.as_mut().is_none_or(Aside::catch_up)
    }

    /// Whether a burst of output has left something to do for [`Log::rest`], if no more comes.
    pub fn needs_rest(&self) -> bool {
        self.files.has_full
            || self.files.entries.capacity() > BURST
            || self.aside.as_ref().is_some_and(Aside::is_spread_out)
    }

    /// Compresses what is full, and gives back the memory that was needed for a burst of output, which should not stay for as
    /// long as the container runs.
    pub fn rest(&mut self) {
        self.compress();
        self.files.entries = Vec::new();
        self.aside.iter_mut().for_each(Aside::rest);
    }

    fn compress(&mut self) {
        self.files.compress();
        self.compressed = Instant::now();
    }

    /// Writes what was begun and will not be ended; elsewhere when [`Log::catch_up`] is called next. Nothing more is to be
    /// appended.
    pub fn end(&mut self) {
        let _ = self.files.finish(); // as with every entry
        if self.stays {
            self.files.compress();
        }
        self.aside.iter_mut().for_each(Aside::end);
    }

    /// After that, what to wait for before catching up.
    pub fn last(&self) -> Option<PollFd<'_>> {
        self.aside.as_ref().map(Aside::last)
    }
}

/// Writes the files of a log.
#[derive(Debug)]
struct Writer {
    format: Format,
    limits: Limits,
    /// The newest file; `None` for a log that is not kept.
    path: Option<PathBuf>,
    /// Opened with the first entry: many containers never say anything.
    file: Option<File>,
    size: u64,
    /// Whether there is a file that is full and was not compressed.
    has_full: bool,
    entries: Vec<u8>,
    /// Lines that cannot be written in parts.
    assembly: Assembly,
}

impl Writer {
    /// Continues the log in `directory`.
    fn new(directory: &Path, format: Format, limits: Limits) -> Writer {
        let path = format.file(directory);
        let assembly = Assembly::default();
        Writer { format, limits, path, file: None, size: 0, has_full: false, entries: Vec::new(), assembly }
    }

    /// Appends what `stream` said at that time.
    fn append(&mut self, at: Timestamp, stream: Stream, output: &[u8]) -> io::Result<()> {
        self.entries.clear();
        match &self.format {
            Format::None => return Ok(()),
            Format::Lines => {
                // All of it was said at one time: every line begins the same.
                let start = |mark| format!("{at:.9} {} {mark} ", stream.name());
                let (whole, part) = (start('F'), start('P'));
                for (line, ended) in lines(output) {
                    self.entries.extend_from_slice(if ended { whole.as_bytes() } else { part.as_bytes() });
                    self.entries.extend_from_slice(line);
                    self.entries.push(b'\n');
                }
            }
            Format::Json { attributes, .. } => {
                let end = json_end(at, stream, attributes);
                let entries = &mut self.entries;
                self.assembly.add(stream, output, |line, ended| {
                    json_entry(entries, line, if ended { "\\n" } else { "" }, &end);
                });
            }
        }
        self.write()
    }

    /// Writes what was begun and will not be ended.
    fn finish(&mut self) -> io::Result<()> {
        self.entries.clear();
        if let Format::Json { attributes, .. } = &self.format {
            let (now, entries) = (Timestamp::now(), &mut self.entries);
            self.assembly.finish(|stream, line| {
                json_entry(entries, line, "", &json_end(now, stream, attributes));
            });
        }
        self.write()
    }

    /// Has the files that are full compressed, if there are any, in a process of its own: a monitor has more urgent things to
    /// do. If that cannot be started, they stay as they are until the next one is full.
    fn compress(&mut self) {
        if std::mem::take(&mut self.has_full)
            && let Some(path) = &self.path
        {
            let _ = compress::start(path);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut left = self.entries.as_slice();
        while !left.is_empty() {
            if self.size >= self.limits.file_bytes {
                rotate(path, self.limits)?;
                self.has_full = self.limits.compress && self.limits.files > 1;
                self.file = None;
                self.size = 0;
            }
            let file = match &mut self.file {
                Some(file) => file,
                none => {
                    let file = File::options().create(true).append(true).open(path)?;
                    self.size = file.metadata()?.len();
                    none.insert(file)
                }
            };
            // Up to the entry with which the file is full.
            let room = self.limits.file_bytes.saturating_sub(self.size).max(1);
            let fits = match usize::try_from(room) {
                Ok(room) if room < left.len() => {
                    memchr::memchr(b'\n', &left[room - 1..]).map_or(left.len(), |end| room + end)
                }
                _ => left.len(),
            };
            file.write_all(&left[..fits])?;
            self.size += fits as u64;
            left = &left[fits..];
        }
        Ok(())
    }
}

/// The lines of `output`, and whether they end in it.
fn lines(output: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut left = output;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        Some(match memchr::memchr(b'\n', left) {
            Some(end) => {
                let (line, rest) = left.split_at(end);
                left = &rest[1..];
                (line, true)
            }
            None => (std::mem::take(&mut left), false),
        })
    })
}

/// What an entry of `stream` ends with.
fn json_end(at: Timestamp, stream: Stream, attributes: &str) -> String {
    let attributes = if attributes.is_empty() { String::new() } else { format!("\"attrs\":{attributes},") };
    format!("\",\"stream\":\"{}\",{attributes}\"time\":\"{at:.9}\"}}\n", stream.name())
}

fn json_entry(entries: &mut Vec<u8>, line: &[u8], line_end: &str, end: &str) {
    entries.extend_from_slice(b"{\"log\":\"");
    let text = String::from_utf8_lossy(line);
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        // As Go's encoder has it: what is special in HTML too.
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | b'<' | b'>' | b'&' => b"",
            _ => continue,
        };
        entries.extend_from_slice(&text.as_bytes()[plain..at]);
        match escape {
            b"" => entries.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            escape => entries.extend_from_slice(escape),
        }
        plain = at + 1;
    }
    entries.extend_from_slice(&text.as_bytes()[plain..]);
    entries.extend_from_slice(line_end.as_bytes());
    entries.extend_from_slice(end.as_bytes());
}

/// Gives each file its next number, and the newest none.
fn rotate(path: &Path, limits: Limits) -> io::Result<()> {
    if limits.files <= 1 {
        return fs::remove_file(path);
    }
    let _turn = compress::turn(path)?;
    let oldest = limits.files - 1;
    for file in [numbered(path, oldest), compressed(path, oldest)] {
        unless_missing(fs::remove_file(file))?;
    }
    for number in (0..oldest).rev() {
        unless_missing(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
        if number > 0 {
            unless_missing(fs::rename(compressed(path, number), compressed(path, number + 1)))?;
        }
    }
    Ok(())
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file that is `number` older than the newest, which is at `path`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    match number {
        0 => path.to_owned(),
        number => path.with_added_extension(number.to_string()),
    }
}

fn compressed(path: &Path, number: u32) -> PathBuf {
    path.with_added_extension(format!("{number}.gz"))
}

fn exists(path: &Path, number: u32) -> bool {
    numbered(path, number).exists() || compressed(path, number).exists()
}

/// The newest file of a log that has no other name.
const NAME: &str = "log";
/// How often full files are compressed at most while output comes without a pause.
const COMPRESSED_EVERY: Duration = Duration::from_secs(10);
/// How much of a line docker puts into one entry.
const LONGEST: usize = 16 * 1024;
/// More memory than this is given back when it is not needed again soon.
const BURST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(directory: &Path, format: &Format) -> Vec<(Stream, String)> {
        let mut found = Vec::new();
        let mut reader = Reader::new(format.file(directory).expect("it is kept"), Selection::default());
        let mut take = |entry: &Entry<'_>| {
            found.push((entry.stream, String::from_utf8_lossy(&entry.content).into_owned()));
            Ok(())
        };
        reader.read(&mut take).expect("readable");
        found
    }

    #[test]
    fn lines_and_parts_of_lines_come_back_byte_for_byte() {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut log = Writer::new(directory.path(), Format::Lines, Limits::default());
        log.append(Timestamp::now(), Stream::Stdout, b"one\ntwo").expect("written");
        log.append(Timestamp::now(), Stream::Stderr, b"oops\n").expect("written");
        log.append(Timestamp::now(), Stream::Stdout, b" and a half\n\n").expect("written");
        use Stream::*;
        let expected = [
            (Stdout, "one\n"),
            (Stdout, "two"),
            (Stderr, "oops\n"),
            (Stdout, " and a half\n"),
            (Stdout, "\n"),
        ];
        let expected = expected.map(|(stream, text)| (stream, text.to_owned()));
        assert_eq!(contents(directory.path(), &Format::Lines), expected);
    }

    #[test]
    fn json_has_whole_lines_as_docker_writes_them() {
        let directory = tempfile::tempdir().expect("tempdir");
        let format = Format::Json { name: "c-json.log".into(), attributes: "{\"a\":\"b\"}".into() };
        let mut log = Writer::new(directory.path(), format.clone(), Limits::default());
        log.append(Timestamp::now(), Stream::Stdout, b"one \"<\\\ttwo").expect("written");
        log.append(Timestamp::now(), Stream::Stderr, b"oops\n").expect("written");
        log.append(Timestamp::now(), Stream::Stdout, b" and \x01\xc3\xa9\n").expect("written");
        log.append(Timestamp::now(), Stream::Stdout, &[b'x'; LONGEST + 1]).expect("written");
        log.finish().expect("written");
        let text = fs::read_to_string(directory.path().join("c-json.log")).expect("written");
        let first = text.lines().nth(1).expect("a second entry");
        let (start, _) = first.split_once("\"time\"").expect("a time");
        assert_eq!(
            start,
            "{\"log\":\"one \\\"\\u003c\\\\\\ttwo and \\u0001\u{e9}\\n\",\"stream\":\"stdout\",\"attrs\":{\"a\":\"b\"},"
        );
        use Stream::*;
        let long = "x".repeat(LONGEST);
        let expected =
            [(Stderr, "oops\n"), (Stdout, "one \"<\\\ttwo and \x01\u{e9}\n"), (Stdout, &long), (Stdout, "x")];
        let expected = expected.map(|(stream, text)| (stream, text.to_owned()));
        assert!(contents(directory.path(), &format) == expected);
    }

    #[test]
    fn the_memory_that_a_burst_of_output_needed_is_given_back() {
        let directory = tempfile::tempdir().expect("tempdir");
        let files = Writer::new(directory.path(), Format::Lines, Limits::default());
        let mut log = Log { files, aside: None, compressed: Instant::now(), stays: true };
        log.append(Stream::Stdout, &[b'x'; 100_000]);
        assert!(log.needs_rest());
        log.rest();
        log.append(Stream::Stdout, b"more\n");
        assert!(!log.needs_rest());
        assert_eq!(contents(directory.path(), &Format::Lines).len(), 2);
    }

    #[test]
    fn a_container_that_floods_its_output_keeps_only_the_newest_files() {
        let directory = tempfile::tempdir().expect("tempdir");
        let limits = Limits { file_bytes: 100, files: 3, compress: false };
        let mut log = Writer::new(directory.path(), Format::Lines, limits);
        for number in 0..100 {
            log.append(Timestamp::now(), Stream::Stdout, format!("line {number}\n").as_bytes())
                .expect("written");
        }
        let mut names: Vec<_> =
            fs::read_dir(directory.path()).expect("there").map(|f| f.expect("there").file_name()).collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2"]);
        let kept = contents(directory.path(), &Format::Lines);
        assert_eq!(kept.last().expect("some are kept").1, "line 99\n");
        assert!(kept.len() < 10, "{kept:?}");
    }

    #[test]
    fn what_is_compressed_reads_as_before() {
        let directory = tempfile::tempdir().expect("tempdir");
        let limits = Limits { file_bytes: 1000, files: 4, compress: false };
        let mut log = Writer::new(directory.path(), Format::Lines, limits);
        for number in 0..60 {
            log.append(Timestamp::now(), Stream::Stdout, format!("line {number}\n").as_bytes())
                .expect("written");
        }
        let before = contents(directory.path(), &Format::Lines);
        compress(&directory.path().join(NAME)).expect("compressed");
        assert!(directory.path().join("log.1.gz").exists() && !directory.path().join("log.1").exists());
        assert_eq!(contents(directory.path(), &Format::Lines), before);
        // They are numbered on with the others.
        log.append(Timestamp::now(), Stream::Stdout, &[b'x'; 2000]).expect("written");
        log.append(Timestamp::now(), Stream::Stdout, b"more\n").expect("written");
        assert!(directory.path().join("log.2.gz").exists() && directory.path().join("log.1").exists());
    }
}
