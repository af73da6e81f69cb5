//! A connection to somebody who takes messages: datagrams, or one stream.

use std::{
    fs::File,
    io::{self, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
        SocketFlags, SocketType,
        sockopt::{Timeout, set_socket_timeout},
    },
};

#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Datagrams,
    /// The same, but what is too long for a datagram goes as a file.
    DatagramsAndFiles,
    Stream,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It never will be.
    TooLong,
    /// Nobody is there any more.
    Gone,
    /// The receiver takes nothing, and was not to be waited for any longer.
    GivenUp,
}

impl Connection {
    /// To whoever reads datagrams at `path`.
    pub fn datagrams(path: &Path) -> io::Result<Connection> {
        Connection::unix(path, SocketType::DGRAM, Kind::Datagrams)
    }

    /// To whoever reads datagrams at `path`, and the file that comes with an empty one: journald.
    pub fn datagrams_and_files(path: &Path) -> io::Result<Connection> {
        Connection::unix(path, SocketType::DGRAM, Kind::DatagramsAndFiles)
    }

    /// To whoever listens at `path`.
    pub fn stream(path: &Path) -> io::Result<Connection> {
        Connection::unix(path, SocketType::STREAM, Kind::Stream)
    }

    fn unix(path: &Path, socket_type: SocketType, kind: Kind) -> io::Result<Connection> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, socket_type, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Connection::new(socket, kind)
    }

    /// To one of these addresses, by UDP. That somebody is there is not known.
    pub fn udp(addresses: &[SocketAddr]) -> io::Result<Connection> {
        let any: SocketAddr = match addresses.first() {
            Some(SocketAddr::V6(_)) => ([0; 16], 0).into(),
            _ => ([0; 4], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(addresses)?;
        Connection::new(socket.into(), Kind::Datagrams)
    }

    /// To the first of these addresses where somebody listens.
    pub fn tcp(addresses: &[SocketAddr]) -> io::Result<Connection> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect_timeout(address, CONNECTING) {
                Ok(stream) => return Connection::new(stream.into(), Kind::Stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn new(socket: OwnedFd, kind: Kind) -> io::Result<Connection> {
        set_socket_timeout(&socket, Timeout::Send, Some(GLANCE))?;
        Ok(Connection { socket, kind })
    }

    /// Sends one message. Whenever the receiver has taken nothing for a moment, `go_on` says whether to wait for it.
    pub fn send(&self, words: &[u8], mut go_on: impl FnMut() -> bool) -> Result<(), Unsent> {
        if self.kind == Kind::Stream && self.is_closed() {
            return Err(Unsent::Gone);
        }
        let mut left = words;
        loop {
            match rustix::net::send(&self.socket, left, SendFlags::NOSIGNAL) {
                Ok(count) if self.kind == Kind::Stream && count < left.len() => left = &left[count..],
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if go_on() => {}
                Err(Errno::AGAIN) => return Err(Unsent::GivenUp),
                Err(Errno::MSGSIZE | Errno::NOBUFS) if self.kind == Kind::DatagramsAndFiles => {
                    let file = sealed_file(words).map_err(|_| Unsent::TooLong)?;
                    return self.send_file(&file, go_on);
                }
                Err(Errno::MSGSIZE) => return Err(Unsent::TooLong),
                Err(_) => return Err(Unsent::Gone),
            }
        }
    }

    fn send_file(&self, file: &File, mut go_on: impl FnMut() -> bool) -> Result<(), Unsent> {
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let descriptors = [file.as_fd()];
            let fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            debug_assert!(fits, "there is space for one");
            match rustix::net::sendmsg(&self.socket, &[], &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if go_on() => {}
                Err(Errno::AGAIN) => return Err(Unsent::GivenUp),
                Err(_) => return Err(Unsent::Gone),
            }
        }
    }

    /// Whether the other end of a stream was closed: the kernel would take one more message and lose it.
    fn is_closed(&self) -> bool {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !matches!(
            rustix::net::recv(&self.socket, &mut [0; 1], peek),
            Ok((_, 1..)) | Err(Errno::AGAIN | Errno::INTR)
        )
    }
}

/// A file of this content that nobody can change while it is read: journald takes no other.
fn sealed_file(content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("sampan-log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(content)?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file)
}

/// How long one attempt to connect takes at most.
const CONNECTING: Duration = Duration::from_secs(2);
/// How long to wait for a receiver before looking around.
const GLANCE: Duration = Duration::from_millis(500);
