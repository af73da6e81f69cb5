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

mod compress;
mod read;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

pub use self::{
    compress::{COMPRESSION_ROLE, compress, detach_and_compress},
    read::{Entry, Position, Reader, Selection},
};

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

/// Writes the log of one container.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    limits: Limits,
    /// The newest file; `None` for a log that is not kept.
    path: Option<PathBuf>,
    /// Opened with the first entry: many containers never say anything.
    file: Option<File>,
    size: u64,
    entries: Vec<u8>,
    /// Of each stream, a line that is not whole yet and cannot be written in parts.
    begun: [Vec<u8>; 2],
}

impl Writer {
    /// Continues the log in `directory`.
    pub fn new(directory: &Path, format: Format, limits: Limits) -> Writer {
        let path = format.file(directory);
        let (entries, begun) = (Vec::new(), [Vec::new(), Vec::new()]);
        Writer { format, limits, path, file: None, size: 0, entries, begun }
    }

    /// Appends what `stream` said just now.
    pub fn append(&mut self, stream: Stream, output: &[u8]) -> io::Result<()> {
        self.entries.clear();
        match &self.format {
            Format::None => return Ok(()),
            Format::Lines => {
                // All of it was said now: the beginning of every line is the same.
                let start = format!("{:.9} {} ", Timestamp::now(), stream.name());
                for (line, ended) in lines(output) {
                    self.entries.extend_from_slice(start.as_bytes());
                    self.entries.extend_from_slice(if ended { b"F " } else { b"P " });
                    self.entries.extend_from_slice(line);
                    self.entries.push(b'\n');
                }
            }
            Format::Json { attributes, .. } => {
                let end = json_end(stream, attributes);
                let begun = &mut self.begun[stream as usize];
                for (line, ended) in lines(output) {
                    let mut line = line;
                    // One that fits is written as it is, without a copy.
                    while begun.len() + line.len() >= LONGEST {
                        let (first, rest) = line.split_at(LONGEST - begun.len());
                        begun.extend_from_slice(first);
                        json_entry(&mut self.entries, begun, "", &end);
                        begun.clear();
                        line = rest;
                    }
                    match (ended, begun.is_empty()) {
                        (true, true) => json_entry(&mut self.entries, line, "\\n", &end),
                        (true, false) => {
                            begun.extend_from_slice(line);
                            json_entry(&mut self.entries, begun, "\\n", &end);
                            begun.clear();
                        }
                        (false, _) => begun.extend_from_slice(line),
                    }
                }
            }
        }
        self.write()
    }

    /// Writes what was begun and will not be ended.
    pub fn finish(&mut self) -> io::Result<()> {
        self.entries.clear();
        if let Format::Json { attributes, .. } = &self.format {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let begun = std::mem::take(&mut self.begun[stream as usize]);
                if !begun.is_empty() {
                    json_entry(&mut self.entries, &begun, "", &json_end(stream, attributes));
                }
            }
        }
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut left = self.entries.as_slice();
        while !left.is_empty() {
            if self.size >= self.limits.file_bytes {
                rotate(path, self.limits)?;
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
        // A burst of output should not stay in memory for as long as the container runs.
        self.entries.shrink_to(BURST);
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
fn json_end(stream: Stream, attributes: &str) -> String {
    let attributes = if attributes.is_empty() { String::new() } else { format!("\"attrs\":{attributes},") };
    format!("\",\"stream\":\"{}\",{attributes}\"time\":\"{:.9}\"}}\n", stream.name(), Timestamp::now())
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
    if limits.compress {
        // In a process of its own: a monitor has more urgent things to do. If it cannot be started, the file stays as
        // it is until the next one is full.
        let _ = compress::start(path);
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
/// How much of a line docker puts into one entry.
const LONGEST: usize = 16 * 1024;
/// More memory than this is given back when it is not needed again at once.
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
        log.append(Stream::Stdout, b"one\ntwo").expect("written");
        log.append(Stream::Stderr, b"oops\n").expect("written");
        log.append(Stream::Stdout, b" and a half\n\n").expect("written");
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
        log.append(Stream::Stdout, b"one \"<\\\ttwo").expect("written");
        log.append(Stream::Stderr, b"oops\n").expect("written");
        log.append(Stream::Stdout, b" and \x01\xc3\xa9\n").expect("written");
        log.append(Stream::Stdout, &[b'x'; LONGEST + 1]).expect("written");
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
    fn a_container_that_floods_its_output_keeps_only_the_newest_files() {
        let directory = tempfile::tempdir().expect("tempdir");
        let limits = Limits { file_bytes: 100, files: 3, compress: false };
        let mut log = Writer::new(directory.path(), Format::Lines, limits);
        for number in 0..100 {
            log.append(Stream::Stdout, format!("line {number}\n").as_bytes()).expect("written");
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
            log.append(Stream::Stdout, format!("line {number}\n").as_bytes()).expect("written");
        }
        let before = contents(directory.path(), &Format::Lines);
        compress(&directory.path().join(NAME)).expect("compressed");
        assert!(directory.path().join("log.1.gz").exists() && !directory.path().join("log.1").exists());
        assert_eq!(contents(directory.path(), &Format::Lines), before);
        // They are numbered on with the others.
        log.append(Stream::Stdout, &[b'x'; 2000]).expect("written");
        log.append(Stream::Stdout, b"more\n").expect("written");
        assert!(directory.path().join("log.2.gz").exists() && directory.path().join("log.1").exists());
    }
}
