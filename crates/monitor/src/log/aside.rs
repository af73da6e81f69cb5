//! Output that another process takes to where it is wanted, beside the monitor: see [`super::carrier`].
//!
//! ```text
//!   monitor ── messages, a pipe ──▶ carrier ──▶ journald, a syslog server, or files
//! ```
//!
//! The monitor never waits for it. What the pipe does not take stays here, and then it is a matter of the mode: either
//! nothing more is read of the container's output, so that the container waits once its own pipes are full, and nothing
//! is lost; or up to so many bytes are kept, and what is said beyond that is lost, whole lines at a time.

use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
    process::{Pid, PidfdFlags, pidfd_open},
};
use sys::process::Child;

use super::{
    CARRIER_ROLE, Stream,
    journald::Journald,
    message::{Assembly, Message},
    syslog::Syslog,
};

/// What another process does with a container's output.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Errand {
    pub destination: Destination,
    /// How many bytes are kept for a destination that is slow before something is lost; if `None`, nothing is lost, and
    /// the container waits.
    pub spare: Option<u64>,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Destination {
    /// The files that would otherwise be the monitor's to write.
    Files,
    Journald(Journald),
    Syslog(Syslog),
}

/// The monitor's end.
#[derive(Debug)]
pub(super) struct Aside {
    assembly: Assembly,
    outlet: Outlet,
    spare: Option<usize>,
    process: Child,
    /// Nothing more is said.
    is_ending: bool,
}

impl Aside {
    /// Starts the process that carries out what the order in `bundle` says.
    pub fn start(bundle: &Path, errand: &Errand) -> io::Result<Aside> {
        let (read, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let spare = errand.spare.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if spare.is_none() {
            // For a destination that stalls for a moment. A system that grants less has the container wait sooner.
            let _ = fcntl_setpipe_size(&pipe, ROOM);
        }
        let mut carrier = Command::new("/proc/self/exe");
        carrier.arg0(CARRIER_ROLE).arg(bundle).env_clear();
        Aside::feed(carrier.stdin(read), pipe, spare)
    }

    /// Starts `carrier`, which reads what is written to `pipe`.
    fn feed(carrier: &mut Command, pipe: OwnedFd, spare: Option<usize>) -> io::Result<Aside> {
        let child = carrier.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pid = Pid::from_child(&child);
        let process = Child { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? };
        let outlet = Outlet { pipe: Some(pipe), queue: VecDeque::new() };
        Ok(Aside { assembly: Assembly::default(), outlet, spare, process, is_ending: false })
    }

    /// Passes on what `stream` said at that time.
    pub fn append(&mut self, at: Timestamp, stream: Stream, output: &[u8]) {
        let Aside { assembly, outlet, spare, .. } = self;
        // Asking a full pipe for each of many lines would be dear.
        let mut is_full = false;
        assembly.add(stream, output, |text, whole| {
            if let Some(spare) = *spare {
                let fits = |outlet: &Outlet| {
                    outlet.queue.is_empty() || outlet.queue.len() + Message::HEADER + text.len() <= spare
                };
                if !fits(outlet) && !is_full {
                    outlet.flush();
                    is_full = !fits(outlet);
                }
                if is_full && !fits(outlet) {
                    return;
                }
            }
            Message { stream, at, whole, text }.encode(&mut outlet.queue);
        });
        outlet.flush();
    }

    /// Whether nothing more should be read of the container's output until there is room for it.
    pub fn is_behind(&self) -> bool {
        self.spare.is_none() && !self.outlet.queue.is_empty()
    }

    /// What becomes writable when there is room for what is kept here.
    pub fn behind(&self) -> Option<BorrowedFd<'_>> {
        self.outlet.pipe.as_ref().filter(|_| !self.outlet.queue.is_empty()).map(AsFd::as_fd)
    }

    /// Passes on what was begun and will not be ended, when [`Aside::catch_up`] is called next. Nothing more is to be
    /// appended.
    pub fn end(&mut self) {
        let (outlet, at) = (&mut self.outlet, Timestamp::now());
        self.assembly.finish(|stream, text| {
            Message { stream, at, whole: false, text }.encode(&mut outlet.queue);
        });
        self.is_ending = true;
    }

    /// Uses the room that there is. At the end, whether all that was said is where it is wanted.
    pub fn catch_up(&mut self) -> bool {
        self.outlet.flush();
        if !self.is_ending || !self.outlet.queue.is_empty() {
            return false;
        }
        self.outlet.pipe = None;
        let mut polled = [PollFd::new(&self.process.pidfd, PollFlags::IN)];
        let has_ended = poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        if has_ended {
            // It is ours to collect; how it ended interests nobody.
            let _ = self.process.wait();
        }
        has_ended
    }

    /// Whether much more memory is in use than is needed.
    pub fn is_spread_out(&self) -> bool {
        self.outlet.queue.is_empty() && self.outlet.queue.capacity() > super::BURST
    }

    /// Gives back memory that is not needed.
    pub fn rest(&mut self) {
        self.outlet.queue.shrink_to(super::BURST);
    }

    /// What to wait for at the end, if there is more to catch up with.
    pub fn last(&self) -> PollFd<'_> {
        match &self.outlet.pipe {
            Some(pipe) => PollFd::new(pipe, PollFlags::OUT),
            None => PollFd::new(&self.process.pidfd, PollFlags::IN),
        }
    }
}

/// The pipe, and what it did not take yet.
#[derive(Debug)]
struct Outlet {
    /// `None` once nobody reads it.
    pipe: Option<OwnedFd>,
    queue: VecDeque<u8>,
}

impl Outlet {
    /// Writes what fits.
    fn flush(&mut self) {
        while let (Some(pipe), (first, _)) = (&self.pipe, self.queue.as_slices())
            && !first.is_empty()
        {
            match rustix::io::write(pipe, first) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // There is nobody to take it, and nobody to tell.
                Err(_) => self.pipe = None,
            }
        }
        self.queue.clear();
    }
}

/// How long a container's end waits for the last of its output to be taken, and its output for somebody who takes it:
/// docker's limit.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How much a destination may be behind before the container waits for it.
const ROOM: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_that_has_ended_is_not_waited_for() {
        let (read, pipe) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let mut aside = Aside::feed(Command::new("true").stdin(read), pipe, None).expect("started");
        let mut ended = [PollFd::new(&aside.process.pidfd, PollFlags::IN)];
        poll(&mut ended, None).expect("it ends");
        aside.append(Timestamp::UNIX_EPOCH, Stream::Stdout, b"into the void\n");
        aside.end();
        assert!(aside.catch_up());
        assert!(aside.catch_up(), "that it was collected changes nothing");
    }
}
