//! Messages over TCP, each behind its length in two bytes.

use std::{io, os::fd::OwnedFd};

use rustix::{
    event::epoll::EventFlags,
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};

/// A non-blocking connection and what is only half read or written.
#[derive(Debug)]
pub(super) struct Stream {
    socket: OwnedFd,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Stream {
    pub fn new(socket: OwnedFd) -> Stream {
        Stream { socket, incoming: Vec::new(), outgoing: Vec::new() }
    }

    /// The next whole message, if it is there. Fails with `UnexpectedEof` when the other side has closed.
    pub fn hear(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let due = match self.incoming.first_chunk() {
                Some(length) => 2 + usize::from(u16::from_be_bytes(*length)),
                None => 2,
            };
            let missing = due - self.incoming.len();
            if missing == 0 {
                let message = self.incoming.split_off(2);
                self.incoming = Vec::new();
                return Ok(Some(message));
            }
            let mut chunk = [0; CHUNK];
            match recv(&self.socket, &mut chunk[..missing.min(CHUNK)], RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((count, _)) => self.incoming.extend_from_slice(&chunk[..count]),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Queues a message.
    pub fn say(&mut self, message: &[u8]) {
        // No message we make or pass on is longer than its transport allows.
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        self.outgoing.extend_from_slice(&length.to_be_bytes());
        self.outgoing.extend_from_slice(&message[..usize::from(length)]);
    }

    /// Sends what is queued, as far as the other side takes it. Fails if it takes too little.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match send(&self.socket, &self.outgoing, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(Errno::AGAIN) if self.outgoing.len() <= MOST_QUEUED => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing = Vec::new();
        Ok(())
    }

    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// What to wait for.
    pub fn interest(&self) -> EventFlags {
        if self.outgoing.is_empty() { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT }
    }
}

const CHUNK: usize = 2048;
const MOST_QUEUED: usize = 128 * 1024;
