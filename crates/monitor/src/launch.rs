//! The launcher's side: starting a monitor and hearing from it.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use sys::channel::Channel;
use types::Publish;

use crate::{
    order::{Order, Report},
    record::Lock,
    role::ROLE,
};

/// Descriptors of the launcher that the container's output also goes to, besides the log.
#[derive(Debug, Clone, Copy)]
pub struct Foreground<'a> {
    pub output: BorrowedFd<'a>,
    pub errors: BorrowedFd<'a>,
}

/// What a monitor is given besides its order: descriptors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gifts<'a> {
    pub foreground: Option<Foreground<'a>>,
    /// What is in no file: see [`runtime::Confidential`].
    pub confidential: Option<BorrowedFd<'a>>,
}

/// A container that runs under its monitor.
#[derive(Debug)]
pub struct Running {
    /// The ports as they were published.
    pub publish: Vec<Publish>,
    /// The way to the container's input, or its terminal, if that was asked to be open.
    pub input: Option<OwnedFd>,
    channel: Channel,
}

/// Why a container does not run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("cannot start the container's monitor")]
    Monitor(#[from] io::Error),
    #[error("the container's monitor was killed")]
    MonitorLost,
    #[error(transparent)]
    Failed(runtime::Failure),
}

/// Starts a monitor that carries out `order` in the container's directory `bundle`, and waits until the
/// container's program runs.
pub fn launch(order: &Order, bundle: &Path, lock: Lock, gifts: Gifts<'_>) -> Result<Running, LaunchError> {
    let (ours, theirs) = Channel::pair()?;
    order.store(bundle)?;
    spawn(theirs)?;
    let mut descriptors = vec![lock.as_fd()];
    // In the order in which the monitor takes them: what the order mentions first.
    descriptors.extend(gifts.confidential);
    descriptors.extend(gifts.foreground.iter().flat_map(|foreground| [foreground.output, foreground.errors]));
    ours.send(bundle.as_os_str().as_bytes(), &descriptors)?;
    drop(lock);
    let running = Running { publish: Vec::new(), input: None, channel: ours };
    match running.report()? {
        Some((Report::Started { publish }, input)) => Ok(Running { publish, input, ..running }),
        Some((Report::Failed(failure), _)) => Err(LaunchError::Failed(failure)),
        Some((Report::Exited { .. }, _)) | None => Err(LaunchError::MonitorLost),
    }
}

/// Starts this program anew in the monitor's role, with nothing of ours but one end of the channel. It outlives
/// whoever launched it, so nobody waits for it here.
fn spawn(channel: Channel) -> io::Result<()> {
    // What the caller left open for us is not for a process that outlives us.
    sys::process::close_on_exec_from(3)?;
    let program = sys::sealed::program()?;
    // Whoever started us may have left descriptors open that are nobody's business.
    sys::process::close_on_exec_from(3)?;
    Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0(ROLE)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(channel)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

impl Running {
    /// Waits until the container has ended and everything of it is cleaned up; its exit code.
    pub fn wait(self) -> Result<u8, LaunchError> {
        match self.report()? {
            Some((Report::Exited { code }, _)) => Ok(code),
            _ => Err(LaunchError::MonitorLost),
        }
    }

    /// Says that nobody needs the container any more, as going away would: one that is to end then is killed. What
    /// became of it is still told by [`Running::wait`].
    pub fn abandon(&self) -> io::Result<()> {
        self.channel.finish_sending()
    }

    fn report(&self) -> Result<Option<(Report, Option<OwnedFd>)>, LaunchError> {
        let Some(message) = self.channel.receive()? else { return Ok(None) };
        let report = serde_json::from_slice(&message.bytes).map_err(io::Error::from)?;
        Ok(Some((report, message.descriptors.into_iter().next())))
    }
}

/// Readable when the container has ended or its monitor was killed.
impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
