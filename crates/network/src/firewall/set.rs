//! Sets and maps of a table, and their elements: all that changes when networks and containers come and go.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use super::message::{Attributes, Existing, Request, Transaction, find, get};
use crate::{Family, InterfaceName, netlink::Socket};

/// A set, or a map from its keys to a container's address and port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub name: &'static str,
    key: &'static [Field],
    is_map: bool,
}

/// All bridges.
pub(super) const BRIDGES: Set = Set { name: "bridges", key: &[Field::Name], is_map: false };
/// Bridges nothing leaves.
pub(super) const INTERNAL: Set = Set { name: "internal", key: &[Field::Name], is_map: false };
/// Bridges whose containers reach the outside under the host's address.
pub(super) const MASQUERADED: Set = Set { name: "masqueraded", key: &[Field::Name], is_map: false };
/// Each bridge, paired with itself.
pub(super) const SAME: Set = Set { name: "same", key: &[Field::Name, Field::Name], is_map: false };
/// Each bridge whose containers may reach each other, paired with itself.
pub(super) const OPEN: Set = Set { name: "open", key: &[Field::Name, Field::Name], is_map: false };
/// Ports published on every address of the host.
pub(super) const PORTS: Set = Set { name: "ports", key: &[Field::Protocol, Field::Port], is_map: true };
/// Ports published on one address of the host.
pub(super) const ADDRESSED_PORTS: Set =
    Set { name: "addressed_ports", key: &[Field::Address, Field::Protocol, Field::Port], is_map: true };

/// Every set, in the order of creation.
pub(super) const ALL: [Set; 7] = [BRIDGES, INTERNAL, MASQUERADED, SAME, OPEN, PORTS, ADDRESSED_PORTS];

/// One part of a key.
#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Address,
    Protocol,
    Port,
}

/// A key, and what a map leads it to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Element {
    /// Of which table.
    pub family: Family,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Element {
    pub fn name(family: Family, bridge: &InterfaceName) -> Element {
        Element { family, key: bridge.padded().to_vec(), value: Vec::new() }
    }

    pub fn pair(family: Family, bridge: &InterfaceName) -> Element {
        Element { family, key: [bridge.padded(), bridge.padded()].concat(), value: Vec::new() }
    }

    /// An element of [`PORTS`], or, with an `address`, of [`ADDRESSED_PORTS`].
    pub fn port(address: Option<IpAddr>, protocol: u8, port: u16, target: SocketAddr) -> Element {
        let family = if target.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut key = address.map(octets).unwrap_or_default();
        key.extend([protocol, 0, 0, 0]);
        key.extend(padded(port));
        let mut value = octets(target.ip());
        value.extend(padded(target.port()));
        Element { family, key, value }
    }
}

impl Set {
    /// Creates the set. `number` tells it from the others of its transaction.
    pub fn create(self, transaction: &mut Transaction, table: &str, number: u32) {
        let family = transaction.family;
        let kind = self.key.iter().fold(0, |kind, field| kind << 6 | field.kind(family));
        let length = self.key.iter().map(|field| field.length(family)).sum();
        transaction.add(Request::NewSet, Existing::Keep, |message| {
            message.text(1, table).text(2, self.name).number(3, if self.is_map { FLAG_MAP } else { 0 });
            message.number(4, kind).number(5, length);
            if self.is_map {
                let (address, port) = (Field::Address, Field::Port);
                message.number(6, address.kind(family) << 6 | port.kind(family));
                message.number(7, address.length(family) + port.length(family));
            }
            message.number(10, number);
        });
    }

    /// Adds elements; returns the number of the message for each, by position.
    pub fn add(
        self,
        transaction: &mut Transaction,
        table: &str,
        existing: Existing,
        elements: &[Element],
    ) -> Vec<u32> {
        let one = |element| {
            transaction
                .add(Request::NewElements, existing, |message| self.list(message, table, element, true))
        };
        elements.iter().map(one).collect()
    }

    /// Removes an element. Refused if it is not there.
    pub fn remove(self, transaction: &mut Transaction, table: &str, element: &Element) {
        transaction.add(Request::DeleteElements, Existing::Keep, |message| {
            self.list(message, table, element, false);
        });
    }

    /// Whether the table has this set, and the set this element as it is.
    pub fn has(self, socket: &Socket, table: &str, element: &Element) -> io::Result<bool> {
        let value = self.value(socket, table, element)?;
        Ok(value.is_some_and(|value| value == element.value))
    }

    /// Where the map leads this element's key.
    pub fn target(self, socket: &Socket, table: &str, element: &Element) -> io::Result<Option<SocketAddr>> {
        Ok(self.value(socket, table, element)?.and_then(|value| parse_target(&value)))
    }

    /// The value of this element's key, if it has one.
    fn value(self, socket: &Socket, table: &str, element: &Element) -> io::Result<Option<Vec<u8>>> {
        let list = |message: &mut Attributes<'_>| self.list(message, table, element, false);
        get(socket, element.family, Request::GetElements, list, |answer| {
            value_in(answer).unwrap_or_default().to_vec()
        })
    }

    fn list(self, message: &mut Attributes<'_>, table: &str, element: &Element, with_value: bool) {
        message.text(LIST_TABLE, table).text(LIST_SET, self.name).nest(LIST_ELEMENTS, |list| {
            list.nest(LIST_ELEMENT, |e| {
                e.nest(ELEMENT_KEY, |key| {
                    key.bytes(DATA_VALUE, &element.key);
                });
                if with_value && self.is_map {
                    e.nest(ELEMENT_DATA, |data| {
                        data.bytes(DATA_VALUE, &element.value);
                    });
                }
            });
        });
    }
}

impl Field {
    /// The number by which the nft program prints the type; the kernel only stores it.
    fn kind(self, family: Family) -> u32 {
        match self {
            Field::Address if family == Family::V6 => 8,
            Field::Address => 7,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::Name => 41,
        }
    }

    /// The length in a key, where every field is padded to 4 bytes.
    fn length(self, family: Family) -> u32 {
        match self {
            Field::Address if family == Family::V6 => 16,
            Field::Name => 16,
            Field::Address | Field::Protocol | Field::Port => 4,
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn value_in(answer: &[u8]) -> Option<&[u8]> {
    let element = find(find(answer, LIST_ELEMENTS)?, LIST_ELEMENT)?;
    find(find(element, ELEMENT_DATA)?, DATA_VALUE)
}

fn parse_target(value: &[u8]) -> Option<SocketAddr> {
    let (address, port) = value.split_at_checked(value.len().checked_sub(4)?)?;
    let port = u16::from_be_bytes(port.get(..2)?.try_into().ok()?);
    let address: IpAddr = match address.len() {
        4 => <[u8; 4]>::try_from(address).ok()?.into(),
        _ => <[u8; 16]>::try_from(address).ok()?.into(),
    };
    Some(SocketAddr::new(address, port))
}

const FLAG_MAP: u32 = 0x8;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
