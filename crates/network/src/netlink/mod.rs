//! The one module that speaks netlink: sockets, messages and the kernel's answers.
//!
//! Several requests travel in one datagram. The kernel works them off in order before `send` returns, and
//! answers for each that failed; only the last is asked to acknowledge success. The first answer is therefore
//! the verdict: the first failure, or success of all.

mod route;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

pub(crate) use route::{Address, Batch, Part, PortOptions, Route, Veth};

/// A netlink socket, speaking for the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

/// One message of the kernel's.
pub(crate) struct Answer<'a> {
    pub kind: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// The kernel's refusal of one request.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub sequence: u32,
    pub error: io::Error,
}

impl Socket {
    /// `protocol` is `None` for rtnetlink, whose number is 0.
    pub fn open(protocol: Option<Protocol>) -> io::Result<Socket> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        Ok(Socket(socket))
    }

    /// Sends requests of which only the one numbered `last` asks for acknowledgement, and returns the
    /// verdict.
    pub fn transact(&self, requests: &[u8], last: u32) -> Result<(), Refusal> {
        let mut verdict = None;
        self.exchange(requests, |answer| {
            verdict = match answer.error() {
                Some(Ok(())) if answer.sequence == last => Some(Ok(())),
                Some(Err(error)) => Some(Err(Refusal { sequence: answer.sequence, error })),
                _ => None,
            };
            verdict.is_some()
        })
        .map_err(|error| Refusal { sequence: last, error })?;
        let verdict = verdict.expect("an exchange ends with a verdict");
        if verdict.is_err() {
            // More may have failed, and none of that is an answer to what is asked next.
            while recv(&self.0, &mut [0; 16][..], RecvFlags::DONTWAIT).is_ok() {}
        }
        verdict
    }

    /// Sends `requests` and hands over each answer until `done` says so.
    pub fn exchange(&self, requests: &[u8], mut done: impl FnMut(Answer<'_>) -> bool) -> io::Result<()> {
        send(&self.0, requests, SendFlags::empty())?;
        let mut buffer = [0; 8192];
        loop {
            let (length, whole) = match recv(&self.0, &mut buffer[..], RecvFlags::TRUNC) {
                Err(rustix::io::Errno::INTR) => continue,
                received => received?,
            };
            if whole > length {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink message too long"));
            }
            let mut rest = &buffer[..length];
            while let Some((answer, following)) = Answer::split(rest) {
                if done(answer) {
                    return Ok(());
                }
                rest = following;
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<'a> Answer<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Answer<'a>, &'a [u8])> {
        let length = u32_at(bytes, 0)? as usize;
        let payload = bytes.get(HEADER..length)?;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let answer = Answer { kind, sequence: u32_at(bytes, 8)?, payload };
        Some((answer, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
    }

    /// The verdict this answer is, if it is one.
    pub fn error(&self) -> Option<io::Result<()>> {
        match self.kind {
            NLMSG_ERROR | NLMSG_DONE => Some(match u32_at(self.payload, 0).unwrap_or(0).cast_signed() {
                0 => Ok(()),
                code => Err(io::Error::from_raw_os_error(-code)),
            }),
            _ => None,
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
