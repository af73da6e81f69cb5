//! Messages between two processes of ours, with descriptors attached: SOCK_SEQPACKET, as a pair or by a path. See
//! unix(7).

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    },
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

    /// Connects to whoever listens at `name` in `directory`; see [`Listener::bind`].
    ///
    /// Fails with `NotFound` or `ConnectionRefused` if nobody does.
    pub fn connect(directory: &Path, name: &str) -> io::Result<Channel> {
        let (_directory, address) = address(directory, name)?;
        let socket = socket(SocketFlags::CLOEXEC)?;
        rustix::net::connect(&socket, &address)?;
        Ok(Channel(socket))
    }

    /// Another descriptor for the same end.
    pub fn try_clone(&self) -> io::Result<Channel> {
        self.0.try_clone().map(Channel)
    }

    /// From now on, [`Channel::receive`] and [`Channel::send`] fail with `WouldBlock` rather than wait.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        Ok(rustix::fs::fcntl_setfl(&self.0, OFlags::NONBLOCK)?)
    }

    /// Sends `bytes`, at most some 200 kB, and up to [`MOST_DESCRIPTORS`] descriptors. Never raises SIGPIPE.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        despite_reset(|| {
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
        let (_, size) = despite_reset(|| rustix::net::recv(&self.0, Vec::<u8>::new().as_mut_slice(), peek))?;
        let mut bytes = vec![0; size];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = despite_reset(|| {
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

/// Does `call` again after an interruption, or a reset: that the other end was closed with something of ours unread is
/// said once, and before what it said last.
fn despite_reset<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::CONNRESET | rustix::io::Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Where others may connect to: a socket with a name in a directory.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Listens at `name` in `directory`, instead of whoever did before. Only the caller's own user may connect.
    pub fn bind(directory: &Path, name: &str) -> io::Result<Listener> {
        let (directory, address) = address(directory, name)?;
        match rustix::fs::unlinkat(&directory, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        // Nobody can connect before the call to listen, so nobody does before the mode is right.
        rustix::net::bind(&socket, &address)?;
        rustix::fs::chmodat(&directory, name, Mode::RUSR | Mode::WUSR, rustix::fs::AtFlags::empty())?;
        rustix::net::listen(&socket, 16)?;
        Ok(Listener(socket))
    }

    /// The next who has connected, if anybody has. The channel does not block.
    pub fn accept(&self) -> io::Result<Option<Channel>> {
        match rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => Ok(Some(Channel(socket))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// The address of `name` in `directory`, valid while the file is open: an address holds 108 bytes, and a path may be
/// longer.
fn address(directory: &Path, name: &str) -> io::Result<(File, SocketAddrUnix)> {
    let directory = File::from(rustix::fs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?);
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))?;
    Ok((directory, address))
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
    fn whoever_listens_by_a_long_path_is_found_and_replaced() {
        let directory = std::env::temp_dir().join(format!("{}-{}", std::process::id(), "x".repeat(200)));
        std::fs::create_dir(&directory).expect("a new directory");
        let kind = |channel: io::Result<Channel>| channel.map(drop).map_err(|error| error.kind());
        assert_eq!(kind(Channel::connect(&directory, "s")), Err(io::ErrorKind::NotFound));
        drop(Listener::bind(&directory, "s").expect("bind"));
        assert_eq!(kind(Channel::connect(&directory, "s")), Err(io::ErrorKind::ConnectionRefused));
        let listener = Listener::bind(&directory, "s").expect("bind");
        assert!(listener.accept().expect("accept").is_none());
        let ours = Channel::connect(&directory, "s").expect("connect");
        let theirs = listener.accept().expect("accept").expect("somebody");
        assert_eq!(theirs.receive().map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        ours.send(b"hello", &[]).expect("send");
        assert_eq!(theirs.receive().expect("receive").expect("a message").bytes, b"hello");
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn last_words_are_heard_from_one_that_did_not_listen() {
        let (a, b) = Channel::pair().expect("socketpair");
        a.send(b"unread", &[]).expect("send");
        b.send(b"last words", &[]).expect("send");
        drop(b);
        assert_eq!(a.receive().expect("receive").expect("a message").bytes, b"last words");
        assert!(a.receive().expect("receive").is_none());
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
