//! Carries datagrams that reach a published port's own socket to an ordinary user's container, and what it answers back.
//!
//! ```text
//! clients ──▶ the port's socket ──▶ one socket for each client ──▶ the container
//! ```
//!
//! By its socket's own port the container tells clients apart. One thread, one epoll, no clock: who has said nothing for a while
//! is forgotten when somebody new comes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    net::{RecvFlags, SendFlags, SocketType, connect, recvfrom, send, sendto},
};

use crate::{
    RootlessNetns,
    places::{Place, Places},
    relay::socket_in,
};

/// Relays for the UDP ports of one container. Its descriptor is readable while there is work; then call
/// [`RelayedDatagrams::ready`].
#[derive(Debug)]
pub struct RelayedDatagrams {
    epoll: OwnedFd,
    netns: RootlessNetns,
    ports: Vec<Port>,
    clients: Places<Client>,
}

#[derive(Debug)]
struct Port {
    socket: OwnedFd,
    target: SocketAddrV4,
}

#[derive(Debug)]
struct Client {
    port: usize,
    address: SocketAddr,
    /// Connected to the container.
    socket: OwnedFd,
    last: Instant,
}

impl RelayedDatagrams {
    /// Relays what arrives at each non-blocking UDP socket to its container's address and port, which are in `netns`.
    pub fn new(
        ports: impl IntoIterator<Item = (OwnedFd, SocketAddrV4)>,
        netns: RootlessNetns,
    ) -> io::Result<RelayedDatagrams> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let ports: Vec<_> = ports.into_iter().map(|(socket, target)| Port { socket, target }).collect();
        for (index, port) in ports.iter().enumerate() {
            epoll::add(&epoll, &port.socket, Token::Port(index).data(), EventFlags::IN)?;
        }
        Ok(RelayedDatagrams { epoll, netns, ports, clients: Places::new(MOST_CLIENTS) })
    }

    /// From now on, has everything carried to this address of the container's.
    pub fn lead_to(&mut self, address: Ipv4Addr) {
        self.ports.iter_mut().for_each(|port| port.target.set_ip(address));
        self.clients = Places::new(MOST_CLIENTS);
    }

    /// Does the work there is, without blocking.
    pub fn ready(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&rustix::time::Timespec::default()))
        {
            Err(Errno::INTR) => return Ok(()),
            waited => waited?,
        };
        let mut buffer = Vec::with_capacity(LONGEST);
        for event in events {
            match Token::from(event.data.u64()) {
                Token::Port(port) => self.carry_in(port, &mut buffer)?,
                Token::Client(place) => self.carry_back(place, &mut buffer),
            }
        }
        Ok(())
    }

    fn carry_in(&mut self, port: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        for _ in 0..SHARE {
            buffer.clear();
            let address = match recvfrom(&self.ports[port].socket, spare_capacity(buffer), RecvFlags::empty())
            {
                Ok((_, _, Some(address))) => SocketAddr::try_from(address).map_err(io::Error::from)?,
                // That a client is unreachable is reported here too.
                Ok(_) | Err(Errno::INTR | Errno::CONNREFUSED) => continue,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            let known = self.clients.all(|client| client.port == port && client.address == address);
            let place = match known.first() {
                Some(place) => *place,
                None => self.admit(port, address)?,
            };
            let client = self.clients.at(place).expect("found or admitted above");
            client.last = Instant::now();
            // A datagram may be lost. One that says that an earlier one was refused is not sent.
            if let Err(Errno::CONNREFUSED) = send(&client.socket, buffer, SendFlags::empty()) {
                let _ = send(&client.socket, buffer, SendFlags::empty());
            }
        }
        Ok(())
    }

    /// Takes in a client, and forgets who has gone or, if there is no room, who was silent for longest.
    fn admit(&mut self, port: usize, address: SocketAddr) -> io::Result<Place> {
        for place in self.clients.all(|client| client.last.elapsed() > SILENCE) {
            self.clients.take(place);
        }
        let place = match self.clients.free() {
            Some(place) => place,
            None => {
                let silent = self.clients.oldest(|client| client.last).expect("all places are taken");
                self.clients.take(silent);
                self.clients.free().expect("one was just left")
            }
        };
        let socket = socket_in(Some(&self.netns), SocketType::DGRAM)?;
        connect(&socket, &self.ports[port].target)?;
        epoll::add(&self.epoll, &socket, Token::Client(place).data(), EventFlags::IN)?;
        self.clients.put(place, Client { port, address, socket, last: Instant::now() });
        Ok(place)
    }

    fn carry_back(&mut self, place: Place, buffer: &mut Vec<u8>) {
        let Some(client) = self.clients.at(place) else { return };
        client.last = Instant::now();
        for _ in 0..SHARE {
            buffer.clear();
            match recvfrom(&client.socket, spare_capacity(buffer), RecvFlags::empty()) {
                // Who is gone, or slow to read, loses it.
                Ok(_) => {
                    let _ =
                        sendto(&self.ports[client.port].socket, buffer, SendFlags::empty(), &client.address);
                }
                Err(Errno::INTR) => {}
                // Nothing more, or nobody listens there.
                Err(_) => return,
            }
        }
    }
}

impl AsFd for RelayedDatagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// What an event is about.
enum Token {
    Port(usize),
    Client(Place),
}

impl Token {
    fn data(&self) -> EventData {
        EventData::new_u64(match *self {
            Token::Port(index) => index as u64,
            Token::Client(Place { index, generation }) => {
                IS_CLIENT | u64::from(generation) << 16 | u64::from(index)
            }
        })
    }
}

impl From<u64> for Token {
    fn from(data: u64) -> Token {
        if data & IS_CLIENT == 0 {
            return Token::Port(data as usize);
        }
        Token::Client(Place { index: data as u16, generation: (data >> 16) as u32 })
    }
}

const IS_CLIENT: u64 = 1 << 63;
/// Each has a descriptor.
const MOST_CLIENTS: usize = 128;
/// As long as docker remembers one.
const SILENCE: Duration = Duration::from_secs(90);
const EVENTS: usize = 32;
/// How many datagrams are carried before others have their turn.
const SHARE: usize = 64;
/// The longest datagram there is.
const LONGEST: usize = 65_535;
