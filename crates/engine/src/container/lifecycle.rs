//! Ending containers: asking, killing, removing.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use monitor::{
    Lock, Status,
    hold::{self, Hold},
    policy,
};
use runtime::cgroup::CgroupError;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use types::Signal;

use super::{config::Config, status::Container};
use crate::{Engine, error::EngineError, state::Durability};

/// How long a process has to end after it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    For(Duration),
    /// As long as it takes.
    Forever,
}

impl Grace {
    /// docker's reading of `--timeout`: negative is forever.
    pub fn from_seconds(seconds: i32) -> Grace {
        u64::try_from(seconds).map_or(Grace::Forever, |seconds| Grace::For(Duration::from_secs(seconds)))
    }
}

impl Config {
    /// How long the container has to stop unless told otherwise: ten seconds if it was not configured.
    pub fn grace(&self) -> Grace {
        Grace::from_seconds(self.stop_timeout.unwrap_or(10))
    }
}

impl Engine {
    /// Asks the container to end, waits, and kills it if it does not. One that does not run is left alone.
    pub fn stop(
        &self,
        container: &Container,
        grace: Option<Grace>,
        signal: Option<Signal>,
    ) -> Result<(), EngineError> {
        if !container.status()?.is_running() {
            return Ok(());
        }
        policy::mark_asked_to_stop(&container.directory).map_err(|error| container.file_error(error))?;
        // One that was about to be started again is not any more, or is ended by its monitor.
        let Some(started) = container.status()?.started().cloned() else {
            return wait_until_settled(container);
        };
        let Some(process) = started.process()? else { return wait_until_settled(container) };
        let configured = container.config.stop_signal.as_deref().and_then(|name| name.parse().ok());
        let signal = signal.or(configured).unwrap_or(Signal::TERM);
        send(&process, signal)?;
        self.note_signal(container, signal);
        // One that stands still could not do what it is asked.
        thaw(container)?;
        let timeout = match grace.unwrap_or_else(|| container.config.grace()) {
            Grace::For(duration) => Some(duration),
            Grace::Forever => None,
        };
        if !ends_within(&process, timeout)? {
            self.note_signal(container, Signal::KILL);
            kill_and_wait(container, &process)?;
        }
        wait_until_settled(container)
    }

    /// Asks the container to end because the machine goes down. It is started again with the machine, as its policy says.
    /// Whether it runs; does not wait for its end.
    pub fn go_down(&self, container: &Container) -> Result<bool, EngineError> {
        if !container.status()?.is_running() {
            return Ok(false);
        }
        monitor::go_down(&container.directory).map_err(|error| container.file_error(error))?;
        Ok(true)
    }

    /// Waits until nobody is at work on the container any more.
    pub fn wait_until_settled(&self, container: &Container) -> Result<(), EngineError> {
        wait_until_settled(container)
    }

    fn note_signal(&self, container: &Container, signal: Signal) {
        self.note(container, "kill", &[("signal", &signal.number().to_string())]);
    }

    /// Sends a signal to the container's first process.
    pub fn kill(&self, container: &Container, reference: &str, signal: Signal) -> Result<(), EngineError> {
        let not_running =
            || EngineError::NotRunningToKill { reference: reference.to_owned(), id: container.id };
        let stop_signal = container.config.stop_signal.as_deref().and_then(|name| name.parse().ok());
        // As docker has it: where no signal is known for stopping, any may be meant to.
        let ends = signal == Signal::KILL || stop_signal.is_none_or(|stop_signal| signal == stop_signal);
        let ran = container.status()?.is_running();
        if ends && ran {
            mark_stopped(container)?;
        }
        let status = container.status()?;
        if let Status::Restarting(_) = status {
            return if ends { wait_until_settled(container) } else { Ok(()) };
        }
        let process = status.started().map(|started| started.process()).transpose()?.flatten();
        let Some(process) = process else {
            // One that ran has just ended by itself, which is what was wanted.
            return if ends && ran { wait_until_settled(container) } else { Err(not_running()) };
        };
        self.note_signal(container, signal);
        if signal == Signal::KILL {
            // Nothing can keep it from ending; whoever asks next should find it ended.
            kill_and_wait(container, &process)?;
            return wait_until_settled(container);
        }
        send(&process, signal)?;
        // As with docker, what asks one to end lets it go on, and any other signal waits until it does.
        if ends { thaw(container) } else { Ok(()) }
    }

    /// Makes all processes of the container stand still, and returns when they do.
    pub fn pause(&self, container: &Container) -> Result<(), EngineError> {
        match container.status()? {
            Status::Paused(_) => Err(EngineError::AlreadyPaused(container.id)),
            Status::Restarting(_) => Err(EngineError::Restarting(container.id)),
            Status::Created | Status::Exited(_) => Err(EngineError::NotRunning(container.id.to_string())),
            Status::Running(_) => {
                // What a killed command has left must not be taken for the reason.
                hold::take_back(&container.directory).map_err(|error| container.file_error(error))?;
                self.freeze(container)
            }
        }
    }

    /// Pauses a running container until the result is dropped; `None` if it does not run, or is paused already. If the
    /// caller is killed, whoever looks at the container next lets it go on.
    pub(super) fn hold_still<'a>(
        &'a self,
        container: &'a Container,
    ) -> Result<Option<Still<'a>>, EngineError> {
        if !container.status()?.is_running() {
            return Ok(None);
        }
        let hold = Hold::take(&container.directory).map_err(|error| container.file_error(error))?;
        match container.status()? {
            Status::Running(_) => {
                let still = Still { engine: self, container, hold };
                match self.freeze(container) {
                    Err(EngineError::NotRunning(_)) => Ok(None),
                    // Where nothing can be held still, what is asked for is done as it runs.
                    Err(EngineError::Cgroup(CgroupError::NoController { .. })) => Ok(None),
                    frozen => frozen.map(|()| Some(still)),
                }
            }
            Status::Paused(_) if hold.is_inherited => Ok(Some(Still { engine: self, container, hold })),
            // It has ended meanwhile, or it is a user who has it paused.
            _ => hold.release().map(|()| None).map_err(|error| container.file_error(error)),
        }
    }

    fn freeze(&self, container: &Container) -> Result<(), EngineError> {
        if let Some(cgroup) = container.cgroup()? {
            monitor::announce_freeze(&container.directory).map_err(|error| container.file_error(error))?;
            cgroup.freeze()?;
        }
        // It may have ended just then.
        match container.status()? {
            Status::Paused(_) => {
                self.note(container, "pause", &[]);
                Ok(())
            }
            _ => Err(EngineError::NotRunning(container.id.to_string())),
        }
    }

    /// Lets the processes of a paused container go on.
    pub fn unpause(&self, container: &Container) -> Result<(), EngineError> {
        match container.status()? {
            Status::Paused(_) => thaw(container).map(|()| self.note(container, "unpause", &[])),
            _ => Err(EngineError::NotPaused(container.id)),
        }
    }

    /// Waits until the container does not run any more; its exit code.
    pub fn wait(&self, container: &Container) -> Result<u8, EngineError> {
        loop {
            match container.status()? {
                Status::Exited(ended) => return Ok(ended.code),
                Status::Created => return Ok(0),
                Status::Restarting(_) => wait_until_settled(container)?,
                Status::Running(started) | Status::Paused(started) => {
                    if let Some(process) = started.process()? {
                        ends_within(&process, None)?;
                    }
                    wait_until_settled(container)?;
                }
            }
        }
    }

    /// Removes a container that does not run, or with `force` any.
    pub fn remove(&self, container: &Container, force: Force, volumes: Volumes) -> Result<(), EngineError> {
        match self.lock_to_remove(container, force) {
            Ok(lock) => self.remove_locked(container, lock, volumes),
            // Somebody else has just removed it.
            Err(EngineError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn lock_to_remove(&self, container: &Container, force: Force) -> Result<Lock, EngineError> {
        match (container.status()?, force) {
            (status, Force::Yes) if status.is_running() => {
                mark_stopped(container)?;
                if let Some(started) = container.status()?.started()
                    && let Some(process) = started.process()?
                {
                    kill_and_wait(container, &process)?;
                }
                // The monitor may have been killed before, and then there is more to take back.
                wait_until_settled(container)?;
                self.lock_to_remove(container, force)
            }
            (Status::Running(_), _) => Err(EngineError::Running(container.name.clone())),
            (Status::Restarting(_), _) => Err(EngineError::RestartingStill(container.name.clone())),
            (Status::Paused(_), _) => Err(EngineError::Paused(container.name.clone())),
            (Status::Created | Status::Exited(_), force) => match (container.lock_unless_running()?, force) {
                (Some(lock), _) => Ok(lock),
                (None, Force::Yes) if container.status()?.is_running() => {
                    self.lock_to_remove(container, force)
                }
                (None, _) => Err(EngineError::Running(container.name.clone())),
            },
        }
    }

    /// Removes a container whose lock the caller holds. If this is interrupted, what is left is a container that can
    /// be removed again, or nothing but a directory to be swept up.
    pub fn remove_locked(
        &self,
        container: &Container,
        lock: Lock,
        volumes: Volumes,
    ) -> Result<(), EngineError> {
        if volumes == Volumes::RemoveAnonymous {
            self.remove_anonymous_volumes(container)?;
        }
        if self.throw_container_away(container)?.is_some() {
            self.note(container, "destroy", &[]);
            return Ok(());
        }
        // First, for on a full disk this makes the room for writing that the row is gone.
        clear(&container.directory).map_err(|error| container.file_error(error))?;
        let durability = if container.config.auto_remove { Durability::Lazy } else { Durability::Synced };
        self.state.remove(durability, |state| state.delete_container(&container.id))?;
        let aside = container.directory.with_extension("removed");
        match fs::rename(&container.directory, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(container.file_error(error)),
            _ => {}
        }
        drop(lock);
        self.note(container, "destroy", &[]);
        crate::remove_tree(&aside).map_err(|error| container.file_error(error))
    }
}

/// Removes everything in a container's directory but the lock.
fn clear(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            crate::remove_tree(&entry.path())?;
        } else if entry.file_name() != Lock::FILE {
            match fs::remove_file(entry.path()) {
                // A file of the log that was being compressed is another one now.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether to remove what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

/// A container that is paused until this is dropped.
pub(super) struct Still<'a> {
    engine: &'a Engine,
    container: &'a Container,
    hold: Hold,
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        // One that has ended, or that somebody has let go on, is not paused any more. If the word stays in the file, the
        // next one who looks finds that nobody holds it.
        let _ = self.engine.unpause(self.container);
        let _ = self.hold.release();
    }
}

/// What becomes of the volumes that were made for a container alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    Keep,
    RemoveAnonymous,
}

/// Sends a signal; a process that is gone needs none.
fn send(process: &OwnedFd, signal: Signal) -> Result<(), EngineError> {
    match sys::process::signal(process.as_fd(), signal.number()) {
        Err(error) if error.raw_os_error() != Some(Errno::SRCH.raw_os_error()) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Kills the container's first process, which takes all others along, and waits until it is gone.
fn kill_and_wait(container: &Container, process: &OwnedFd) -> Result<(), EngineError> {
    send(process, Signal::KILL)?;
    // On v1, what is frozen does not die, and somebody may pause it at any time.
    thaw(container)?;
    ends_within(process, None).map(drop)
}

/// Lets the container's processes go on if they stand still.
fn thaw(container: &Container) -> Result<(), EngineError> {
    match container.cgroup()? {
        Some(cgroup) => {
            monitor::thaw(&container.directory, &cgroup).map_err(|error| container.file_error(error))
        }
        None => Ok(()),
    }
}

/// Waits for a process to end; whether it did.
pub(super) fn ends_within(process: &OwnedFd, timeout: Option<Duration>) -> Result<bool, EngineError> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left =
            left.map(|left| Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }));
        match poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

/// Says that what runs is to end, and no policy is to start it again.
fn mark_stopped(container: &Container) -> Result<(), EngineError> {
    policy::mark_stopped(&container.directory).map_err(|error| container.file_error(error))
}

/// Waits until the monitor has recorded the end and cleaned up, which it does as soon as the process is gone.
fn wait_until_settled(container: &Container) -> Result<(), EngineError> {
    match Lock::take(&container.directory) {
        Ok(_) => Ok(()),
        // A container that removes itself may be gone by now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(container.file_error(error)),
    }
}
