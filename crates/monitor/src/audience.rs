//! Whoever takes part in a container's output besides the log: the launcher, and guests that attach later.
//!
//! Each has descriptors of its own that output is written to, never waiting: a monitor that waits for a pager or a
//! stopped terminal cannot answer names or notice the end. What does not fit stays behind, and meanwhile nothing more
//! is read of that output, so that at most one chunk is kept for each, nobody misses anything, and the container
//! waits once its pipe is full. It waits for the launcher as long as it takes, as in any pipeline: output that was
//! dropped from `run IMAGE dump | ssh …` would be worse than slow. It does not wait for ever for a guest: one that
//! takes nothing for [`PATIENCE`] is told so and left behind.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags},
    io::Errno,
    net::SendFlags,
};
use sys::channel::Channel;

use crate::{control::Report, log::Stream};

/// Everybody who takes part in a container's input and output.
#[derive(Debug, Default)]
pub struct Audience {
    members: Vec<Member>,
    next: u32,
}

/// A process that takes part.
#[derive(Debug)]
pub struct Member {
    pub id: u32,
    pub channel: Channel,
    pub seat: Seat,
    /// Whether it was given the way to the input.
    pub types: bool,
    sinks: Vec<Sink>,
}

/// How a process came to take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    Launcher,
    Guest,
}

/// Where one of the outputs goes for one of the members.
#[derive(Debug)]
struct Sink {
    stream: Stream,
    target: OwnedFd,
    manner: Manner,
    /// What was said and did not fit yet.
    backlog: Vec<u8>,
    /// When it last took something.
    took: Instant,
}

/// How to write without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Nothing special: a file on a disk, or a descriptor that does not block.
    Plain,
    Socket,
    /// A descriptor that others use as well, so that it has to stay blocking: little at a time, and only if there is
    /// room.
    Careful,
}

impl Audience {
    /// Adds a process, which takes part in nothing yet.
    pub fn admit(&mut self, channel: Channel, seat: Seat) -> &Member {
        let id = self.next;
        self.next += 1;
        self.members.push(Member { id, channel, seat, types: false, sinks: Vec::new() });
        self.members.last().expect("just added")
    }

    pub fn member(&mut self, id: u32) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    /// Lets a process go.
    pub fn part(&mut self, id: u32) -> Option<Member> {
        let at = self.members.iter().position(|member| member.id == id)?;
        Some(self.members.remove(at))
    }

    /// Passes on what was said on `stream`.
    pub fn hear(&mut self, stream: Stream, said: &[u8]) {
        for member in &mut self.members {
            // Who closed its end does not listen any more, and still wants to know how it ends.
            member.sinks.retain_mut(|sink| sink.stream != stream || sink.write(said).is_ok());
        }
    }

    /// Gives those that are behind what they take now.
    pub fn catch_up(&mut self) {
        for member in &mut self.members {
            member.sinks.retain_mut(|sink| sink.flush().is_ok());
        }
    }

    /// Whether somebody has not taken yet all that was said on `stream`.
    pub fn is_behind(&self, stream: Stream) -> bool {
        self.sinks().any(|sink| sink.stream == stream && !sink.backlog.is_empty())
    }

    /// What becomes writable when somebody who is behind could take more.
    pub fn behind(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sinks().filter(|sink| !sink.backlog.is_empty()).map(|sink| sink.target.as_fd())
    }

    fn sinks(&self) -> impl Iterator<Item = &Sink> {
        self.members.iter().flat_map(|member| &member.sinks)
    }

    /// When patience with the slowest guest ends; `None` if none is behind.
    pub fn deadline(&self) -> Option<Instant> {
        let guests = self.members.iter().filter(|member| member.seat == Seat::Guest);
        guests.filter_map(Member::waiting_since).min().map(|since| since + PATIENCE)
    }

    /// Leaves behind the guests that have taken nothing for too long.
    pub fn lose_patience(&mut self, now: Instant) {
        self.members.retain(|member| {
            let since = member.waiting_since().filter(|_| member.seat == Seat::Guest);
            let too_slow = since.is_some_and(|since| now >= since + PATIENCE);
            if too_slow {
                // If it is not even there to be told, all the better.
                let _ = Report::TooSlow.send(&member.channel, None);
            }
            !too_slow
        });
    }

    /// Gives everybody the rest of what was said, then `last`; whether the launcher heard it.
    pub fn dismiss(mut self, last: &Report) -> io::Result<bool> {
        let mut launcher_heard = false;
        loop {
            self.catch_up();
            self.members.retain(|member| {
                let done = member.waiting_since().is_none();
                if done && last.send(&member.channel, None).is_ok() {
                    launcher_heard |= member.seat == Seat::Launcher;
                }
                !done
            });
            if self.members.is_empty() {
                return Ok(launcher_heard);
            }
            self.wait_for_the_slow()?;
        }
    }

    /// Waits until somebody takes more, leaves, or has been waited for too long.
    fn wait_for_the_slow(&mut self) -> io::Result<()> {
        let gone: Vec<u32> = {
            let mut polled: Vec<_> =
                self.members.iter().map(|member| PollFd::new(&member.channel, PollFlags::empty())).collect();
            polled.extend(self.behind().map(|target| PollFd::from_borrowed_fd(target, PollFlags::OUT)));
            let left = self.deadline().map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut polled, left.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let hung_up = |polled: &PollFd<'_>| polled.revents().contains(PollFlags::HUP);
            self.members
                .iter()
                .zip(&polled)
                .filter(|(_, p)| hung_up(p))
                .map(|(member, _)| member.id)
                .collect()
        };
        self.members.retain(|member| !gone.contains(&member.id));
        self.lose_patience(Instant::now());
        Ok(())
    }
}

impl Member {
    /// Has what is said on `stream` go to `target` too.
    pub fn listen(&mut self, stream: Stream, target: OwnedFd) -> io::Result<()> {
        let sink = Sink::new(stream, target)?;
        self.sinks.push(sink);
        Ok(())
    }

    /// Since when something has been waiting for it to be taken.
    fn waiting_since(&self) -> Option<Instant> {
        self.sinks.iter().filter(|sink| !sink.backlog.is_empty()).map(|sink| sink.took).min()
    }
}

impl Sink {
    fn new(stream: Stream, target: OwnedFd) -> io::Result<Sink> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode);
        let (target, manner) = match kind {
            FileType::Socket => (target, Manner::Socket),
            // Where in the file to write is the descriptor's to know.
            FileType::RegularFile | FileType::BlockDevice => (target, Manner::Plain),
            // The same pipe or terminal, opened anew: that one does not block need not concern others.
            _ => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                match rustix::fs::open(format!("/proc/self/fd/{}", target.as_raw_fd()), flags, Mode::empty())
                {
                    Ok(own) => (own, Manner::Plain),
                    // /dev/tty is none of ours.
                    Err(_) => (target, Manner::Careful),
                }
            }
        };
        Ok(Sink { stream, target, manner, backlog: Vec::new(), took: Instant::now() })
    }

    /// Writes what fits and keeps the rest.
    fn write(&mut self, bytes: &[u8]) -> rustix::io::Result<()> {
        let written = if self.backlog.is_empty() { self.push(bytes)? } else { 0 };
        if written < bytes.len() {
            if self.backlog.is_empty() {
                self.took = Instant::now();
            }
            self.backlog.extend_from_slice(&bytes[written..]);
        }
        Ok(())
    }

    fn flush(&mut self) -> rustix::io::Result<()> {
        if self.backlog.is_empty() {
            return Ok(());
        }
        let backlog = std::mem::take(&mut self.backlog);
        let written = self.push(&backlog)?;
        if written > 0 {
            self.took = Instant::now();
        }
        if written < backlog.len() {
            self.backlog = backlog;
            self.backlog.drain(..written);
        }
        Ok(())
    }

    /// Writes as much as is taken at once; how much that is.
    fn push(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.attempt(&bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn attempt(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self.manner {
            Manner::Plain => rustix::io::write(&self.target, bytes),
            Manner::Socket => {
                rustix::net::send(&self.target, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
            Manner::Careful => {
                let mut polled = [PollFd::new(&self.target, PollFlags::OUT)];
                poll(&mut polled, Some(&Timespec::default()))?;
                match polled[0].revents().contains(PollFlags::OUT) {
                    true => rustix::io::write(&self.target, &bytes[..bytes.len().min(LITTLE)]),
                    false => Err(Errno::AGAIN),
                }
            }
        }
    }
}

/// How long a guest may take nothing of what waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What fits in a pipe that can be written to at all.
const LITTLE: usize = 4096;

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};

    use super::*;

    fn take(from: &OwnedFd, much: usize) -> Vec<u8> {
        let mut buffer = vec![0; much];
        let count = rustix::io::read(from, &mut buffer).expect("readable");
        buffer.truncate(count);
        buffer
    }

    #[test]
    fn who_is_slow_gets_everything_and_holds_up_nobody_else() {
        let mut audience = Audience::default();
        let mut ends = Vec::new();
        for seat in [Seat::Launcher, Seat::Guest] {
            let (channel, other) = Channel::pair().expect("pair");
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
            let id = audience.admit(channel, seat).id;
            audience.member(id).expect("admitted").listen(Stream::Stdout, write).expect("a pipe");
            ends.push((read, other));
        }
        let room = fcntl_getpipe_size(&ends[0].0).expect("a pipe");
        let said: Vec<u8> = (0..room + 1000).map(|number| number as u8).collect();
        audience.hear(Stream::Stdout, &said);
        assert!(audience.is_behind(Stream::Stdout) && !audience.is_behind(Stream::Stderr));
        assert_eq!(audience.behind().count(), 2);

        // The launcher reads on, the guest does not.
        let mut heard = take(&ends[0].0, said.len());
        audience.catch_up();
        heard.extend(take(&ends[0].0, said.len()));
        assert!(heard == said);
        assert_eq!(audience.behind().count(), 1);

        let deadline = audience.deadline().expect("a guest is behind");
        audience.lose_patience(deadline - Duration::from_secs(1));
        assert_eq!(audience.members.len(), 2);
        audience.lose_patience(deadline);
        assert_eq!(audience.members.len(), 1);
        let report = Report::receive(&ends[1].1).expect("readable").expect("a report").0;
        assert!(matches!(report, Report::TooSlow), "{report:?}");
        assert!(audience.deadline().is_none() && !audience.is_behind(Stream::Stdout));
    }

    #[test]
    fn the_launcher_is_waited_for_until_it_leaves() {
        let mut audience = Audience::default();
        let (channel, other) = Channel::pair().expect("pair");
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let id = audience.admit(channel, Seat::Launcher).id;
        audience.member(id).expect("admitted").listen(Stream::Stderr, write).expect("a pipe");
        let room = fcntl_getpipe_size(&read).expect("a pipe");
        audience.hear(Stream::Stderr, &vec![b'x'; room + 1]);
        assert!(audience.deadline().is_none() && audience.is_behind(Stream::Stderr));
        drop(other);
        assert!(
            !audience.dismiss(&Report::Exited { code: 0 }).expect("waited"),
            "nobody is there to hear it"
        );
    }

    #[test]
    fn who_closed_an_output_still_hears_of_the_end() {
        let mut audience = Audience::default();
        let (channel, other) = Channel::pair().expect("pair");
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let id = audience.admit(channel, Seat::Launcher).id;
        audience.member(id).expect("admitted").listen(Stream::Stdout, write).expect("a pipe");
        drop(read);
        audience.hear(Stream::Stdout, b"into the void");
        assert!(audience.dismiss(&Report::Exited { code: 3 }).expect("nothing to wait for"));
        let report = Report::receive(&other).expect("readable").expect("a report").0;
        assert!(matches!(report, Report::Exited { code: 3 }), "{report:?}");
    }
}
