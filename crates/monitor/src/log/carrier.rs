//! The process beside a monitor that takes what its container says to where it is wanted.
//!
//! It may wait, which is all that it is for: the monitor may not, and a thread would not do, for a monitor forks. It ends
//! when its input does, which is when the monitor ends, however that comes about.
//!
//! A receiver that is gone may be about to come back, as when it is started anew: it is looked for until nobody was there
//! for [`PATIENCE`]. From then on what is said is lost, and now and then it is looked for again. One that is there and
//! takes nothing is waited for as long as the container runs.

use std::{
    fs::File,
    io::{self, BufReader},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Writer,
    aside::{Destination, PATIENCE},
    connection::{Connection, Unsent},
    message::Message,
};
use crate::order::Order;

/// `argv[0]` of such a process; the container's directory follows.
pub const CARRIER_ROLE: &str = "sampan-log";

/// Somebody who takes messages.
pub(super) trait Receiver {
    /// A connection to whoever is there now.
    fn connect(&self) -> io::Result<Connection>;

    /// Puts a message as the receiver wants it into `words`, which are empty; whether there is anything to say.
    fn put(&mut self, message: &Message<'_>, words: &mut Vec<u8>) -> bool;
}

/// Plays the role.
pub fn carry(bundle: &Path) -> io::Result<()> {
    rustix::thread::set_name(c"sampan-log")?;
    let order = Order::load(bundle)?.ok_or(io::ErrorKind::NotFound)?;
    let errand = order.errand.ok_or(io::ErrorKind::InvalidInput)?;
    let input = File::from(rustix::stdio::stdin().try_clone_to_owned()?);
    match errand.destination {
        Destination::Files => into_files(
            BufReader::with_capacity(BUFFER, input),
            Writer::new(bundle, order.log_format, order.log),
        ),
        Destination::Journald(journald) => deliver(&input, journald.receiver()),
        Destination::Syslog(syslog) => deliver(&input, syslog.receiver()),
    }
}

fn into_files(mut input: impl io::Read, mut log: Writer) -> io::Result<()> {
    let (mut buffer, mut line) = (Vec::new(), Vec::new());
    while let Some(message) = Message::read(&mut input, &mut buffer)? {
        line.clear();
        line.extend_from_slice(message.text);
        line.extend(message.whole.then_some(b'\n'));
        // A full disk costs entries: there is nobody to tell and nothing to undo.
        let _ = log.append(message.at, message.stream, &line);
        log.compress();
    }
    log.finish()
}

fn deliver(input: &File, receiver: impl Receiver) -> io::Result<()> {
    let mut courier = Courier { receiver, connection: None, absence: None, ending: None };
    let mut reader = BufReader::with_capacity(BUFFER, input);
    let (mut buffer, mut words) = (Vec::new(), Vec::new());
    while let Some(message) = Message::read(&mut reader, &mut buffer)? {
        words.clear();
        if courier.receiver.put(&message, &mut words) {
            courier.deliver(&words, input.as_fd())?;
        }
    }
    Ok(())
}

struct Courier<R> {
    receiver: R,
    connection: Option<Connection>,
    absence: Option<Absence>,
    /// Since when the input is known to have ended.
    ending: Option<Instant>,
}

/// A time in which nobody was there.
#[derive(Clone, Copy)]
struct Absence {
    since: Instant,
    /// When somebody was looked for.
    looked: Instant,
}

impl<R: Receiver> Courier<R> {
    /// Delivers a message, or loses it to a receiver that is gone for good.
    ///
    /// Fails if one that is there takes nothing, and the container has ended too long ago to wait for that.
    fn deliver(&mut self, words: &[u8], input: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let is_hopeless = self.absence.is_some_and(|absence| {
                absence.since.elapsed() >= PATIENCE && absence.looked.elapsed() < LOOK_AGAIN
            });
            if is_hopeless {
                return Ok(());
            }
            let is_new = self.connection.is_none();
            match self.attempt(words, input) {
                Ok(()) => {
                    self.absence = None;
                    return Ok(());
                }
                Err(Unsent::TooLong) => return Ok(()),
                Err(Unsent::GivenUp) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Unsent::Gone) => self.connection = None,
            }
            let now = Instant::now();
            let since = self.absence.map_or(now, |absence| absence.since);
            self.absence = Some(Absence { since, looked: now });
            // Whoever took the place of one that was lost is there at once.
            if is_new {
                if since.elapsed() >= PATIENCE {
                    return Ok(());
                }
                std::thread::sleep(LOOK);
            }
        }
    }

    fn attempt(&mut self, words: &[u8], input: BorrowedFd<'_>) -> Result<(), Unsent> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.receiver.connect().map_err(|_| Unsent::Gone)?),
        };
        connection.send(words, || {
            if self.ending.is_none() && has_ended(input) {
                self.ending = Some(Instant::now());
            }
            self.ending.is_none_or(|since| since.elapsed() < PATIENCE)
        })
    }
}

/// Whether nobody writes to a pipe any more, though there may be something left to read.
fn has_ended(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::default())).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

/// How much is read at once.
const BUFFER: usize = 64 * 1024;
/// How long to wait before looking for a receiver again: at first, and when it seems to be gone for good.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_AGAIN: Duration = Duration::from_secs(2);
