//! What a container said.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use monitor::log::{Entry, Format, Position, Reader, Selection};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

use super::status::Container;
use crate::{Engine, error::EngineError};

/// Which part of the log is wanted.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    pub selection: Selection,
    /// Go on until the container has ended.
    pub follow: bool,
}

impl Engine {
    /// Hands each wanted entry of the container's log to `take`, in order, and nothing whenever there is no more for
    /// now.
    pub fn logs(
        &self,
        container: &Container,
        options: LogOptions,
        mut take: impl FnMut(Option<&Entry<'_>>) -> io::Result<()>,
    ) -> Result<(), EngineError> {
        let (format, _) = container.config.log.files(container)?;
        let Some(file) = format.file(&container.directory) else {
            return Err(EngineError::Invalid(
                "configured logging driver does not support reading".to_owned(),
            ));
        };
        let LogOptions { selection, follow } = options;
        let until = selection.until;
        let mut reader = Reader::new(file, selection);
        let changes = if follow { Some(Changes::of(&container.directory)?) } else { None };
        loop {
            // Asked before the files are read: what was written before the end is known is there to be read.
            let ended = !follow
                || !container.status()?.is_running()
                || until.is_some_and(|until| Timestamp::now() > until);
            let position = reader.read(&mut |entry: &Entry<'_>| take(Some(entry)))?;
            take(None)?;
            match &changes {
                Some(changes) if !ended && position == Position::End => changes.wait()?,
                _ => return Ok(()),
            }
        }
    }
}

impl Container {
    /// The newest file of its log, if its driver keeps any but for itself.
    pub fn log_file(&self) -> Option<PathBuf> {
        let log = &self.config.log;
        let is_elsewhere = matches!(log.driver(), "journald" | "syslog");
        let format =
            log.files(self).ok().filter(|_| !is_elsewhere).map_or(Format::None, |(format, _)| format);
        format.file(&self.directory)
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
