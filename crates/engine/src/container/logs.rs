//! What a container said.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use monitor::log::{self, Entry};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

use super::status::Container;
use crate::{Engine, error::EngineError};

/// Which part of the log is wanted.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// The last so many entries; all if `None`.
    pub tail: Option<usize>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Go on until the container has ended.
    pub follow: bool,
}

impl LogOptions {
    fn want(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.at >= since) && self.until.is_none_or(|until| entry.at <= until)
    }
}

impl Engine {
    /// Hands each wanted entry of the container's log to `take`, in order.
    pub fn logs(
        &self,
        container: &Container,
        options: &LogOptions,
        mut take: impl FnMut(Entry) -> io::Result<()>,
    ) -> Result<(), EngineError> {
        // Asked before the files are read: what is written after the end is known is there to be read.
        let mut ended = !container.status()?.is_running();
        let mut last = VecDeque::new();
        let mut collect = |entry| match options.tail {
            None => take(entry),
            Some(most) => {
                last.push_back(entry);
                if last.len() > most {
                    last.pop_front();
                }
                Ok(())
            }
        };
        let mut files = log::files(&container.directory);
        let newest = files.pop();
        for file in files {
            Tail::open(&file)?.read(options, &mut collect)?;
        }
        let path = container.directory.join(log::NAME);
        let mut tail = newest.map(|file| Tail::open(&file)).transpose()?;
        if let Some(tail) = &mut tail {
            tail.read(options, &mut collect)?;
        }
        last.into_iter().try_for_each(&mut take)?;
        if !options.follow {
            return Ok(());
        }
        let changes = Changes::of(&container.directory)?;
        loop {
            if tail.is_none() && path.exists() {
                tail = Some(Tail::open(&path)?);
            }
            if let Some(reader) = &mut tail {
                reader.read(options, &mut take)?;
                if reader.is_no_longer(&path) {
                    tail = None;
                    continue;
                }
            }
            if ended {
                return Ok(());
            }
            changes.wait()?;
            ended = !container.status()?.is_running();
        }
    }
}

/// A log file that is read as it grows.
struct Tail {
    reader: BufReader<File>,
    inode: u64,
    /// The beginning of an entry whose end is not written yet.
    partial: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Tail> {
        let file = File::open(path)?;
        Ok(Tail { inode: file.metadata()?.ino(), reader: BufReader::new(file), partial: Vec::new() })
    }

    /// Reads what there is.
    fn read(
        &mut self,
        options: &LogOptions,
        take: &mut impl FnMut(Entry) -> io::Result<()>,
    ) -> io::Result<()> {
        while self.reader.read_until(b'\n', &mut self.partial)? > 0 {
            if !self.partial.ends_with(b"\n") {
                return Ok(());
            }
            if let Some(entry) = Entry::parse(&self.partial).filter(|entry| options.want(entry)) {
                take(entry)?;
            }
            self.partial.clear();
        }
        Ok(())
    }

    /// Whether the log has been continued in another file.
    fn is_no_longer(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|metadata| metadata.ino() != self.inode)
    }
}

/// Tells when something in a directory changes.
struct Changes(std::os::fd::OwnedFd);

impl Changes {
    fn of(directory: &Path) -> io::Result<Changes> {
        use inotify::{CreateFlags, WatchFlags};
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let watched = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        inotify::add_watch(&changes, directory, watched)?;
        Ok(Changes(changes))
    }

    /// Waits for a change; a second at most, because a monitor that is killed changes nothing.
    fn wait(&self) -> io::Result<()> {
        let second = Timespec::try_from(Duration::from_secs(1)).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&second)) {
            Err(rustix::io::Errno::INTR) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = [0; 4096];
        while rustix::io::read(&self.0, &mut events).is_ok_and(|n| n == events.len()) {}
        Ok(())
    }
}
