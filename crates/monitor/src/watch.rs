//! The event loop: a container's output, its end, its names and ports, and whoever launched it.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use network::{Relay, dns::Resolver};
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    fs::OFlags,
    io::Errno,
    process::Signal,
};
use sys::{channel::Channel, process::Child};

use crate::{
    connection::Connection,
    log::{self, Stream},
    order::OnAbandon,
    role::Launcher,
};

/// Everything a monitor waits for.
pub struct Watch<'a> {
    pub on_abandon: OnAbandon,
    pub process: &'a Child,
    pub channel: &'a Channel,
    pub outputs: Vec<Output>,
    /// Where output and errors also go while the launcher is there.
    pub foreground: Option<(OwnedFd, OwnedFd)>,
    pub connection: Option<&'a mut Connection>,
}

/// Our end of one of the container's outputs.
#[derive(Debug)]
pub struct Output {
    stream: Stream,
    source: OwnedFd,
}

impl Output {
    pub fn new(stream: Stream, source: OwnedFd) -> Output {
        Output { stream, source }
    }
}

impl Watch<'_> {
    /// Serves the container until its first process has ended and all its output is written.
    pub fn until_the_end(mut self, mut log: log::Writer) -> io::Result<(u8, Launcher)> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        add(&poll, self.process.pidfd.as_fd(), PROCESS)?;
        add(&poll, self.channel.as_fd(), CHANNEL)?;
        if let Some(connection) = &self.connection {
            connection.relay.iter().try_for_each(|relay| add(&poll, relay.as_fd(), RELAY))?;
            connection.resolver.iter().try_for_each(|resolver| add(&poll, resolver.as_fd(), RESOLVER))?;
        }
        for (index, output) in (OUTPUTS..).zip(&self.outputs) {
            rustix::fs::fcntl_setfl(&output.source, OFlags::NONBLOCK)?;
            add(&poll, output.source.as_fd(), index)?;
        }
        let mut launcher = Launcher::Listens;
        let mut buffer = vec![MaybeUninit::uninit(); CHUNK];
        let mut events = [MaybeUninit::uninit(); 8];
        loop {
            let (ready, _) = match epoll::wait(&poll, &mut events, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for event in ready.iter() {
                match event.data.u64() {
                    PROCESS => {
                        let code = self.process.wait()?;
                        self.drain(&mut buffer, &mut log);
                        return Ok((code, launcher));
                    }
                    CHANNEL => {
                        // The launcher never says anything more: it is gone.
                        launcher = Launcher::Gone;
                        self.foreground = None;
                        epoll::delete(&poll, self.channel)?;
                        if self.on_abandon == OnAbandon::End {
                            // It fails only if the process has just ended by itself.
                            let _ = sys::process::signal(self.process.pidfd.as_fd(), Signal::KILL.as_raw());
                        }
                    }
                    // An error here concerns the machine as a whole, such as no descriptor left: the container
                    // runs on, and the next event tries again.
                    RELAY => drop(self.relay().map(Relay::ready)),
                    RESOLVER => drop(self.resolver().map(Resolver::ready)),
                    index => {
                        let index = (index - OUTPUTS) as usize;
                        if self.pass_on(index, &mut buffer, &mut log) == Progress::Closed {
                            epoll::delete(&poll, &self.outputs[index].source)?;
                        }
                    }
                }
            }
        }
    }

    fn relay(&mut self) -> Option<&mut Relay> {
        self.connection.as_mut()?.relay.as_mut()
    }

    fn resolver(&mut self) -> Option<&mut Resolver> {
        self.connection.as_mut()?.resolver.as_mut()
    }

    /// Writes what the container left in its pipes. No process of it is left to write more.
    fn drain(&mut self, buffer: &mut [MaybeUninit<u8>], log: &mut log::Writer) {
        for index in 0..self.outputs.len() {
            while self.pass_on(index, buffer, log) == Progress::More {}
        }
    }

    /// Passes on one chunk of an output.
    fn pass_on(&mut self, index: usize, buffer: &mut [MaybeUninit<u8>], log: &mut log::Writer) -> Progress {
        let Output { stream, source } = &self.outputs[index];
        let chunk = match rustix::io::read(source, &mut *buffer) {
            Ok((chunk, _)) if !chunk.is_empty() => chunk,
            Err(Errno::AGAIN | Errno::INTR) => return Progress::NothingNow,
            // A terminal whose last slave is closed gives EIO.
            Ok(_) | Err(_) => return Progress::Closed,
        };
        // A full disk costs log entries, never the container: there is nobody to tell and nothing to undo.
        let _ = log.append(*stream, chunk);
        if let Some((output, errors)) = &self.foreground {
            let target = match stream {
                Stream::Stdout => output,
                Stream::Stderr => errors,
            };
            if write_all(target.as_fd(), chunk).is_err() {
                self.foreground = None;
            }
        }
        Progress::More
    }
}

#[derive(PartialEq, Eq)]
enum Progress {
    More,
    NothingNow,
    Closed,
}

fn add(poll: &OwnedFd, source: BorrowedFd<'_>, key: u64) -> io::Result<()> {
    Ok(epoll::add(poll, source, EventData::new_u64(key), EventFlags::IN)?)
}

fn write_all(target: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(target, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            // The launcher's terminal may be non-blocking: some program in it left it so.
            Err(Errno::AGAIN) => {
                let mut wait =
                    [rustix::event::PollFd::from_borrowed_fd(target, rustix::event::PollFlags::OUT)];
                rustix::event::poll(&mut wait, None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How much is read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

const PROCESS: u64 = 0;
const CHANNEL: u64 = 1;
const RELAY: u64 = 2;
const RESOLVER: u64 = 3;
const OUTPUTS: u64 = 4;
