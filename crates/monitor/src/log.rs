//! A container's output on disk, bounded, in the format Kubernetes' runtimes write (CRI).
//!
//! ```text
//!   2026-01-02T03:04:05.000000006Z stdout F a whole line
//!   2026-01-02T03:04:05.000000007Z stderr P part of a line, continued by the next entry of that stream
//! ```
//!
//! The bytes of a line are kept as they are. `log` is the newest file, `log.1` the one before, and so on.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// One of a process's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// A file that has grown to this size is followed by a new one.
    pub file_bytes: u64,
    /// How many files are kept, the newest among them.
    pub files: u32,
}

impl Default for Limits {
    /// 5 files of 20 MiB.
    fn default() -> Limits {
        Limits { file_bytes: 20 << 20, files: 5 }
    }
}

/// Writes the log of one container.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    limits: Limits,
    /// Opened with the first entry: many containers never say anything.
    file: Option<File>,
    size: u64,
    entries: Vec<u8>,
}

impl Writer {
    /// Continues the log in `directory`.
    pub fn new(directory: &Path, limits: Limits) -> Writer {
        Writer { directory: directory.to_owned(), limits, file: None, size: 0, entries: Vec::new() }
    }

    /// Appends what `stream` said just now: whole lines, and the part of one that `output` may end with.
    pub fn append(&mut self, stream: Stream, output: &[u8]) -> io::Result<()> {
        let now = Timestamp::now();
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        self.entries.clear();
        for line in output.split_inclusive(|byte| *byte == b'\n') {
            let (content, tag) = line.strip_suffix(b"\n").map_or((line, 'P'), |content| (content, 'F'));
            write!(self.entries, "{now:.9} {name} {tag} ")?;
            self.entries.extend_from_slice(content);
            self.entries.push(b'\n');
        }
        if self.size >= self.limits.file_bytes {
            self.rotate()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = File::options().create(true).append(true).open(self.directory.join(NAME))?;
                self.size = file.metadata()?.len();
                none.insert(file)
            }
        };
        file.write_all(&self.entries)?;
        self.size += self.entries.len() as u64;
        // A burst of output should not stay in memory for as long as the container runs.
        self.entries.shrink_to(4096);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (0..self.limits.files.saturating_sub(1)).rev() {
            match fs::rename(path(&self.directory, number), path(&self.directory, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.limits.files <= 1 {
            fs::remove_file(path(&self.directory, 0))?;
        }
        self.file = None;
        self.size = 0;
        Ok(())
    }
}

/// One entry of a log: a line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at: Timestamp,
    pub stream: Stream,
    /// With the line's end, if this is where it ends.
    pub content: Vec<u8>,
}

impl Entry {
    /// Parses one line of a log file; `None` for a line that is torn, as a kill in the middle of a write leaves it.
    pub fn parse(line: &[u8]) -> Option<Entry> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
        let at = text()?.parse().ok()?;
        let stream = match text()? {
            "stdout" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            _ => return None,
        };
        let whole = text()? == "F";
        let content = fields.next()?.strip_suffix(b"\n")?;
        let mut content = content.to_vec();
        if whole {
            content.push(b'\n');
        }
        Some(Entry { at, stream, content })
    }
}

/// The files of the log in `directory`, oldest first.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        (0..).map(|number| path(directory, number)).take_while(|path| path.exists()).collect();
    found.reverse();
    found
}

fn path(directory: &Path, number: u32) -> PathBuf {
    if number == 0 { directory.join(NAME) } else { directory.join(format!("{NAME}.{number}")) }
}

/// The newest file of a container's log.
pub const NAME: &str = "log";

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(directory: &Path) -> Vec<(Stream, String)> {
        let bytes: Vec<u8> =
            files(directory).iter().flat_map(|file| fs::read(file).expect("readable")).collect();
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| Entry::parse(line).expect("whole"))
            .map(|entry| (entry.stream, String::from_utf8_lossy(&entry.content).into_owned()))
            .collect()
    }

    #[test]
    fn lines_and_parts_of_lines_come_back_byte_for_byte() {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut log = Writer::new(directory.path(), Limits::default());
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
        assert_eq!(contents(directory.path()), expected.map(|(stream, text)| (stream, text.to_owned())));
    }

    #[test]
    fn a_container_that_floods_its_output_keeps_only_the_newest_files() {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut log = Writer::new(directory.path(), Limits { file_bytes: 100, files: 3 });
        for number in 0..100 {
            log.append(Stream::Stdout, format!("line {number}\n").as_bytes()).expect("written");
        }
        assert_eq!(files(directory.path()).len(), 3);
        let kept = contents(directory.path());
        assert_eq!(kept.last().expect("some are kept").1, "line 99\n");
        assert!(kept.len() < 10, "{kept:?}");
    }

    #[test]
    fn a_torn_entry_is_passed_over() {
        for torn in
            ["", "2026-01-02T03:04:05Z stdout", "2026-01-02T03:04:05Z stdout F no end", "x stdout F y\n"]
        {
            assert_eq!(Entry::parse(torn.as_bytes()), None, "{torn:?}");
        }
    }
}
