//! What the firewall knows: every set of every table, and how much is in it.

use std::io;

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with},
};

/// A set or a map of a firewall table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    pub table: String,
    pub name: String,
    pub is_map: bool,
    pub elements: usize,
}

/// The named sets of the calling thread's network namespace.
pub fn sets() -> io::Result<Vec<Set>> {
    let mut sets = Vec::new();
    for payload in dump(GET_SET, &[])? {
        let attributes = attributes(&payload);
        let text = |kind| value(&attributes, kind).map(text).unwrap_or_default();
        let flags = value(&attributes, SET_FLAGS).and_then(|flags| flags.try_into().ok());
        let flags = u32::from_be_bytes(flags.unwrap_or_default());
        if flags & ANONYMOUS != 0 {
            continue;
        }
        let (table, name) = (text(SET_TABLE), text(SET_NAME));
        let elements = elements(&table, &name)?;
        sets.push(Set { table, name, is_map: flags & MAP != 0, elements });
    }
    Ok(sets)
}

fn elements(table: &str, set: &str) -> io::Result<usize> {
    let payloads = dump(GET_ELEMENTS, &[(ELEMENTS_TABLE, table), (ELEMENTS_SET, set)])?;
    let lists =
        payloads.iter().filter_map(|payload| value(&attributes(payload), ELEMENTS_LIST).map(<[u8]>::to_vec));
    Ok(lists.map(|list| attributes(&list).len()).sum())
}

/// The payloads of the kernel's answers to one question, without their headers.
fn dump(request: u16, names: &[(u16, &str)]) -> io::Result<Vec<Vec<u8>>> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))?;
    let mut body = vec![FAMILY_IPV4, 0, 0, 0];
    for (kind, name) in names {
        body.extend_from_slice(&(4 + name.len() as u16 + 1).to_ne_bytes());
        body.extend_from_slice(&kind.to_ne_bytes());
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend_from_slice(&(SUBSYSTEM << 8 | request).to_ne_bytes());
    message.extend_from_slice(&(FLAG_REQUEST | FLAG_DUMP).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&body);
    send(&socket, &message, SendFlags::empty())?;

    let mut payloads = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while rest.len() >= HEADER {
            let length = u32_at(rest, 0) as usize;
            let (kind, payload) = (u16::from_ne_bytes([rest[4], rest[5]]), &rest[HEADER..length]);
            match kind {
                DONE => return Ok(payloads),
                ERROR => match -u32_at(payload, 0).cast_signed() {
                    0 => return Ok(payloads),
                    // It was removed since it was listed.
                    code if code == Errno::NOENT.raw_os_error() => return Ok(payloads),
                    code => return Err(io::Error::from_raw_os_error(code)),
                },
                _ => payloads.push(payload.get(GENERIC..).unwrap_or_default().to_vec()),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The attributes of a message or of a nest, by kind.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [low, high, kind_low, kind_high, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let Some(value) = bytes.get(4..length) else { break };
        found.push((u16::from_ne_bytes([kind_low, kind_high]) & !NESTED, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn value<'a>(attributes: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(other, _)| *other == kind).map(|(_, value)| *value)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

// See linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.
const SUBSYSTEM: u16 = 10;
const GET_SET: u16 = 10;
const GET_ELEMENTS: u16 = 13;
const FAMILY_IPV4: u8 = 2;
const HEADER: usize = 16;
const GENERIC: usize = 4;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const FLAG_REQUEST: u16 = 0x1;
const FLAG_DUMP: u16 = 0x300;
const NESTED: u16 = 0x8000;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const ANONYMOUS: u32 = 0x1;
const MAP: u32 = 0x8;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
