//! Carries connections that reach a published port's own socket to the container: those over IPv6, over IPv4 when the firewall's
//! rules are gone, and all to an ordinary user's containers.
//!
//! ```text
//! client ──splice──▶ pipe ──splice──▶ server
//!        ◀──splice── pipe ◀──splice──
//! ```
//!
//! The bytes stay in the kernel. One thread, nothing allocated until somebody connects; a side that does not
//! read stops the side that writes, and each direction ends by itself. The process must ignore SIGPIPE, as
//! Rust programs do.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    net::{
        AddressFamily, Shutdown, SocketFlags, SocketType, accept_with, connect, shutdown, socket_with,
        sockopt,
    },
    pipe::{PipeFlags, SpliceFlags, pipe_with, splice},
};

use crate::RootlessNetns;

/// Relays for the ports of one container. Its descriptor is readable while there is work; then call
/// [`Relay::ready`].
#[derive(Debug)]
pub struct Relay {
    epoll: OwnedFd,
    /// Where the containers are, if not in this network namespace.
    netns: Option<RootlessNetns>,
    listeners: Vec<Listener>,
    connections: Vec<Option<Connection>>,
    /// Distinguishes connections that had the same place one after another.
    generation: u32,
    listening: bool,
}

#[derive(Debug)]
struct Listener {
    socket: OwnedFd,
    target: SocketAddrV4,
}

#[derive(Debug)]
struct Connection {
    generation: u32,
    client: OwnedFd,
    server: OwnedFd,
    upward: Direction,
    downward: Direction,
}

/// Bytes on their way from one socket to the other.
#[derive(Debug)]
struct Direction {
    read: OwnedFd,
    write: OwnedFd,
    buffered: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// The source has said all; the rest is in the pipe.
    Draining,
    Closed,
}

/// How far a direction got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    /// It waits for one of its sockets.
    Blocked,
    /// It had its share; there may be more.
    Yielded,
}

impl Relay {
    /// Relays what arrives at each listening, non-blocking TCP socket to its container's address and port.
    ///
    /// Connections to the containers are made in `netns` or else in the network namespace that this is called in.
    pub fn new(
        listeners: impl IntoIterator<Item = (OwnedFd, SocketAddrV4)>,
        netns: Option<RootlessNetns>,
    ) -> io::Result<Relay> {
        let listeners = listeners.into_iter().map(|(socket, target)| Listener { socket, target }).collect();
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut relay =
            Relay { epoll, netns, listeners, connections: Vec::new(), generation: 0, listening: false };
        relay.listen()?;
        Ok(relay)
    }

    /// From now on, has newcomers carried to this address of the container's.
    pub fn lead_to(&mut self, address: Ipv4Addr) {
        self.listeners.iter_mut().for_each(|listener| listener.target.set_ip(address));
    }

    /// Does the work there is, without blocking.
    pub fn ready(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&rustix::time::Timespec::default()))
        {
            Err(Errno::INTR) => return Ok(()),
            waited => waited?,
        };
        for event in events {
            match Token::from(event.data.u64()) {
                Token::Listener(index) => self.accept(index)?,
                Token::Connection { place, generation } => self.carry(place, generation)?,
            }
        }
        if !self.listening && !self.is_full() {
            self.listen()?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.connections.iter().flatten().count() >= MOST_CONNECTIONS
    }

    fn listen(&mut self) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            epoll::add(&self.epoll, &listener.socket, Token::Listener(index).data(), EventFlags::IN)?;
        }
        self.listening = true;
        Ok(())
    }

    /// Leaves newcomers waiting until somebody leaves.
    fn pause(&mut self) -> io::Result<()> {
        for listener in &self.listeners {
            epoll::delete(&self.epoll, &listener.socket)?;
        }
        self.listening = false;
        Ok(())
    }

    fn accept(&mut self, index: usize) -> io::Result<()> {
        while self.listening {
            if self.is_full() {
                return self.pause();
            }
            let Listener { socket, target } = &self.listeners[index];
            let client = match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => client,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => return self.pause(),
                // The client is gone again, or was refused.
                Err(_) => continue,
            };
            self.generation += 1;
            match Connection::open(client, *target, self.netns.as_ref(), self.generation) {
                Ok(connection) => self.add(connection)?,
                // The client sees its connection closed, as it would if nobody listened.
                Err(_) => continue,
            }
        }
        Ok(())
    }

    fn add(&mut self, connection: Connection) -> io::Result<()> {
        let place = match self.connections.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.connections.push(None);
                self.connections.len() - 1
            }
        };
        let token = Token::Connection { place, generation: connection.generation };
        for socket in [&connection.client, &connection.server] {
            epoll::add(&self.epoll, socket, token.data(), EDGES)?;
        }
        self.connections[place] = Some(connection);
        Ok(())
    }

    fn carry(&mut self, place: usize, generation: u32) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return Ok(()) };
        if connection.generation != generation {
            return Ok(());
        }
        match connection.carry() {
            Ok(Progress::Blocked) if !connection.is_done() => {}
            Ok(Progress::Yielded) => {
                // Reports the sockets' state anew, after the others had their turn.
                let token = Token::Connection { place, generation };
                for socket in [&connection.client, &connection.server] {
                    epoll::modify(&self.epoll, socket, token.data(), EDGES)?;
                }
            }
            // Done, or one side is broken: closing tells the other.
            Ok(Progress::Blocked) | Err(_) => self.connections[place] = None,
        }
        Ok(())
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Connection {
    fn open(
        client: OwnedFd,
        target: SocketAddrV4,
        netns: Option<&RootlessNetns>,
        generation: u32,
    ) -> io::Result<Connection> {
        let server = socket_in(netns, SocketType::STREAM)?;
        for socket in [&client, &server] {
            sockopt::set_tcp_nodelay(socket, true)?;
        }
        match connect(&server, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Connection {
            generation,
            client,
            server,
            upward: Direction::open()?,
            downward: Direction::open()?,
        })
    }

    fn carry(&mut self) -> io::Result<Progress> {
        let up = self.upward.carry(&self.client, &self.server)?;
        let down = self.downward.carry(&self.server, &self.client)?;
        Ok(if up == Progress::Yielded { up } else { down })
    }

    fn is_done(&self) -> bool {
        self.upward.state == State::Closed && self.downward.state == State::Closed
    }
}

/// A non-blocking socket that speaks for `netns`, or else for the network namespace that this is called in.
pub(crate) fn socket_in(netns: Option<&RootlessNetns>, kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let open = || Ok(socket_with(AddressFamily::INET, kind, flags, None)?);
    match netns {
        None => open(),
        Some(netns) => netns.run(open)?,
    }
}

impl Direction {
    fn open() -> io::Result<Direction> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Direction { read, write, buffered: 0, state: State::Open })
    }

    fn carry(&mut self, source: &OwnedFd, destination: &OwnedFd) -> io::Result<Progress> {
        for _ in 0..SHARE {
            let filled = self.fill(source)?;
            let emptied = self.empty(destination)?;
            if self.state == State::Draining && self.buffered == 0 {
                self.state = State::Closed;
                shutdown(destination, Shutdown::Write)?;
            }
            if self.state == State::Closed || !(filled || emptied) {
                return Ok(Progress::Blocked);
            }
        }
        Ok(Progress::Yielded)
    }

    fn fill(&mut self, source: &OwnedFd) -> io::Result<bool> {
        if self.state != State::Open {
            return Ok(false);
        }
        match splice(source, None, &self.write, None, CHUNK, FLAGS) {
            Ok(0) => self.state = State::Draining,
            Ok(count) => self.buffered += count,
            // Nothing to read, or no room in the pipe.
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn empty(&mut self, destination: &OwnedFd) -> io::Result<bool> {
        if self.buffered == 0 {
            return Ok(false);
        }
        match splice(&self.read, None, destination, None, self.buffered, FLAGS) {
            Ok(count) => self.buffered -= count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// What an event is about.
enum Token {
    Listener(usize),
    Connection { place: usize, generation: u32 },
}

impl Token {
    fn data(&self) -> EventData {
        EventData::new_u64(match *self {
            Token::Listener(index) => index as u64,
            Token::Connection { place, generation } => {
                IS_CONNECTION | u64::from(generation) << 16 | place as u64
            }
        })
    }
}

impl From<u64> for Token {
    fn from(data: u64) -> Token {
        if data & IS_CONNECTION == 0 {
            return Token::Listener(data as usize);
        }
        Token::Connection { place: (data & 0xffff) as usize, generation: (data >> 16) as u32 }
    }
}

const IS_CONNECTION: u64 = 1 << 63;
/// Each has six descriptors, and a process usually may have 1024.
const MOST_CONNECTIONS: usize = 128;
const EVENTS: usize = 32;
const EDGES: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
/// A pipe's capacity.
const CHUNK: usize = 65536;
/// How many chunks a direction may carry before others have their turn.
const SHARE: usize = 16;
