//! The matches and targets of iptables, which nftables has too: structures of the machine's own byte order.
//!
//! See linux/netfilter/xt_*.h. What is not here is unknown, by its name.

use super::rule::{Action, Field, Test};

/// What a match tests. `data` is its structure, without the header.
pub fn tests(name: &str, revision: u32, data: &[u8]) -> Vec<Test> {
    parse(name, revision, data).unwrap_or_else(|| vec![Test::Unknown(name.to_owned())])
}

fn parse(name: &str, revision: u32, data: &[u8]) -> Option<Vec<Test>> {
    Some(match (name, revision) {
        ("comment", _) => Vec::new(),
        ("tcp", 0) => {
            let inverted = *data.get(11)?;
            let mut tests = ports(data, inverted)?;
            let (mask, value) = (u128::from(*data.get(9)?), u128::from(*data.get(10)?));
            if mask != 0 {
                tests.push(Test::Bits { field: Field::TcpFlags, mask, value, negated: inverted & 4 != 0 });
            }
            if *data.get(8)? != 0 {
                tests.push(Test::Unknown("tcp option".to_owned()));
            }
            tests
        }
        ("udp", 0) => ports(data, *data.get(8)?)?,
        ("multiport", 1) => vec![multiport(data)?],
        ("state", 0) => vec![states(u32_at(data, 0)?.into(), false)],
        ("conntrack", 2 | 3) => conntrack(data)?,
        ("addrtype", 1) => addrtype(data)?,
        ("iprange", 1) => iprange(data)?,
        _ => return None,
    })
}

/// What a target does. `data` is its structure, without the header.
pub fn action(name: &str) -> Action {
    match name {
        "REJECT" => Action::Reject,
        "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "CONNSECMARK" | "SECMARK" | "AUDIT" | "TRACE"
        | "CT" | "CLASSIFY" | "TCPMSS" | "DSCP" | "TOS" | "HL" | "TTL" | "CHECKSUM" | "RATEEST"
        | "IDLETIMER" | "LED" | "TEE" | "SET" => Action::Continue,
        _ => Action::Unknown(name.to_owned()),
    }
}

/// Source and destination ports, as `tcp` and `udp` begin; two bits say which are inverted.
fn ports(data: &[u8], inverted: u8) -> Option<Vec<Test>> {
    let range = |at| Some((u128::from(u16_at(data, at)?), u128::from(u16_at(data, at + 2)?)));
    let mut tests = Vec::new();
    for (field, range, bit) in [(Field::SourcePort, range(0)?, 1), (Field::DestinationPort, range(4)?, 2)] {
        let negated = inverted & bit != 0;
        if range != (0, 0xffff) || negated {
            tests.push(Test::In { field, ranges: vec![range], negated });
        }
    }
    Some(tests)
}

/// struct xt_multiport_v1: flags, count, 15 ports, 15 marks of a range's first port, inversion.
fn multiport(data: &[u8]) -> Option<Test> {
    let field = match *data.first()? {
        0 => Field::SourcePort,
        1 => Field::DestinationPort,
        _ => return None,
    };
    let count = usize::from(*data.get(1)?).min(15);
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < count {
        let first = u16_at(data, 2 + 2 * at)?;
        let is_range = *data.get(32 + at)? != 0;
        let last = if is_range { u16_at(data, 4 + 2 * at)? } else { first };
        ranges.push((first.into(), last.into()));
        at += if is_range { 2 } else { 1 };
    }
    Some(Test::In { field, ranges, negated: *data.get(47)? != 0 })
}

/// struct xt_conntrack_mtinfo2 and 3: of what they test, the state and the status.
fn conntrack(data: &[u8]) -> Option<Vec<Test>> {
    const STATE: u16 = 1;
    const STATUS: u16 = 1 << 6;
    let [flags, inverted, state, status] = [146, 148, 150, 152].map(|at| u16_at(data, at));
    let (flags, inverted) = (flags?, inverted?);
    let mut tests = Vec::new();
    if flags & STATE != 0 {
        tests.push(states(state?.into(), inverted & STATE != 0));
    }
    if flags & STATUS != 0 {
        let (mask, negated) = (u128::from(status?), inverted & STATUS == 0);
        tests.push(Test::Bits { field: Field::Status, mask, value: 0, negated });
    }
    if flags & !(STATE | STATUS) != 0 {
        tests.push(Test::Unknown("conntrack".to_owned()));
    }
    Some(tests)
}

/// Some of these states, whose bits are those of nft but for two that say how it was translated.
fn states(mask: u128, inverted: bool) -> Test {
    if mask & (SOURCE_TRANSLATED | DESTINATION_TRANSLATED) != 0 {
        return Test::Unknown("conntrack".to_owned());
    }
    Test::Bits { field: Field::State, mask, value: 0, negated: !inverted }
}

/// struct xt_addrtype_info_v1: a bit for each kind of address.
fn addrtype(data: &[u8]) -> Option<Vec<Test>> {
    const KINDS: u128 = 12;
    let (source, destination, flags) = (u16_at(data, 0)?, u16_at(data, 2)?, u32_at(data, 4)?);
    let mut tests = Vec::new();
    for (field, mask, bit) in [(Field::SourceKind, source, 1), (Field::DestinationKind, destination, 2)] {
        if mask != 0 {
            let kinds = (0..KINDS).filter(|kind| u128::from(mask) >> kind & 1 != 0);
            let ranges = kinds.map(|kind| (kind, kind)).collect();
            tests.push(Test::In { field, ranges, negated: flags & bit != 0 });
        }
    }
    if flags & !3 != 0 {
        tests.push(Test::Unknown("addrtype of one interface".to_owned()));
    }
    Some(tests)
}

/// struct xt_iprange_mtinfo, of IPv4: addresses take 16 bytes all the same.
fn iprange(data: &[u8]) -> Option<Vec<Test>> {
    let flags = *data.get(64)?;
    let address = |at: usize| -> Option<u128> {
        let bytes: [u8; 16] = data.get(at..at + 16)?.try_into().ok()?;
        let is_v4 = bytes[4..] == [0; 12];
        Some(if is_v4 {
            u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into()
        } else {
            u128::from_be_bytes(bytes)
        })
    };
    let mut tests = Vec::new();
    for (field, at, used, inverted) in [(Field::Source, 0, 1, 0x10), (Field::Destination, 32, 2, 0x20)] {
        if flags & used != 0 {
            let ranges = vec![(address(at)?, address(at + 16)?)];
            tests.push(Test::In { field, ranges, negated: flags & inverted != 0 });
        }
    }
    Some(tests)
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

const SOURCE_TRANSLATED: u128 = 1 << 6;
const DESTINATION_TRANSLATED: u128 = 1 << 7;
