//! What syslog servers take, as docker's driver puts it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use jiff::{ZonedDateTime, tz::TimeZone};

use super::{Stream, carrier::Receiver, connection::Connection, message::Message};

/// A server, and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Syslog {
    pub address: Address,
    pub words: Words,
    /// 0 to 23.
    pub facility: u8,
    pub tag: String,
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Address {
    /// At one of the sockets that they usually have on the same machine.
    Usual,
    Datagrams(PathBuf),
    Stream(PathBuf),
    Udp(Vec<SocketAddr>),
    Tcp(Vec<SocketAddr>),
}

/// How a message is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Words {
    /// As for a server on the same machine: RFC 3164 without the host's name.
    Local,
    Rfc3164,
    Rfc5424,
    /// With microseconds.
    Rfc5424Micro,
}

impl Address {
    /// Fails if it is known that nobody is there.
    pub fn check(&self) -> io::Result<()> {
        self.connect().map(drop)
    }

    fn connect(&self) -> io::Result<Connection> {
        match self {
            Address::Usual => {
                let datagrams = USUAL.iter().map(|path| Connection::datagrams(Path::new(path)));
                let streams = USUAL.iter().map(|path| Connection::stream(Path::new(path)));
                let found = datagrams.chain(streams).find_map(Result::ok);
                found.ok_or_else(|| io::Error::other("Unix syslog delivery error"))
            }
            Address::Datagrams(path) => Connection::datagrams(path),
            Address::Stream(path) => Connection::stream(path),
            Address::Udp(addresses) => Connection::udp(addresses),
            Address::Tcp(addresses) => Connection::tcp(addresses),
        }
    }
}

impl Syslog {
    pub(super) fn receiver(self) -> Speaker {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Speaker { syslog: self, host, zone: TimeZone::system(), process: std::process::id() }
    }
}

/// One who speaks to a server.
#[derive(Debug)]
pub(super) struct Speaker {
    syslog: Syslog,
    host: String,
    zone: TimeZone,
    process: u32,
}

impl Receiver for Speaker {
    fn connect(&self) -> io::Result<Connection> {
        self.syslog.address.connect()
    }

    fn put(&mut self, message: &Message<'_>, words: &mut Vec<u8>) -> bool {
        if message.text.is_empty() {
            return false;
        }
        let Speaker { syslog: Syslog { words: manner, facility, tag, .. }, host, zone, process } = self;
        let severity = match message.stream {
            Stream::Stdout => 6,
            Stream::Stderr => 3,
        };
        let priority = facility.wrapping_mul(8) | severity;
        let at = message.at.to_zoned_datetime(zone.clone());
        let start = match manner {
            Words::Local => format!("<{priority}>{} {tag}[{process}]: ", at.strftime(STAMP)),
            Words::Rfc3164 => format!("<{priority}>{} {host} {tag}[{process}]: ", at.strftime(STAMP)),
            Words::Rfc5424 => {
                format!("<{priority}>1 {} {host} {tag} {process} {tag} - ", rfc3339(&at, "%FT%T"))
            }
            Words::Rfc5424Micro => {
                format!("<{priority}>1 {} {host} {tag} {process} {tag} - ", rfc3339(&at, "%FT%T.%6f"))
            }
        };
        words.extend_from_slice(start.as_bytes());
        words.extend_from_slice(message.text);
        words.push(b'\n');
        true
    }
}

/// A time in the form `clock`, with how far it is from UTC.
fn rfc3339(at: &ZonedDateTime, clock: &str) -> String {
    let zone = if at.offset().is_zero() { "Z".to_owned() } else { at.strftime("%:z").to_string() };
    format!("{}{zone}", at.strftime(clock))
}

const USUAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
const STAMP: &str = "%b %e %H:%M:%S";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manner: Words, zone: TimeZone, stream: Stream, expected: &str) {
        let syslog = Syslog { address: Address::Usual, words: manner, facility: 3, tag: "web".to_owned() };
        let mut speaker = Speaker { syslog, host: "host".to_owned(), zone, process: 7 };
        let at = "2026-01-02T03:04:05.000600007Z".parse().expect("a time");
        let mut words = Vec::new();
        assert!(speaker.put(&Message { stream, at, whole: true, text: b"hello" }, &mut words));
        assert_eq!(String::from_utf8_lossy(&words), expected);
    }

    #[test]
    fn each_form_is_dockers() {
        let east = || TimeZone::fixed(jiff::tz::offset(1));
        check(Words::Local, TimeZone::UTC, Stream::Stdout, "<30>Jan  2 03:04:05 web[7]: hello\n");
        check(Words::Rfc3164, east(), Stream::Stderr, "<27>Jan  2 04:04:05 host web[7]: hello\n");
        check(
            Words::Rfc5424,
            east(),
            Stream::Stdout,
            "<30>1 2026-01-02T04:04:05+01:00 host web 7 web - hello\n",
        );
        check(
            Words::Rfc5424Micro,
            TimeZone::UTC,
            Stream::Stdout,
            "<30>1 2026-01-02T03:04:05.000600Z host web 7 web - hello\n",
        );
    }

    #[test]
    fn an_empty_line_is_nothing_to_say() {
        let syslog = Syslog { address: Address::Usual, words: Words::Local, facility: 3, tag: String::new() };
        let at = jiff::Timestamp::UNIX_EPOCH;
        let empty = Message { stream: Stream::Stdout, at, whole: true, text: b"" };
        assert!(!syslog.receiver().put(&empty, &mut Vec::new()));
    }
}
