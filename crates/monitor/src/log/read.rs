//! Reading a log: all of it, its end, a time of it, and what is still to come.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;

use super::{
    Stream,
    compress::{self, turn},
    compressed, exists, numbered,
};

/// One entry of a log: a line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was said, as it is written: RFC 3339 in UTC.
    pub time: &'a str,
    pub stream: Stream,
    /// With the line's end, if this is where it ends.
    pub content: Cow<'a, [u8]>,
}

impl<'a> Entry<'a> {
    /// Parses one line of a log file; `None` for a line that is torn, as a kill in the middle of a write leaves it.
    pub fn parse(line: &'a [u8]) -> Option<Entry<'a>> {
        if line.first() == Some(&b'{') { Entry::parse_json(line) } else { Entry::parse_line(line) }
    }

    fn parse_line(line: &'a [u8]) -> Option<Entry<'a>> {
        let (time, rest) = split(line)?;
        let (stream, rest) = split(rest)?;
        let (tag, rest) = split(rest)?;
        let stream = match stream {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let content = match tag {
            b"F" if rest.ends_with(b"\n") => rest,
            _ => rest.strip_suffix(b"\n")?,
        };
        let time = std::str::from_utf8(time).ok().filter(|time| is_time(time))?;
        Some(Entry { time, stream, content: Cow::Borrowed(content) })
    }

    fn parse_json(line: &'a [u8]) -> Option<Entry<'a>> {
        #[derive(serde::Deserialize)]
        struct Line<'a> {
            #[serde(borrow, default)]
            log: Cow<'a, str>,
            stream: &'a str,
            time: &'a str,
        }
        if !line.ends_with(b"\n") {
            return None;
        }
        let Line { log, stream, time } = serde_json::from_slice(line).ok()?;
        let stream = if stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
        let content = match log {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        is_time(time).then_some(Entry { time, stream, content })
    }
}

/// What stands before the first space, and what after it.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', text)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Whether it looks like a time: looking closer at each would take longer than all the rest of reading.
fn is_time(text: &str) -> bool {
    let shape = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    text.ends_with('Z')
        && shape(4, b'-')
        && shape(10, b'T')
        && shape(19, if text.len() > 20 { b'.' } else { b'Z' })
}

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Of the last so many entries; of all if `None`.
    pub tail: Option<usize>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// How far a reader got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Where the log ends, for now.
    End,
    /// Past the time that was asked for.
    Past,
}

/// Reads a log once, and then what is added to it.
pub struct Reader {
    /// The newest file.
    path: PathBuf,
    /// As they stand in the log, without the `Z`: times that are written so compare as text.
    since: Option<String>,
    until: Option<String>,
    tail: Option<usize>,
    /// The file that was the newest at the last look.
    current: Option<Current>,
}

/// A file that may still grow.
struct Current {
    reader: BufReader<File>,
    inode: u64,
    /// The beginning of an entry whose end is not written yet.
    partial: Vec<u8>,
}

impl Reader {
    /// A reader of the log whose newest file is, or will be, at `path`.
    pub fn new(path: PathBuf, selection: Selection) -> Reader {
        // Whatever was written with fewer digits compares rightly, too.
        let text = |time: Timestamp| format!("{time:.9}").trim_end_matches('Z').to_owned();
        Reader {
            path,
            since: selection.since.map(text),
            until: selection.until.map(text),
            tail: selection.tail,
            current: None,
        }
    }

    /// Hands each wanted entry that was not read before to `take`, in order.
    pub fn read(&mut self, take: &mut impl FnMut(&Entry<'_>) -> io::Result<()>) -> io::Result<Position> {
        let Some(mut current) = self.current.take() else {
            let files = files(&self.path)?;
            let (first, skip) = match self.tail.take() {
                None => (0, Skip::Nothing),
                Some(most) => tail(&files, most)?,
            };
            return self.read_files(files.into_iter().skip(first), skip, take);
        };
        // Looked at before it is read: to a file that has another name nothing more is added.
        let is_newest = self.path.metadata().is_ok_and(|metadata| metadata.ino() == current.inode);
        if self.read_from(&mut current.reader, &mut current.partial, take)? == Position::Past {
            return Ok(Position::Past);
        }
        if is_newest {
            self.current = Some(current);
            return Ok(Position::End);
        }
        let files = files(&self.path)?;
        // If it is too old to be there, so is whatever was written before it.
        let next = files.iter().rposition(|file| file.inode == current.inode).map_or(0, |at| at + 1);
        // Kept if there is no newer one yet.
        self.current = Some(current);
        self.read_files(files.into_iter().skip(next), Skip::Nothing, take)
    }

    /// Reads files from the oldest to the newest, but for the beginning of the first.
    fn read_files(
        &mut self,
        files: impl Iterator<Item = LogFile>,
        mut skip: Skip,
        take: &mut impl FnMut(&Entry<'_>) -> io::Result<()>,
    ) -> io::Result<Position> {
        for LogFile { mut file, inode, is_compressed } in files {
            let mut partial = Vec::new();
            let skip = std::mem::replace(&mut skip, Skip::Nothing);
            if is_compressed {
                let mut reader = inflate(file);
                if let Skip::Lines(mut count) = skip {
                    let mut line = Vec::new();
                    while count > 0 && reader.read_until(b'\n', &mut line)? > 0 {
                        count -= usize::from(ends_a_line(&line));
                        line.clear();
                    }
                }
                if self.read_from(&mut reader, &mut partial, take)? == Position::Past {
                    return Ok(Position::Past);
                }
                // At its end, should it be asked again before there is a newer one.
                let reader = BufReader::new(reader.into_inner().into_inner().into_inner());
                self.current = Some(Current { reader, inode, partial });
                continue;
            }
            if let Skip::Bytes(count) = skip {
                file.seek(SeekFrom::Start(count))?;
            }
            let mut reader = BufReader::with_capacity(BUFFER, file);
            if self.read_from(&mut reader, &mut partial, take)? == Position::Past {
                return Ok(Position::Past);
            }
            self.current = Some(Current { reader, inode, partial });
        }
        Ok(Position::End)
    }

    fn read_from(
        &mut self,
        reader: &mut impl BufRead,
        partial: &mut Vec<u8>,
        take: &mut impl FnMut(&Entry<'_>) -> io::Result<()>,
    ) -> io::Result<Position> {
        loop {
            let buffer = reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(Position::End);
            }
            let mut used = 0;
            let mut past = false;
            while let Some(end) = memchr::memchr(b'\n', &buffer[used..]) {
                let line = &buffer[used..=used + end];
                used += end + 1;
                let line = if partial.is_empty() {
                    line
                } else {
                    partial.extend_from_slice(line);
                    partial.as_slice()
                };
                if let Some(entry) = Entry::parse(line) {
                    let time = entry.time.trim_end_matches('Z');
                    if self.until.as_deref().is_some_and(|until| time > until) {
                        past = true;
                        break;
                    }
                    if self.since.as_deref().is_none_or(|since| time >= since) {
                        take(&entry)?;
                    }
                }
                partial.clear();
            }
            if past {
                return Ok(Position::Past);
            }
            partial.extend_from_slice(&buffer[used..]);
            let length = buffer.len();
            reader.consume(length);
        }
    }
}

/// A file of a log, open.
struct LogFile {
    file: File,
    /// Of the file that was written, even if this is what it was compressed to.
    inode: u64,
    is_compressed: bool,
}

/// The files of the log whose newest is at `path`, oldest first. Once they are open, it does not matter what they are
/// renamed to.
fn files(path: &Path) -> io::Result<Vec<LogFile>> {
    let _turn = turn(path)?;
    let mut found = Vec::new();
    for number in 0.. {
        if number > 0 && !exists(path, number) {
            break;
        }
        match File::open(numbered(path, number)) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                found.push(LogFile { file, inode, is_compressed: false });
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if number > 0 => {
                let mut file = File::open(compressed(path, number))?;
                let inode = compress::origin(&file);
                file.rewind()?;
                found.push(LogFile { file, inode, is_compressed: true });
            }
            // Nothing was written since the others were full.
            Err(_) => {}
        }
    }
    found.reverse();
    Ok(found)
}

fn inflate(file: File) -> BufReader<MultiGzDecoder<BufReader<File>>> {
    BufReader::with_capacity(BUFFER, MultiGzDecoder::new(BufReader::new(file)))
}

/// What not to read of a file.
enum Skip {
    Nothing,
    Bytes(u64),
    Lines(usize),
}

/// Where the last `most` lines of `files` begin: the file's index, and what to skip of it.
fn tail(files: &[LogFile], most: usize) -> io::Result<(usize, Skip)> {
    let mut left = most;
    for (index, LogFile { file, is_compressed, .. }) in files.iter().enumerate().rev() {
        if *is_compressed {
            let mut file = file.try_clone()?;
            let mut reader = inflate(file.try_clone()?);
            let (mut count, mut line) = (0, Vec::new());
            while reader.read_until(b'\n', &mut line)? > 0 {
                count += usize::from(ends_a_line(&line));
                line.clear();
            }
            // The two are one file with one place in it.
            file.rewind()?;
            if count >= left {
                return Ok((index, Skip::Lines(count - left)));
            }
            left -= count;
        } else {
            let is_newest = index + 1 == files.len();
            match last_lines(file, left, is_newest)? {
                Ok(start) => return Ok((index, Skip::Bytes(start))),
                Err(count) => left -= count,
            }
        }
    }
    Ok((0, Skip::Nothing))
}

/// Where the last `most` lines of a file begin, or how many it has if those are fewer. A line that was said in several
/// pieces has an entry for each, and is one line.
fn last_lines(file: &File, most: usize, is_newest: bool) -> io::Result<Result<u64, usize>> {
    let length = file.metadata()?.len();
    if most == 0 {
        return Ok(Ok(length));
    }
    let mut buffer = vec![0; BUFFER];
    let mut count = 0;
    // Where the entry ends whose beginning is looked for.
    let mut entry_end = None;
    let mut end = length;
    while end > 0 {
        let size = end.min(BUFFER as u64) as usize;
        let start = end - size as u64;
        file.read_exact_at(&mut buffer[..size], start)?;
        let beginnings = memchr::memrchr_iter(b'\n', &buffer[..size]).map(|at| start + at as u64 + 1);
        for beginning in beginnings.chain((start == 0).then_some(0)) {
            let Some(entry_end) = entry_end.replace(beginning) else { continue };
            let line = match buffer[..size].get((beginning - start) as usize..(entry_end - start) as usize) {
                Some(line) => Cow::Borrowed(line),
                None => {
                    let mut line = vec![0; (entry_end - beginning) as usize];
                    file.read_exact_at(&mut line, beginning)?;
                    Cow::Owned(line)
                }
            };
            // What is said last is a line even if it is not at its end yet.
            let is_last = is_newest && entry_end == length;
            if is_last || ends_a_line(&line) {
                if count == most {
                    return Ok(Ok(entry_end));
                }
                count += 1;
            }
        }
        end = start;
    }
    Ok(if count >= most { Ok(0) } else { Err(count) })
}

/// Whether an entry is a line or the last piece of one. What is torn stands for itself.
fn ends_a_line(entry: &[u8]) -> bool {
    Entry::parse(entry).is_none_or(|entry| entry.content.ends_with(b"\n"))
}

/// How much is read at once.
const BUFFER: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::super::{Format, Limits, Writer};
    use super::*;

    #[test]
    fn a_torn_entry_is_passed_over() {
        for torn in [
            "",
            "2026-01-02T03:04:05Z stdout",
            "2026-01-02T03:04:05Z stdout F no end",
            "x stdout F y\n",
            "{\"log\":\"x\",\"stream\":\"stdout\",\"ti",
        ] {
            assert_eq!(Entry::parse(torn.as_bytes()), None, "{torn:?}");
        }
    }

    fn collect(reader: &mut Reader) -> Vec<String> {
        let mut said = Vec::new();
        let mut take = |entry: &Entry<'_>| {
            said.push(String::from_utf8_lossy(&entry.content).trim_end().to_owned());
            Ok(())
        };
        reader.read(&mut take).expect("readable");
        said
    }

    #[test]
    fn a_reader_follows_from_file_to_file_and_misses_nothing() {
        let directory = tempfile::tempdir().expect("tempdir");
        let limits = Limits { file_bytes: 200, files: 5, compress: false };
        let mut log = Writer::new(directory.path(), Format::Lines, limits);
        let mut reader = Reader::new(directory.path().join("log"), Selection::default());
        assert!(collect(&mut reader).is_empty());
        let mut heard = Vec::new();
        for number in 0..200 {
            log.append(Timestamp::now(), Stream::Stdout, format!("{number}\n").as_bytes()).expect("written");
            if number % 7 == 0 {
                heard.extend(collect(&mut reader));
            }
            if number % 50 == 0 {
                super::super::compress(&directory.path().join("log")).expect("compressed");
            }
        }
        heard.extend(collect(&mut reader));
        let all: Vec<_> = (0..200).map(|number: u32| number.to_string()).collect();
        assert_eq!(heard, all);
    }

    #[test]
    fn a_line_in_pieces_is_one_of_the_last_lines() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("log");
        let limits = Limits { file_bytes: 200, files: 5, compress: false };
        let mut log = Writer::new(directory.path(), Format::Lines, limits);
        for piece in ["a\nb", "b", "b\nc\nd", "d\n", "e"] {
            log.append(Timestamp::now(), Stream::Stdout, piece.as_bytes()).expect("written");
        }
        for _ in 0..2 {
            let last = ["", "e", "dde", "cdde", "bbbcdde", "abbbcdde", "abbbcdde"];
            for (most, expected) in last.into_iter().enumerate() {
                let selection = Selection { tail: Some(most), ..Selection::default() };
                let said = collect(&mut Reader::new(path.clone(), selection)).concat();
                assert_eq!(said, expected, "the last {most}");
            }
            super::super::compress(&path).expect("compressed");
        }
    }

    #[test]
    fn the_last_entries_are_found_in_files_of_both_kinds() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("log");
        let limits = Limits { file_bytes: 300, files: 5, compress: false };
        let mut log = Writer::new(directory.path(), Format::Lines, limits);
        for number in 0..20 {
            log.append(Timestamp::now(), Stream::Stdout, format!("{number}\n").as_bytes()).expect("written");
        }
        let whole = collect(&mut Reader::new(path.clone(), Selection::default()));
        for _ in 0..2 {
            for most in 0..25 {
                let selection = Selection { tail: Some(most), ..Selection::default() };
                let last = collect(&mut Reader::new(path.clone(), selection));
                assert_eq!(last, whole[whole.len() - most.min(whole.len())..], "the last {most}");
            }
            super::super::compress(&path).expect("compressed");
        }
    }

    #[test]
    fn lines_that_nobody_would_write_are_torn_or_hold_what_was_said() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/log");
        let words = [
            " ",
            "\n",
            " stdout F ",
            " stderr P ",
            "2026-01-02T03:04:05Z",
            "{\"log\":\"",
            "\\u0000",
            "\\ud83d",
            "\"}",
            "é",
        ];
        testkit::fuzz(&corpus, &words, |bytes| {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let Some(entry) = Entry::parse(line) else { continue };
                assert!(line.ends_with(b"\n") && is_time(entry.time));
                assert!(
                    matches!(entry.content, Cow::Owned(_))
                        || line.windows(entry.content.len().max(1)).any(|part| part == &*entry.content)
                        || entry.content.is_empty()
                );
            }
        });
    }
}
