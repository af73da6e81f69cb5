//! A query that others answer: one server after another is asked, each from a new socket and with a new
//! number.

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::EventFlags,
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with},
    rand::{GetRandomFlags, getrandom},
};

use super::{
    Asker,
    message::{self, Failure, Transport},
    stream::Stream,
};

/// A query on its way.
#[derive(Debug)]
pub(super) struct Query {
    asker: Asker,
    transport: Transport,
    query: Vec<u8>,
    /// The number the server knows the query by.
    id: u16,
    /// The place of the server being asked.
    upstream: usize,
    channel: Channel,
    deadline: Instant,
    /// What a server said that could not answer.
    refusal: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Channel {
    Udp(OwnedFd),
    Tcp(Stream),
}

pub(super) enum Outcome {
    Waiting,
    Answered(Vec<u8>),
    /// This server has no answer for us.
    Failed,
}

impl Query {
    /// Asks the first of `upstreams` that can be asked. `None` if none can.
    pub fn start(
        query: &[u8],
        asker: Asker,
        transport: Transport,
        upstreams: &[SocketAddr],
    ) -> io::Result<Option<Query>> {
        for (upstream, address) in upstreams.iter().enumerate() {
            let id = random()?;
            if let Ok(channel) = ask(query, id, *address, transport) {
                let (query, deadline) = (query.to_vec(), Instant::now() + PATIENCE);
                return Ok(Some(Query {
                    asker,
                    transport,
                    query,
                    id,
                    upstream,
                    channel,
                    deadline,
                    refusal: None,
                }));
            }
        }
        Ok(None)
    }

    /// Asks the next server that can be asked. False if none is left.
    pub fn next_upstream(&mut self, upstreams: &[SocketAddr]) -> io::Result<bool> {
        for (upstream, address) in upstreams.iter().enumerate().skip(self.upstream + 1) {
            let id = random()?;
            if let Ok(channel) = ask(&self.query, id, *address, self.transport) {
                let deadline = Instant::now() + PATIENCE;
                (self.id, self.upstream, self.channel, self.deadline) = (id, upstream, channel, deadline);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends and receives what it can.
    pub fn advance(&mut self) -> Outcome {
        let received = match &mut self.channel {
            Channel::Udp(socket) => receive(socket),
            Channel::Tcp(stream) => stream.flush().and_then(|()| stream.hear()),
        };
        match received {
            Ok(None) => Outcome::Waiting,
            Ok(Some(answer)) if !message::answers(&answer, &self.query, self.id) => Outcome::Waiting,
            Ok(Some(mut answer)) => {
                answer[..2].copy_from_slice(&self.query[..2]);
                if message::is_failure(&answer) {
                    self.refusal = Some(answer);
                    return Outcome::Failed;
                }
                Outcome::Answered(answer)
            }
            Err(_) => Outcome::Failed,
        }
    }

    /// The answer when no server has one.
    pub fn give_up(&mut self) -> Vec<u8> {
        self.refusal.take().unwrap_or_else(|| message::failure(&self.query, Failure::Server))
    }

    pub fn asker(&self) -> Asker {
        self.asker
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub fn socket(&self) -> &OwnedFd {
        match &self.channel {
            Channel::Udp(socket) => socket,
            Channel::Tcp(stream) => stream.socket(),
        }
    }

    pub fn interest(&self) -> EventFlags {
        match &self.channel {
            Channel::Udp(_) => EventFlags::IN,
            Channel::Tcp(stream) => stream.interest(),
        }
    }
}

fn ask(query: &[u8], id: u16, server: SocketAddr, transport: Transport) -> io::Result<Channel> {
    let family = if server.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match transport {
        Transport::Udp => SocketType::DGRAM,
        Transport::Tcp => SocketType::STREAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let mut query = query.to_vec();
    query[..2].copy_from_slice(&id.to_be_bytes());
    match transport {
        Transport::Udp => {
            send(&socket, &query, SendFlags::NOSIGNAL)?;
            Ok(Channel::Udp(socket))
        }
        Transport::Tcp => {
            let mut stream = Stream::new(socket);
            stream.say(&query);
            Ok(Channel::Tcp(stream))
        }
    }
}

fn receive(socket: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut answer = Vec::with_capacity(LONGEST_ANSWER);
    match recv(socket, spare_capacity(&mut answer), RecvFlags::empty()) {
        Ok(_) => {
            answer.shrink_to_fit();
            Ok(Some(answer))
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn random() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(bytes))
}

/// How long a server may think.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: usize = 65535;
