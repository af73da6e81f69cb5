//! Asks name servers for addresses, as `/etc/resolv.conf` says. See resolv.conf(5).
//!
//! The program is linked statically, and the C library's resolver loads shared libraries.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE, rdata::RData};

/// What `/etc/resolv.conf` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Configuration {
    pub servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with fewer dots is first looked for below the `search` domains.
    dots: usize,
    /// How long each server has.
    patience: Duration,
    attempts: u32,
}

/// What the servers said of a name.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
    NoSuchName,
    /// None of the servers had a usable answer in time.
    Nothing,
}

impl Configuration {
    /// Reads the text of a resolv.conf; unknown lines are for others.
    pub fn parse(text: &str) -> Configuration {
        let mut configuration = Configuration {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            patience: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => configuration.servers.extend(words.next().and_then(server)),
                Some("search" | "domain") => {
                    configuration.search = words
                        .map(|domain| domain.trim_matches('.').to_owned())
                        .filter(|d| !d.is_empty())
                        .collect();
                }
                Some("options") => words.for_each(|option| configuration.set(option)),
                _ => {}
            }
        }
        configuration.servers.truncate(SERVERS);
        if configuration.servers.is_empty() {
            configuration.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        }
        configuration
    }

    fn set(&mut self, option: &str) {
        let Some((name, Ok(value))) =
            option.split_once(':').map(|(name, value)| (name, value.parse::<u32>()))
        else {
            return;
        };
        match name {
            "ndots" => self.dots = value.min(15) as usize,
            "timeout" => self.patience = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The addresses of `host`, IPv4 first.
    pub fn look_up(&self, host: &str) -> Answer {
        let mut outcome = Answer::NoSuchName;
        for name in self.candidates(host) {
            match self.ask_all(&name) {
                Answer::Addresses(found) => return Answer::Addresses(found),
                Answer::NoSuchName => {}
                Answer::Nothing => outcome = Answer::Nothing,
            }
        }
        outcome
    }

    /// The full names that `host` may stand for, in the order to try them.
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let has_enough_dots = host.matches('.').count() >= self.dots;
        names.insert(if has_enough_dots { 0 } else { names.len() }, host.to_owned());
        names
    }

    fn ask_all(&self, name: &str) -> Answer {
        for _ in 0..self.attempts {
            for server in &self.servers {
                let answers = [TYPE::A, TYPE::AAAA].map(|kind| ask(*server, name, kind, self.patience));
                let is_answered = answers.iter().any(Result::is_ok);
                let found: Vec<IpAddr> =
                    answers.into_iter().filter_map(Result::ok).flatten().flatten().collect();
                match (found.is_empty(), is_answered) {
                    (false, _) => return Answer::Addresses(found),
                    (true, true) => return Answer::NoSuchName,
                    (true, false) => {}
                }
            }
        }
        Answer::Nothing
    }
}

fn server(address: &str) -> Option<SocketAddr> {
    // An address of one link names its interface: fe80::1%eth0.
    let address: IpAddr = address.split('%').next()?.parse().ok()?;
    Some(SocketAddr::new(address, PORT))
}

/// Asks one server one question: `None` for a name that does not exist.
fn ask(server: SocketAddr, name: &str, kind: TYPE, patience: Duration) -> io::Result<Option<Vec<IpAddr>>> {
    let id = getrandom::u32().map_err(io::Error::other)? as u16;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let question = Name::new(name).map_err(io::Error::other)?;
    packet.questions.push(Question::new(question, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    let query = packet.build_bytes_vec().map_err(io::Error::other)?;
    let until = Instant::now() + patience;
    match over_udp(server, &query, id, until)? {
        Reply::Whole(answer) => Ok(answer),
        Reply::Truncated => match read(&over_tcp(server, &query, until)?, &query, id) {
            Some(Reply::Whole(answer)) => Ok(answer),
            _ => Err(io::ErrorKind::InvalidData.into()),
        },
    }
}

enum Reply {
    Whole(Option<Vec<IpAddr>>),
    Truncated,
}

fn over_udp(server: SocketAddr, query: &[u8], id: u16, until: Instant) -> io::Result<Reply> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connected, on a port of its own: what anybody else sends does not get here.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        socket.set_read_timeout(Some(left(until)?))?;
        let length = socket.recv(&mut buffer)?;
        if let Some(reply) = read(&buffer[..length], query, id) {
            return Ok(reply);
        }
        if is_failure(&buffer[..length], id) {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

fn over_tcp(server: SocketAddr, query: &[u8], until: Instant) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, left(until)?)?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.set_write_timeout(Some(left(until)?))?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    stream.set_read_timeout(Some(left(until)?))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// What an answer says. `None` if it is not an answer to `query`, or a server's excuse.
fn read(answer: &[u8], query: &[u8], id: u16) -> Option<Reply> {
    // The parser makes room for as many records as the header promises, so what is too small for them is refused.
    let count = |at: usize| Some(usize::from(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?])));
    let records = count(6)? + count(8)? + count(10)?;
    if records * SMALLEST_RECORD > answer.len() || count(4)? != 1 {
        return None;
    }
    // The question comes back as it was, whatever follows: letters may have changed their case.
    let question = &query[HEADER..];
    if !answer.get(HEADER..query.len())?.eq_ignore_ascii_case(question) {
        return None;
    }
    let packet = Packet::parse(answer).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Reply::Truncated);
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Some(Reply::Whole(None)),
        _ => return None,
    }
    // The server has followed the aliases; their targets' addresses are in the same answer.
    let addresses = packet.answers.iter().filter_map(|record| match &record.rdata {
        RData::A(a) => Some(IpAddr::from(Ipv4Addr::from(a.address))),
        RData::AAAA(aaaa) => Some(IpAddr::from(Ipv6Addr::from(aaaa.address))),
        _ => None,
    });
    Some(Reply::Whole(Some(addresses.collect())))
}

/// Whether a server says that it cannot answer: there is no point in waiting for it.
fn is_failure(answer: &[u8], id: u16) -> bool {
    answer.get(..4).is_some_and(|header| {
        header[..2] == id.to_be_bytes() && header[2] & 0x80 != 0 && !matches!(header[3] & 0xf, 0 | 3)
    })
}

const PORT: u16 = 53;
/// As many as the C library asks.
const SERVERS: usize = 3;
const HEADER: usize = 12;
/// A record's name, type, class, lifetime and length take at least this.
const SMALLEST_RECORD: usize = 11;

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
