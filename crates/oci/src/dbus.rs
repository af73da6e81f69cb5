//! As much of D-Bus as it takes to have one peer do something: no bus in between, one call at a time, no descriptors.
//!
//! See the D-Bus specification, "Message Protocol". What is written is little-endian, as each message says of itself.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// A peer that listens to this process.
pub struct Peer {
    stream: UnixStream,
    serial: u32,
}

/// What is to be done by whom.
pub struct Method<'a> {
    pub destination: &'a str,
    pub object: &'a str,
    pub interface: &'a str,
    pub name: &'a str,
}

/// Values on their way, and of what types they are.
#[derive(Debug, Default)]
pub struct Arguments {
    signature: String,
    bytes: Bytes,
}

impl Peer {
    /// Connects to whoever listens at `socket`, as the user that the kernel says this is.
    pub fn connect(socket: &Path) -> io::Result<Peer> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        write!(stream, "\0AUTH EXTERNAL {user}\r\n")?;
        let said = line(&mut stream)?;
        if !said.starts_with("OK ") {
            return Err(io::Error::other(format!("it says {said:?}")));
        }
        write!(stream, "BEGIN\r\n")?;
        Ok(Peer { stream, serial: 0 })
    }

    /// Has `method` done, and waits until it is. What the answer holds is not looked at, unless it is an error.
    pub fn call(&mut self, method: &Method<'_>, arguments: Arguments) -> io::Result<()> {
        self.serial += 1;
        let mut message = Bytes::default();
        message.0.extend([b'l', CALL, 0, VERSION]);
        message.number(arguments.bytes.0.len() as u32);
        message.number(self.serial);
        message.array(8, |fields| {
            let fields_of_text = [
                (PATH, "o", method.object),
                (INTERFACE, "s", method.interface),
                (MEMBER, "s", method.name),
                (DESTINATION, "s", method.destination),
            ];
            for (field, kind, value) in fields_of_text {
                fields.align(8);
                fields.0.push(field);
                fields.signature(kind);
                fields.text(value);
            }
            fields.align(8);
            fields.0.push(SIGNATURE);
            fields.signature("g");
            fields.signature(&arguments.signature);
        });
        message.align(8);
        message.0.extend(arguments.bytes.0);
        self.stream.write_all(&message.0)?;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                RETURN => return Ok(()),
                // Its first argument is for people.
                ERROR => {
                    return Err(io::Error::other(
                        first_text(&body).unwrap_or("an error without a text").to_owned(),
                    ));
                }
                // Signals, for those who want to know.
                _ => {}
            }
        }
    }

    /// The kind of the next message, and its arguments.
    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut start = [0; 16];
        self.stream.read_exact(&mut start)?;
        let number =
            |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]) as usize;
        let (body, fields) = (number(4), number(12).next_multiple_of(8));
        if start[0] != b'l' || body.max(fields) > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = vec![0; fields + body];
        self.stream.read_exact(&mut rest)?;
        Ok((start[1], rest.split_off(fields)))
    }
}

impl Arguments {
    pub fn text(mut self, text: &str) -> Arguments {
        self.signature.push('s');
        self.bytes.text(text);
        self
    }

    pub fn truth(mut self, truth: bool) -> Arguments {
        self.signature.push('b');
        self.bytes.number(truth.into());
        self
    }

    /// Names with values.
    pub fn properties(mut self, properties: &[(&str, Value<'_>)]) -> Arguments {
        self.signature.push_str("a(sv)");
        self.bytes.array(8, |all| {
            for (name, value) in properties {
                all.align(8);
                all.text(name);
                all.value(value);
            }
        });
        self
    }

    /// No `(sa(sv))` at all.
    pub fn no_units(mut self) -> Arguments {
        self.signature.push_str("a(sa(sv))");
        self.bytes.array(8, |_| {});
        self
    }
}

/// What a property may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Text(&'a str),
    Truth(bool),
    Long(u64),
    Numbers(&'a [u32]),
}

#[derive(Debug, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, signature: &str) {
        self.0.push(signature.len() as u8);
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Value::Truth(truth) => {
                self.signature("b");
                self.number((*truth).into());
            }
            Value::Long(number) => {
                self.signature("t");
                self.align(8);
                self.0.extend(number.to_le_bytes());
            }
            Value::Numbers(numbers) => {
                self.signature("au");
                self.array(4, |all| numbers.iter().for_each(|number| all.number(*number)));
            }
        }
    }

    /// An array of elements that begin at multiples of `alignment`. Its length counts from the first of them.
    fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Bytes)) {
        self.number(0);
        let length = self.0.len() - 4;
        self.align(alignment);
        let begin = self.0.len();
        write(self);
        let written = (self.0.len() - begin) as u32;
        self.0[length..length + 4].copy_from_slice(&written.to_le_bytes());
    }
}

fn first_text(body: &[u8]) -> Option<&str> {
    let (length, text) = body.split_first_chunk::<4>()?;
    std::str::from_utf8(text.get(..u32::from_le_bytes(*length) as usize)?).ok()
}

/// What is said up to the end of a line.
fn line(stream: &mut UnixStream) -> io::Result<String> {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"\r\n") && said.len() < LONGEST {
        stream.read_exact(&mut byte)?;
        said.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(said.trim_ascii_end()).into_owned())
}

const VERSION: u8 = 1;
/// Kinds of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
/// Fields of a message's header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;
/// More than any answer has.
const LONGEST: usize = 1 << 20;
/// As long as everybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    const METHOD: Method<'_> = Method { destination: "d.e", object: "/o", interface: "i.f", name: "N" };

    /// What whoever is called hears, and what the call comes to if it answers so.
    fn call(answers: Vec<Vec<u8>>) -> (Vec<u8>, io::Result<()>) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(line(&mut stream).unwrap().starts_with("\0AUTH EXTERNAL 3"));
            stream.write_all(b"OK 0123\r\n").unwrap();
            assert_eq!(line(&mut stream).unwrap(), "BEGIN");
            let mut heard = vec![0; 184];
            stream.read_exact(&mut heard).unwrap();
            answers.iter().for_each(|answer| stream.write_all(answer).unwrap());
            heard
        });
        let arguments = Arguments::default().text("unit").properties(&[
            ("Long", Value::Long(7)),
            ("Some", Value::Numbers(&[1, 2])),
            ("True", Value::Truth(true)),
        ]);
        let outcome = Peer::connect(&socket).unwrap().call(&METHOD, arguments);
        (server.join().unwrap(), outcome)
    }

    fn answer(kind: u8, text: &str) -> Vec<u8> {
        let mut body = Bytes::default();
        body.text(text);
        let mut message = Bytes(vec![b'l', kind, 0, VERSION]);
        message.number(body.0.len() as u32);
        message.number(9);
        message.array(8, |fields| fields.0.extend([5, 1, b'u', 0, 1, 0, 0, 0]));
        message.align(8);
        [message.0, body.0].concat()
    }

    #[test]
    fn a_call_is_written_as_the_specification_has_it_and_signals_are_passed_over() {
        let (heard, outcome) = call(vec![answer(4, "a signal"), answer(RETURN, "done")]);
        outcome.unwrap();
        // As another implementation has it, jeepney's for Python.
        let expected = b"l\x01\0\x01\x58\0\0\0\x01\0\0\0\x4c\0\0\0\
                         \x01\x01o\0\x02\0\0\0/o\0\0\0\0\0\0\
                         \x02\x01s\0\x03\0\0\0i.f\0\0\0\0\0\
                         \x03\x01s\0\x01\0\0\0N\0\0\0\0\0\0\0\
                         \x06\x01s\0\x03\0\0\0d.e\0\0\0\0\0\
                         \x08\x01g\0\x06sa(sv)\0\0\0\0\0\
                         \x04\0\0\0unit\0\0\0\0\x48\0\0\0\
                         \x04\0\0\0Long\0\x01t\0\0\0\0\0\x07\0\0\0\0\0\0\0\
                         \x04\0\0\0Some\0\x02au\0\0\0\0\x08\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\
                         \x04\0\0\0True\0\x01b\0\x01\0\0\0";
        assert_eq!(heard.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn an_error_says_what_the_other_says() {
        let (_, outcome) = call(vec![answer(ERROR, "Unit exists")]);
        assert_eq!(outcome.unwrap_err().to_string(), "Unit exists");
    }
}
