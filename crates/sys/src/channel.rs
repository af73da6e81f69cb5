//! Messages between two processes of ours, with descriptors attached: a SOCK_SEQPACKET pair. See unix(7).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
};

/// One end of a pair. A message arrives whole or not at all.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What arrived.
#[derive(Debug)]
pub struct Message {
    pub bytes: Vec<u8>,
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Two connected ends; both close on exec.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (a, b) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Channel(a), Channel(b)))
    }

    /// Sends `bytes`, at most some 200 kB, and up to [`MOST_DESCRIPTORS`] descriptors. Never raises SIGPIPE.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }

    /// Says that nothing more will be sent, as closing this end would, but goes on receiving.
    pub fn finish_sending(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, Shutdown::Write)?)
    }

    /// Waits for the next message; `None` once the other end is closed.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let peek = RecvFlags::PEEK | RecvFlags::TRUNC;
        let size = match rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.0, Vec::<u8>::new().as_mut_slice(), peek)
        }) {
            Ok((_, size)) => size,
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = vec![0; size];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        if received.bytes == 0 {
            return Ok(None);
        }
        let descriptors = ancillary
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        Ok(Some(Message { bytes, descriptors }))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Channel {
        Channel(socket)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.0
    }
}

/// How many descriptors one message carries at most.
pub const MOST_DESCRIPTORS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_borders_and_their_descriptors() {
        let (a, b) = Channel::pair().expect("socketpair");
        a.send(b"one", &[a.as_fd()]).expect("send");
        a.send(&[7; 100_000], &[]).expect("send");
        drop(a);
        let first = b.receive().expect("receive").expect("a message");
        assert_eq!((first.bytes.as_slice(), first.descriptors.len()), (&b"one"[..], 1));
        drop(first);
        let second = b.receive().expect("receive").expect("a message");
        assert_eq!((second.bytes.len(), second.descriptors.len()), (100_000, 0));
        assert!(b.receive().expect("receive").is_none(), "the other end is closed");
    }

    #[test]
    fn who_has_said_everything_still_hears_the_answer() {
        let (a, b) = Channel::pair().expect("socketpair");
        a.finish_sending().expect("shutdown");
        assert!(b.receive().expect("receive").is_none());
        b.send(b"answer", &[]).expect("send");
        assert_eq!(a.receive().expect("receive").expect("a message").bytes, b"answer");
    }
}
