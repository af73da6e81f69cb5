//! A command's side: starting a monitor, joining one, and hearing from it.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use oci_spec::runtime::Process;
use sys::channel::Channel;
use types::Publish;

use crate::{
    control::{self, Part, Report, Request},
    order::{Order, TerminalSize},
    policy,
    record::Lock,
    role::ROLE,
};

/// What a monitor is given besides its order: descriptors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gifts<'a> {
    /// How the launcher takes part in the container's input and output, if it does.
    pub part: Option<Part<'a>>,
    /// What is in no file: see [`runtime::Confidential`].
    pub confidential: Option<BorrowedFd<'a>>,
}

/// A container that runs under its monitor, as somebody sees it who takes part in it.
#[derive(Debug)]
pub struct Running {
    /// The ports as they were published; known to the launcher.
    pub publish: Vec<Publish>,
    /// The way to the container's input, if that was asked for and is open, or its terminal, if it has one.
    pub input: Option<OwnedFd>,
    channel: Channel,
}

/// Why a container does not run, or not with us.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("cannot talk to the container's monitor")]
    Monitor(#[from] io::Error),
    #[error("the container's monitor was killed")]
    MonitorLost,
    #[error("the container's output was not taken for {} seconds", crate::audience::PATIENCE.as_secs())]
    TooSlow,
    #[error(transparent)]
    Failed(runtime::Failure),
}

/// Starts a monitor that carries out `order` in the container's directory `bundle`, and waits until the
/// container's program runs.
pub fn launch(order: &Order, bundle: &Path, lock: Lock, gifts: Gifts<'_>) -> Result<Running, LaunchError> {
    let (ours, theirs) = Channel::pair()?;
    order.store(bundle)?;
    // All that the monitor is told lies there before it begins: there is no output then that we miss, however late we are.
    let mut descriptors = vec![lock.as_fd()];
    descriptors.extend(gifts.confidential);
    ours.send(bundle.as_os_str().as_bytes(), &descriptors)?;
    drop(lock);
    if let Some(part) = gifts.part {
        Request::attach(part, &ours)?;
    }
    spawn(theirs)?;
    let mut running = Running { publish: Vec::new(), input: None, channel: ours };
    match running.report()? {
        (Report::Started { publish }, _) => running.publish = publish,
        (Report::Failed(failure), _) => return Err(LaunchError::Failed(failure)),
        _ => return Err(LaunchError::MonitorLost),
    }
    if gifts.part.is_some() {
        running.input = running.attached()?;
    }
    Ok(running)
}

/// Takes part in the container in the directory `bundle`; `None` if it does not run.
pub fn join(bundle: &Path, part: Part<'_>) -> Result<Option<Running>, LaunchError> {
    let Some(channel) = control::connect(bundle)? else { return Ok(None) };
    let mut running = Running { publish: Vec::new(), input: None, channel };
    let joined = Request::attach(part, &running.channel).map_err(LaunchError::from);
    match joined.and_then(|()| running.attached()) {
        Ok(input) => running.input = input,
        // It ended before it could let us in.
        Err(LaunchError::MonitorLost) => return Ok(None),
        Err(LaunchError::Monitor(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(running))
}

/// Has the monitor of the container in `bundle` connect it as its order says by now; see [`Order::replace`].
pub fn reconnect(bundle: &Path) -> Result<(), LaunchError> {
    let Some(channel) = control::connect(bundle)? else { return Err(LaunchError::MonitorLost) };
    Request::Reconnect.send(&channel, &[])?;
    match Report::receive(&channel)? {
        Some((Report::Reconnected, _)) => Ok(()),
        Some((Report::Failed(failure), _)) => Err(LaunchError::Failed(failure)),
        _ => Err(LaunchError::MonitorLost),
    }
}

/// Has the monitor of the container in `bundle` execute `process` there as `exec`, and note how it ends: with nothing to read
/// and nobody to write to, or on a terminal of its own. `false` if there is no monitor that could.
pub fn execute(
    bundle: &Path,
    exec: &str,
    process: &Process,
    terminal: Option<TerminalSize>,
) -> Result<bool, LaunchError> {
    let Some(channel) = control::connect(bundle)? else { return Ok(false) };
    let packed = control::pack(process)?;
    Request::Execute { exec: exec.to_owned(), terminal }.send(&channel, &[packed.as_fd()])?;
    match Report::receive(&channel)? {
        Some((Report::Executed, _)) => Ok(true),
        Some((Report::Failed(failure), _)) => Err(LaunchError::Failed(failure)),
        // That of an older program hangs up on what it does not know.
        _ => Ok(false),
    }
}

/// Has the container in the directory `bundle` stopped because the machine goes down, if it runs or is about to be started
/// again. Does not wait for its end.
pub fn go_down(bundle: &Path) -> io::Result<()> {
    policy::mark_going_down(bundle)?;
    match control::connect(bundle)? {
        Some(channel) => Request::GoDown.send(&channel, &[]),
        None => Ok(()),
    }
}

/// Has the monitor of the container in `bundle` note how a process there ends that is left alone, as the end of this
/// `exec`, and keep its terminal open if it has one with this `master`.
pub fn leave_alone(
    bundle: &Path,
    exec: &str,
    process: BorrowedFd<'_>,
    master: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    // If there is none, the container has ended, and the process with it.
    let Some(channel) = control::connect(bundle)? else { return Ok(()) };
    if let Some(master) = master {
        Request::Keep.send(&channel, &[master])?;
    }
    // Last: the monitor of an older program hangs up on what it does not know.
    Request::Await { exec: exec.to_owned() }.send(&channel, &[process])
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
            (Report::Exited { code }, _) => Ok(code),
            (Report::TooSlow, _) => Err(LaunchError::TooSlow),
            _ => Err(LaunchError::MonitorLost),
        }
    }

    /// Says that nothing more will be typed. What was taken of [`Running::input`] is to be closed as well.
    pub fn input_ended(&self) -> io::Result<()> {
        Request::InputEnded.send(&self.channel, &[])
    }

    /// Says that nobody needs the container any more, as going away would: one that is to end then is killed. What
    /// became of it is still told by [`Running::wait`].
    pub fn abandon(&self) -> io::Result<()> {
        self.channel.finish_sending()
    }

    fn attached(&self) -> Result<Option<OwnedFd>, LaunchError> {
        match self.report()? {
            (Report::Attached, input) => Ok(input),
            _ => Err(LaunchError::MonitorLost),
        }
    }

    fn report(&self) -> Result<(Report, Option<OwnedFd>), LaunchError> {
        Report::receive(&self.channel)?.ok_or(LaunchError::MonitorLost)
    }
}

/// Readable when the container has ended, its monitor was killed, or it goes on without us.
impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
