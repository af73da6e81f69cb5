//! nftables' messages: one transaction is one datagram, accepted whole or not at all.
//!
//! ```text
//! transaction := begin message* end
//! message     := nlmsghdr nfgenmsg attribute*
//! attribute   := length(u16) kind(u16) value, padded to 4; nested ones hold attributes; numbers are big-endian
//! ```
//!
//! See linux/netfilter/nf_tables.h for the kinds.

use std::io;

use rustix::net::netlink;

use crate::{
    Family,
    netlink::{Refusal, Socket},
};

/// What a message asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    NewTable,
    DeleteTable,
    NewChain,
    GetChains,
    NewRule,
    GetRules,
    DeleteRule,
    NewSet,
    NewElements,
    GetElements,
    DeleteElements,
}

/// What to do about something that is already there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Existing {
    Keep,
    Refuse,
}

/// A transaction in the making, on tables of one family.
pub(crate) struct Transaction {
    pub family: Family,
    bytes: Vec<u8>,
    sequence: u32,
    /// Where the last message starts, which is the one to be acknowledged.
    last: usize,
    last_flags: u16,
}

impl Transaction {
    pub fn new(family: Family) -> Transaction {
        let bytes = Vec::with_capacity(512);
        let mut transaction = Transaction { family, bytes, sequence: 0, last: 0, last_flags: FLAG_REQUEST };
        transaction.boundary(BATCH_BEGIN);
        transaction
    }

    /// Adds a message and returns its number, by which [`Refusal`] names it.
    pub fn add(
        &mut self,
        request: Request,
        existing: Existing,
        write: impl FnOnce(&mut Attributes<'_>),
    ) -> u32 {
        self.add_to(self.family.number(), request, existing, write)
    }

    /// The same, about a table of another family, whose number is the kernel's.
    pub fn add_to(
        &mut self,
        family: u8,
        request: Request,
        existing: Existing,
        write: impl FnOnce(&mut Attributes<'_>),
    ) -> u32 {
        self.sequence += 1;
        self.last = self.bytes.len();
        self.last_flags = request.flags(existing);
        message(&mut self.bytes, request.kind(), self.last_flags, self.sequence, (family, 0), write);
        self.sequence
    }

    /// Carries the transaction out.
    pub fn commit(mut self, socket: &Socket) -> Result<(), Refusal> {
        let last = self.sequence;
        self.bytes[self.last + 6..self.last + 8].copy_from_slice(&(self.last_flags | FLAG_ACK).to_ne_bytes());
        self.boundary(BATCH_END);
        socket.transact(&self.bytes, last)
    }

    fn boundary(&mut self, kind: u16) {
        message(&mut self.bytes, kind, FLAG_REQUEST, 0, (0, SUBSYSTEM), |_| {});
    }
}

/// Asks for something, and hands over the payload of the answer if it is there.
pub(crate) fn get<T>(
    socket: &Socket,
    family: Family,
    request: Request,
    write: impl FnOnce(&mut Attributes<'_>),
    read: impl FnOnce(&[u8]) -> T,
) -> io::Result<Option<T>> {
    let mut bytes = Vec::with_capacity(128);
    message(&mut bytes, request.kind(), FLAG_REQUEST, 0, (family.number(), 0), write);
    let mut read = Some(read);
    let mut found = Ok(None);
    socket.exchange(&bytes, |answer| {
        found = match answer.error() {
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Some(Err(error)) => Err(error),
            Some(Ok(())) => Ok(None),
            None => Ok(read.take().map(|read| read(answer.payload.get(GENERIC..).unwrap_or_default()))),
        };
        true
    })?;
    found
}

/// Asks for all there is of something, and hands over the family and the payload of each answer.
pub(crate) fn dump(
    socket: &Socket,
    family: u8,
    request: Request,
    write: impl FnOnce(&mut Attributes<'_>),
    mut read: impl FnMut(u8, &[u8]),
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(128);
    message(&mut bytes, request.kind(), FLAG_REQUEST | FLAG_DUMP, 0, (family, 0), write);
    let mut outcome = Ok(());
    socket.exchange(&bytes, |answer| match answer.error() {
        Some(verdict) => {
            outcome = verdict;
            true
        }
        None => {
            if let Some((generic, payload)) = answer.payload.split_at_checked(GENERIC) {
                read(generic[0], payload);
            }
            false
        }
    })?;
    outcome
}

/// Opens a socket to the firewall of the calling thread's network namespace.
pub(crate) fn open() -> io::Result<Socket> {
    Socket::open(Some(netlink::NETFILTER))
}

fn message(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    (family, resource): (u8, u16),
    write: impl FnOnce(&mut Attributes<'_>),
) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[family, 0]);
    bytes.extend_from_slice(&resource.to_be_bytes());
    write(&mut Attributes(bytes));
    let length = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Appends attributes to a message.
pub(crate) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.header(kind, value.len());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.header(kind, value.len() + 1);
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Attributes<'_>)) -> &mut Self {
        let start = self.0.len();
        self.header(kind | NESTED, 0);
        write(&mut Attributes(self.0));
        let length = u16::try_from(self.0.len() - start).expect("callers split what exceeds 64 KiB");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn header(&mut self, kind: u16, length: usize) {
        let length = u16::try_from(4 + length).expect("an attribute is shorter than 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
    }
}

/// The value of the first attribute of this kind.
pub(crate) fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    list(attributes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The attributes, kind and value, up to the first that is damaged.
pub(crate) fn list(attributes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = attributes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & !NESTED;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The text of an attribute, which ends with a zero byte.
pub(crate) fn find_text(attributes: &[u8], kind: u16) -> Option<String> {
    let value = find(attributes, kind)?;
    Some(String::from_utf8_lossy(value.split(|byte| *byte == 0).next()?).into_owned())
}

/// The number of an attribute, 4 bytes.
pub(crate) fn find_number(attributes: &[u8], kind: u16) -> Option<u32> {
    find(attributes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

impl Request {
    fn kind(self) -> u16 {
        let number = match self {
            Request::NewTable => 0,
            Request::DeleteTable => 2,
            Request::NewChain => 3,
            Request::GetChains => 4,
            Request::NewRule => 6,
            Request::GetRules => 7,
            Request::DeleteRule => 8,
            Request::NewSet => 9,
            Request::NewElements => 12,
            Request::GetElements => 13,
            Request::DeleteElements => 14,
        };
        SUBSYSTEM << 8 | number
    }

    fn flags(self, existing: Existing) -> u16 {
        let creation = match self {
            Request::DeleteTable
            | Request::GetChains
            | Request::GetRules
            | Request::DeleteRule
            | Request::GetElements
            | Request::DeleteElements => 0,
            Request::NewRule => FLAG_CREATE | FLAG_APPEND,
            _ => FLAG_CREATE,
        };
        let exclusion = if existing == Existing::Refuse { FLAG_EXCL } else { 0 };
        FLAG_REQUEST | creation | exclusion
    }
}

/// The nfnetlink subsystem of nftables.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// The size of struct nfgenmsg.
const GENERIC: usize = 4;
const NESTED: u16 = 0x8000;
const FLAG_REQUEST: u16 = 0x1;
const FLAG_ACK: u16 = 0x4;
const FLAG_DUMP: u16 = 0x300;
const FLAG_EXCL: u16 = 0x200;
const FLAG_CREATE: u16 = 0x400;
const FLAG_APPEND: u16 = 0x800;
