//! The name server of a container in user-defined networks: 127.0.0.11, as with docker.
//!
//! ```text
//! the container ──UDP, TCP──▶ Resolver ──names of its networks──▶ files, see Names
//!                                      ──anything else──────────▶ the host's name servers
//! ```
//!
//! What came by UDP is asked by UDP and what came by TCP by TCP: an answer too long for UDP says so, and the
//! client asks again. One thread, no answer is parsed, and nothing is allocated while nobody asks.

mod message;
mod names;
mod query;
mod stream;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    net::{RecvFlags, SendFlags, SocketFlags, accept_with, recvfrom, sendto},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use self::{
    message::{Failure, Question, Transport},
    names::Names,
    query::{Outcome, Query},
    stream::Stream,
};
use crate::{
    NetworkError, firewall,
    namespace::within,
    places::{Place, Places},
};

/// Where a container with names to look up sends its queries, port 53.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Answers one container's queries. Its descriptor is readable while there is work; then call
/// [`Resolver::ready`].
#[derive(Debug)]
pub struct Resolver {
    epoll: OwnedFd,
    timer: OwnedFd,
    udp: OwnedFd,
    tcp: OwnedFd,
    names: Names,
    upstreams: Vec<SocketAddr>,
    queries: Places<Query>,
    clients: Places<Client>,
}

/// A container's connection.
#[derive(Debug)]
struct Client {
    stream: Stream,
    deadline: Instant,
}

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asker {
    Udp(SocketAddr),
    Tcp(Place),
}

impl Resolver {
    /// Answers what arrives at `udp` and at `tcp`, which listens; both non-blocking, from inside the
    /// container.
    ///
    /// `networks` are the directories of the networks the container is in, `upstreams` the servers that know
    /// the rest; none for a container that has only internal networks. They are asked from the calling
    /// thread's network namespace.
    pub fn new(
        udp: OwnedFd,
        tcp: OwnedFd,
        networks: Vec<PathBuf>,
        upstreams: Vec<SocketAddr>,
    ) -> io::Result<Resolver> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        for (source, token) in [(&udp, Token::Udp), (&tcp, Token::Tcp), (&timer, Token::Timer)] {
            epoll::add(&epoll, source, token.data(), EventFlags::IN)?;
        }
        let names = Names::new(networks);
        let (queries, clients) = (Places::new(MOST_QUERIES), Places::new(MOST_CLIENTS));
        Ok(Resolver { epoll, timer, udp, tcp, names, upstreams, queries, clients })
    }

    /// Replaces the networks and the servers: the container joined or left one.
    pub fn reconfigure(&mut self, networks: Vec<PathBuf>, upstreams: Vec<SocketAddr>) {
        self.names = Names::new(networks);
        self.upstreams = upstreams;
    }

    /// Does the work there is, without blocking.
    pub fn ready(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec::default())) {
            Err(Errno::INTR) => return Ok(()),
            waited => waited?,
        };
        let was_idle = self.is_idle();
        for event in events {
            match Token::from(event.data.u64()) {
                Token::Udp => self.receive()?,
                Token::Tcp => self.accept()?,
                Token::Timer => self.expire()?,
                Token::Query(place) => self.advance(place)?,
                Token::Client(place) => self.converse(place)?,
            }
        }
        if was_idle != self.is_idle() {
            self.set_timer()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(LONGEST_QUERY);
        for _ in 0..EVENTS {
            buffer.clear();
            let asker = match recvfrom(&self.udp, spare_capacity(&mut buffer), RecvFlags::empty()) {
                Ok((_, _, Some(asker))) => SocketAddr::try_from(asker).map_err(io::Error::from)?,
                // An unreachable asker is reported here too.
                Ok(_) | Err(Errno::INTR | Errno::CONNREFUSED) => continue,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            self.answer(&buffer, Asker::Udp(asker))?;
        }
        Ok(())
    }

    fn answer(&mut self, query: &[u8], asker: Asker) -> io::Result<()> {
        let transport = match asker {
            Asker::Udp(_) => Transport::Udp,
            Asker::Tcp(_) => Transport::Tcp,
        };
        match Question::parse(query) {
            // Too short for an answer to refer to.
            None => Ok(()),
            Some(Err(failure)) => self.reply(asker, &message::failure(query, failure)),
            Some(Ok(question)) => match self.names.answer(&question) {
                Some(answer) => self.reply(asker, &question.answered(&answer, transport)),
                None if self.upstreams.is_empty() => {
                    self.reply(asker, &message::failure(query, Failure::NoSuchName))
                }
                None => self.forward(query, asker, transport),
            },
        }
    }

    fn forward(&mut self, query: &[u8], asker: Asker, transport: Transport) -> io::Result<()> {
        let Some(place) = self.queries.free() else {
            return self.reply(asker, &message::failure(query, Failure::Server));
        };
        match Query::start(query, asker, transport, &self.upstreams)? {
            Some(started) => {
                let token = Token::Query(place).data();
                epoll::add(&self.epoll, started.socket(), token, started.interest())?;
                self.queries.put(place, started);
                Ok(())
            }
            None => self.reply(asker, &message::failure(query, Failure::Server)),
        }
    }

    /// Carries a forwarded query on.
    fn advance(&mut self, place: Place) -> io::Result<()> {
        let Some(query) = self.queries.at(place) else { return Ok(()) };
        match query.advance() {
            Outcome::Waiting => {
                epoll::modify(&self.epoll, query.socket(), Token::Query(place).data(), query.interest())?;
                Ok(())
            }
            Outcome::Answered(answer) => self.conclude(place, &answer),
            Outcome::Failed => self.retry(place),
        }
    }

    /// Asks the next server, or gives up.
    fn retry(&mut self, place: Place) -> io::Result<()> {
        let Some(query) = self.queries.at(place) else { return Ok(()) };
        if query.next_upstream(&self.upstreams)? {
            epoll::add(&self.epoll, query.socket(), Token::Query(place).data(), query.interest())?;
            return Ok(());
        }
        let answer = query.give_up();
        self.conclude(place, &answer)
    }

    fn conclude(&mut self, place: Place, answer: &[u8]) -> io::Result<()> {
        match self.queries.take(place) {
            Some(query) => self.reply(query.asker(), answer),
            None => Ok(()),
        }
    }

    fn reply(&mut self, asker: Asker, answer: &[u8]) -> io::Result<()> {
        match asker {
            Asker::Udp(address) => {
                // A lost answer is asked for again; a full buffer is no reason to stop answering others.
                let _ = sendto(&self.udp, answer, SendFlags::empty(), &address);
                Ok(())
            }
            Asker::Tcp(place) => {
                let Some(client) = self.clients.at(place) else { return Ok(()) };
                client.stream.say(answer);
                self.flush(place)
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match accept_with(&self.tcp, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => socket,
                Err(Errno::AGAIN | Errno::MFILE | Errno::NFILE) => return Ok(()),
                Err(_) => continue,
            };
            // Of too many connections the newest is closed: the container crowds out itself only.
            let Some(place) = self.clients.free() else { continue };
            let stream = Stream::new(socket);
            epoll::add(&self.epoll, stream.socket(), Token::Client(place).data(), stream.interest())?;
            self.clients.put(place, Client { stream, deadline: Instant::now() + PATIENCE });
        }
    }

    /// Hears what a connected container asks.
    fn converse(&mut self, place: Place) -> io::Result<()> {
        loop {
            let Some(client) = self.clients.at(place) else { return Ok(()) };
            match client.stream.hear() {
                Ok(Some(query)) => {
                    client.deadline = Instant::now() + PATIENCE;
                    self.answer(&query, Asker::Tcp(place))?;
                }
                Ok(None) => return self.flush(place),
                Err(_) => {
                    self.clients.take(place);
                    return Ok(());
                }
            }
        }
    }

    /// Sends what is due to a connected container.
    fn flush(&mut self, place: Place) -> io::Result<()> {
        let Some(client) = self.clients.at(place) else { return Ok(()) };
        if client.stream.flush().is_err() {
            self.clients.take(place);
            return Ok(());
        }
        epoll::modify(
            &self.epoll,
            client.stream.socket(),
            Token::Client(place).data(),
            client.stream.interest(),
        )?;
        Ok(())
    }

    /// Gives up on servers and containers that had their time.
    fn expire(&mut self) -> io::Result<()> {
        let mut expirations = [0; 8];
        match rustix::io::read(&self.timer, &mut expirations[..]) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        for place in self.clients.all(|client| client.deadline <= now) {
            self.clients.take(place);
        }
        for place in self.queries.all(|query| query.deadline() <= now) {
            self.retry(place)?;
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.queries.is_empty() && self.clients.is_empty()
    }

    /// Ticks only while somebody waits.
    fn set_timer(&self) -> io::Result<()> {
        let tick = if self.is_idle() { Duration::ZERO } else { TICK };
        let tick = Timespec { tv_sec: 0, tv_nsec: tick.subsec_nanos().into() };
        let every = Itimerspec { it_interval: tick, it_value: tick };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &every)?;
        Ok(())
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Leads queries inside `netns` for [`ADDRESS`], port 53, to the ports a resolver has there, so that the
/// container may have port 53 of all its addresses for itself.
pub fn redirect(netns: BorrowedFd<'_>, udp: u16, tcp: u16) -> Result<(), NetworkError> {
    within(netns, || firewall::redirect_dns(ADDRESS, udp, tcp))
        .map_err(NetworkError::refused("enter the container's network namespace"))?
}

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    Udp,
    Tcp,
    Timer,
    Query(Place),
    Client(Place),
}

impl Token {
    fn data(self) -> EventData {
        let placed =
            |kind: u64, place: Place| kind | u64::from(place.index) << 8 | u64::from(place.generation) << 32;
        EventData::new_u64(match self {
            Token::Udp => 0,
            Token::Tcp => 1,
            Token::Timer => 2,
            Token::Query(place) => placed(3, place),
            Token::Client(place) => placed(4, place),
        })
    }
}

impl From<u64> for Token {
    fn from(data: u64) -> Token {
        let place = Place { index: (data >> 8) as u16, generation: (data >> 32) as u32 };
        match data as u8 {
            0 => Token::Udp,
            1 => Token::Tcp,
            2 => Token::Timer,
            3 => Token::Query(place),
            _ => Token::Client(place),
        }
    }
}

/// Each has a socket; an idle resolver has none.
const MOST_QUERIES: usize = 128;
const MOST_CLIENTS: usize = 32;
const EVENTS: usize = 32;
const LONGEST_QUERY: usize = 4096;
/// How long a connected container may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(250);
