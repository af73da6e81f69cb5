//! What other processes say to a monitor while its container runs.
//!
//! A monitor listens at the socket `control` in the container's directory, which is there from before the container
//! counts as running until it does not any more. Whoever connects is a *guest*; whoever launched the container has a
//! channel of the same kind already. Both send [`Request`]s and get [`Report`]s, one JSON message each:
//!
//! ```text
//!   command ── Attach { input, output, errors } ──▶ monitor    with descriptors for the outputs that are wanted
//!           ◀── Attached ──────────────────────────            with the way to the input, or the terminal
//!           ── InputEnded ────────────────────────▶            nothing more will be typed
//!           ── Reconnect ─────────────────────────▶            the order says something else of the network now
//!           ◀── Reconnected, or Failed ────────────            when the container is connected so
//!           ── Execute { exec, terminal } ───────▶            with the process to start, described in memory
//!           ◀── Executed, or Failed ───────────────
//!           ── GoDown ────────────────────────────▶            the container ends with the machine
//!           ── Keep ──────────────────────────────▶            with the terminal of an exec that is left alone
//!           ── Await { exec } ────────────────────▶            with its process, whose end is to be told of
//!           ◀── Exited { code } ───────────────────            after everything is cleaned up
//!           ◀── TooSlow ───────────────────────────            the output was not taken: see `audience`
//! ```
//!
//! To leave is to close the connection. Output does not pass through this socket: the monitor writes it to the
//! descriptors that came with the request, and input goes straight into the container's pipe or terminal. A message
//! that a monitor does not understand, such as one from a newer program, ends the connection.

use std::{
    fs::File,
    io::{self, BufReader, Seek, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::Process;
use rustix::fs::MemfdFlags;
use sys::channel::{Channel, Listener};
use types::Publish;

use crate::order::TerminalSize;

/// What a process asks of a monitor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Request {
    /// Takes part: in the input, and in those of the outputs that a descriptor is sent for, output before errors.
    Attach { input: bool, output: bool, errors: bool },
    /// Nothing more comes from this process's input. A container that reads only what the first one has to say is
    /// told that its input has ended.
    InputEnded,
    /// Connects the container as its order says by now.
    Reconnect,
    /// Starts the process that comes along as [`pack`] has it, with nothing to read and nobody to write to, or on a terminal of
    /// this size, and notes when it has ended, and how.
    Execute { exec: String, terminal: Option<TerminalSize> },
    /// Stops the container as when the machine goes down.
    GoDown,
    /// Keeps the terminal that comes along open, and what is said there from being waited for, until nobody uses it.
    Keep,
    /// Notes when the process has ended whose pidfd comes along, and how.
    Await { exec: String },
}

/// What a monitor says to a process.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Report {
    /// The program runs, with these ports published. Said to the launcher.
    Started {
        publish: Vec<Publish>,
    },
    Failed(runtime::Failure),
    /// Comes with the way to the input, if that was asked for and is open, or with the terminal, if there is one.
    Attached,
    /// The container is connected as its order says.
    Reconnected,
    /// The process that was to be executed runs.
    Executed,
    /// The output was not taken for too long: it goes on without this process.
    TooSlow,
    /// The program has ended, and nothing of it is left.
    Exited {
        code: u8,
    },
}

/// How a process takes part in a container's input and output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part<'a> {
    /// Whether it wants the way to the input.
    pub input: bool,
    /// Where output and errors go, besides the log.
    pub output: Option<BorrowedFd<'a>>,
    pub errors: Option<BorrowedFd<'a>>,
}

impl Request {
    pub(crate) fn send(&self, channel: &Channel, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        channel.send(&serde_json::to_vec(self)?, descriptors)
    }

    /// Asks for a part.
    pub(crate) fn attach(part: Part<'_>, channel: &Channel) -> io::Result<()> {
        let Part { input, output, errors } = part;
        let descriptors: Vec<_> = output.into_iter().chain(errors).collect();
        let (output, errors) = (output.is_some(), errors.is_some());
        Request::Attach { input, output, errors }.send(channel, &descriptors)
    }

    /// The next request and what came with it; `None` once the other end is closed or talks nonsense.
    pub(crate) fn receive(channel: &Channel) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
        let Some(message) = channel.receive()? else { return Ok(None) };
        Ok(serde_json::from_slice(&message.bytes).ok().map(|request| (request, message.descriptors)))
    }
}

impl Report {
    pub(crate) fn send(&self, channel: &Channel, descriptor: Option<&OwnedFd>) -> io::Result<()> {
        let descriptors: Vec<_> = descriptor.iter().map(|descriptor| descriptor.as_fd()).collect();
        channel.send(&serde_json::to_vec(self)?, &descriptors)
    }

    pub(crate) fn receive(channel: &Channel) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
        let Some(message) = channel.receive()? else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&message.bytes)?, message.descriptors.into_iter().next())))
    }
}

/// A process as a message has it: in memory, for there is no limit to its arguments.
pub(crate) fn pack(process: &Process) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("process", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(process)?)?;
    Ok(file.into())
}

/// Reads what [`pack`] wrote.
pub(crate) fn unpack(packed: OwnedFd) -> io::Result<Process> {
    let mut file = File::from(packed);
    file.rewind()?;
    Ok(serde_json::from_reader(BufReader::new(file))?)
}

/// Listens for guests of the container in the directory `bundle`.
pub(crate) fn listen(bundle: &Path) -> io::Result<Listener> {
    Listener::bind(bundle, SOCKET)
}

/// Lets no more guests in.
pub(crate) fn close(bundle: &Path, listener: Listener) {
    drop(listener);
    sweep(bundle);
}

/// Removes the socket of a monitor that does not listen any more.
pub(crate) fn sweep(bundle: &Path) {
    // One that stays refuses connections as one that is gone does.
    let _ = std::fs::remove_file(bundle.join(SOCKET));
}

/// A connection to the monitor of the container in `bundle`; `None` if the container does not run.
pub(crate) fn connect(bundle: &Path) -> io::Result<Option<Channel>> {
    match Channel::connect(bundle, SOCKET) {
        Ok(channel) => Ok(Some(channel)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

const SOCKET: &str = "control";
