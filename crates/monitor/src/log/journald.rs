//! What systemd's journal takes: its native protocol, with docker's fields. See systemd's `JOURNAL_NATIVE_PROTOCOL`.
//!
//! ```text
//!   NAME=value\n                        a field
//!   NAME\n length u64 LE value \n       one whose value has a line's end in it
//! ```

use std::{fmt::Write, io, path::Path};

use super::{LONGEST, Stream, carrier::Receiver, connection::Connection, message::Message};

/// What each entry says besides the message.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Journald {
    pub fields: Vec<(String, String)>,
}

/// Whether there is a journal on this machine.
pub fn is_there() -> bool {
    connect().is_ok()
}

fn connect() -> io::Result<Connection> {
    Connection::datagrams_and_files(Path::new(SOCKET))
}

impl Journald {
    pub(super) fn receiver(self) -> Chronicler {
        let mut fields = Vec::new();
        for (name, value) in &self.fields {
            field(&mut fields, name, value.as_bytes());
        }
        Chronicler { fields, parts: [None, None] }
    }
}

/// One who writes to the journal.
#[derive(Debug)]
pub(super) struct Chronicler {
    /// Those that each entry has, as they are sent.
    fields: Vec<u8>,
    /// Of each stream, the line that is not at its end yet.
    parts: [Option<Parts>; 2],
}

/// A line that is sent in parts.
#[derive(Debug)]
struct Parts {
    /// The same for all of them, and of no other line.
    id: String,
    sent: u64,
}

impl Receiver for Chronicler {
    fn connect(&self) -> io::Result<Connection> {
        connect()
    }

    fn put(&mut self, message: &Message<'_>, words: &mut Vec<u8>) -> bool {
        let priority = match message.stream {
            Stream::Stdout => "6",
            Stream::Stderr => "3",
        };
        words.reserve(self.fields.len() + LONGEST);
        field(words, "PRIORITY", priority.as_bytes());
        field(words, "MESSAGE", message.text);
        field(words, "SYSLOG_TIMESTAMP", message.at.to_string().as_bytes());
        words.extend_from_slice(&self.fields);
        let parts = &mut self.parts[message.stream as usize];
        if !message.whole || parts.is_some() {
            let Parts { id, sent } = parts.get_or_insert_with(|| Parts { id: new_id(), sent: 0 });
            *sent += 1;
            field(words, "CONTAINER_PARTIAL_ID", id.as_bytes());
            field(words, "CONTAINER_PARTIAL_ORDINAL", sent.to_string().as_bytes());
            field(words, "CONTAINER_PARTIAL_LAST", message.whole.to_string().as_bytes());
        }
        if message.whole {
            *parts = None;
        } else {
            field(words, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        true
    }
}

fn field(words: &mut Vec<u8>, name: &str, value: &[u8]) {
    words.extend_from_slice(name.as_bytes());
    if memchr::memchr(b'\n', value).is_some() {
        words.push(b'\n');
        words.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        words.push(b'=');
    }
    words.extend_from_slice(value);
    words.push(b'\n');
}

/// 64 digits that nobody else has.
fn new_id() -> String {
    let mut random = [0; 32];
    // Should there be no randomness, parts are told apart by their order alone.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    random.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}"); // writing to a String cannot fail
        id
    })
}

const SOCKET: &str = "/run/systemd/journal/socket";

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of an entry; of partial ids only that they are one.
    fn put(chronicler: &mut Chronicler, stream: Stream, text: &[u8], whole: bool) -> Vec<String> {
        let at = "2026-01-02T03:04:05.000000006Z".parse().expect("a time");
        let mut words = Vec::new();
        assert!(chronicler.put(&Message { stream, at, whole, text }, &mut words));
        let text = String::from_utf8(words).expect("text");
        text.lines().map(|line| line.split('=').collect::<Vec<_>>().join(": ")).collect()
    }

    #[test]
    fn a_line_is_an_entry_with_the_containers_fields() {
        let fields = vec![("CONTAINER_NAME".to_owned(), "web".to_owned())];
        let mut chronicler = Journald { fields }.receiver();
        let expected = |priority: &str| [format!("PRIORITY: {priority}"), "MESSAGE: hello".to_owned()];
        for (stream, priority) in [(Stream::Stdout, "6"), (Stream::Stderr, "3")] {
            let entry = put(&mut chronicler, stream, b"hello", true);
            assert_eq!(entry[..2], expected(priority));
            assert_eq!(
                entry[2..],
                ["SYSLOG_TIMESTAMP: 2026-01-02T03:04:05.000000006Z", "CONTAINER_NAME: web"]
            );
        }
    }

    #[test]
    fn the_parts_of_a_line_are_numbered_and_the_last_one_is_known() {
        let mut chronicler = Journald { fields: Vec::new() }.receiver();
        let first = put(&mut chronicler, Stream::Stdout, b"a", false);
        let other = put(&mut chronicler, Stream::Stderr, b"whole", true);
        let last = put(&mut chronicler, Stream::Stdout, b"b", true);
        let next = put(&mut chronicler, Stream::Stdout, b"c", true);
        assert_eq!(
            first[4..],
            [
                "CONTAINER_PARTIAL_ORDINAL: 1",
                "CONTAINER_PARTIAL_LAST: false",
                "CONTAINER_PARTIAL_MESSAGE: true"
            ]
        );
        assert_eq!(last[4..], ["CONTAINER_PARTIAL_ORDINAL: 2", "CONTAINER_PARTIAL_LAST: true"]);
        assert!(first[3].starts_with("CONTAINER_PARTIAL_ID: ") && first[3] == last[3], "{first:?} {last:?}");
        assert_eq!((other.len(), next.len()), (3, 3));
    }

    #[test]
    fn a_value_of_several_lines_is_sent_with_its_length() {
        let mut words = Vec::new();
        field(&mut words, "A", b"1\n2");
        assert_eq!(words, b"A\n\x03\0\0\0\0\0\0\x001\n2\n");
    }
}
