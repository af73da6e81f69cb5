//! Rules as the evaluation and the reader see them, whichever tool has made them.

use std::fmt;

use super::addresses::Addresses;
use crate::Family;

/// Everything in the host's tables that decides about packets, but for our own.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Filters {
    pub chains: Vec<Chain>,
}

/// A list of rules, which a hook or another rule leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    pub table: Table,
    pub name: String,
    /// What it is to a hook, if it is at one.
    pub base: Option<Base>,
    pub rules: Vec<Rule>,
}

/// Whose a chain is. Displays as `nft list table` is told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Table {
    pub kind: Kind,
    pub name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// For packets of both families.
    Inet,
    Ip,
    Ip6,
}

/// A chain's place at a hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base {
    pub hook: Hook,
    pub priority: i32,
    /// Whether it drops what none of its rules decides.
    pub drops: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// nftables' number for it.
    pub handle: u64,
    /// All of them hold for a packet that the rule is about.
    pub tests: Vec<Test>,
    pub action: Action,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Test {
    /// The field is in one of the ranges, or in none of them.
    In { field: Field, ranges: Vec<(u128, u128)>, negated: bool },
    /// These bits of the field are so, or are not.
    Bits { field: Field, mask: u128, value: u128, negated: bool },
    /// The fields are together in one of the elements, a range for each.
    Tuple { fields: Vec<Field>, elements: Vec<Vec<(u128, u128)>>, negated: bool },
    /// Something we do not know, by the word that the tool has for it.
    Unknown(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Accept,
    Drop,
    Reject,
    Jump(String),
    Goto(String),
    Return,
    /// It counts, logs or marks, and the next rule is looked at.
    Continue,
    /// A map from fields to what is done.
    Map {
        fields: Vec<Field>,
        elements: Vec<(Vec<(u128, u128)>, Action)>,
    },
    Unknown(String),
}

/// What is known of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// NFPROTO_IPV4 or NFPROTO_IPV6.
    Family,
    Protocol,
    Source,
    Destination,
    SourcePort,
    DestinationPort,
    TcpFlags,
    /// 16 bytes, padded with zeros.
    InputName,
    OutputName,
    InputIndex,
    OutputIndex,
    /// Bits of the connection's state, as nft has them.
    State,
    /// Bits of the connection's status.
    Status,
    /// Of which kind the address is, as routes have it: 1 somebody's, 2 of this host's.
    SourceKind,
    DestinationKind,
    Mark,
    ConnectionMark,
    Other,
}

impl Table {
    /// Whether packets of this family come by.
    pub fn concerns(&self, family: Family) -> bool {
        match self.kind {
            Kind::Inet => true,
            Kind::Ip => family == Family::V4,
            Kind::Ip6 => family == Family::V6,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Inet => "inet",
            Kind::Ip => "ip",
            Kind::Ip6 => "ip6",
        };
        write!(f, "{kind} {}", self.name)
    }
}

/// As nft would write it, more or less.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.tests.iter().find_map(|test| match test {
            Test::In { field: Field::Protocol, ranges, negated: false } => match ranges.as_slice() {
                [(only, last)] if only == last => transport(*only),
                _ => None,
            },
            _ => None,
        });
        let has_port = self
            .tests
            .iter()
            .any(|test| matches!(test, Test::In { field: Field::SourcePort | Field::DestinationPort, .. }));
        let mut words: Vec<String> = Vec::new();
        for test in &self.tests {
            match test {
                // The test for the port says so as well.
                Test::In { field: Field::Protocol, .. } if protocol.is_some() && has_port => {}
                Test::In { field, ranges, negated } => {
                    let not = if *negated { "!= " } else { "" };
                    words.push(format!("{} {not}{}", field.word(protocol), set(*field, ranges)));
                }
                Test::Bits { field, mask, value, negated } => {
                    let (bits, negated) = if *value == 0 { (*mask, !negated) } else { (*value, *negated) };
                    let not = if negated { "!= " } else { "" };
                    words.push(format!("{} {not}{}", field.word(protocol), flags(*field, bits)));
                }
                Test::Tuple { fields, elements, negated } => {
                    let names: Vec<String> = fields.iter().map(|field| field.word(protocol)).collect();
                    let not = if *negated { "!= " } else { "" };
                    words.push(format!("{} {not}{{ {} elements }}", names.join(" . "), elements.len()));
                }
                Test::Unknown(word) => words.push(format!("[{word}]")),
            }
        }
        words.push(self.action.to_string());
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Accept => f.write_str("accept"),
            Action::Drop => f.write_str("drop"),
            Action::Reject => f.write_str("reject"),
            Action::Jump(chain) => write!(f, "jump {chain}"),
            Action::Goto(chain) => write!(f, "goto {chain}"),
            Action::Return => f.write_str("return"),
            Action::Continue => f.write_str("continue"),
            Action::Map { fields, .. } => {
                let names: Vec<String> = fields.iter().map(|field| field.word(None)).collect();
                write!(f, "{} vmap", names.join(" . "))
            }
            Action::Unknown(word) => write!(f, "[{word}]"),
        }
    }
}

impl Field {
    /// Whether it is a number of the machine's own, and not one that travels.
    pub fn is_native(self) -> bool {
        use Field::*;
        matches!(
            self,
            InputIndex | OutputIndex | State | Status | SourceKind | DestinationKind | Mark | ConnectionMark
        )
    }

    pub fn is_name(self) -> bool {
        matches!(self, Field::InputName | Field::OutputName)
    }

    fn word(self, protocol: Option<&str>) -> String {
        let transport = protocol.unwrap_or("th");
        match self {
            Field::Family => "meta nfproto".to_owned(),
            Field::Protocol => "meta l4proto".to_owned(),
            Field::Source => "saddr".to_owned(),
            Field::Destination => "daddr".to_owned(),
            Field::SourcePort => format!("{transport} sport"),
            Field::DestinationPort => format!("{transport} dport"),
            Field::TcpFlags => "tcp flags".to_owned(),
            Field::InputName => "iifname".to_owned(),
            Field::OutputName => "oifname".to_owned(),
            Field::InputIndex => "iif".to_owned(),
            Field::OutputIndex => "oif".to_owned(),
            Field::State => "ct state".to_owned(),
            Field::Status => "ct status".to_owned(),
            Field::SourceKind => "fib saddr type".to_owned(),
            Field::DestinationKind => "fib daddr type".to_owned(),
            Field::Mark => "mark".to_owned(),
            Field::ConnectionMark => "ct mark".to_owned(),
            Field::Other => "[field]".to_owned(),
        }
    }
}

fn transport(number: u128) -> Option<&'static str> {
    Some(match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        58 => "icmpv6",
        132 => "sctp",
        _ => return None,
    })
}

fn set(field: Field, ranges: &[(u128, u128)]) -> String {
    let texts: Vec<String> = ranges.iter().take(MOST_SHOWN).map(|range| range_text(field, *range)).collect();
    let more = if ranges.len() > MOST_SHOWN { ", …" } else { "" };
    match texts.as_slice() {
        [one] => one.clone(),
        _ => format!("{{ {}{more} }}", texts.join(", ")),
    }
}

fn range_text(field: Field, (first, last): (u128, u128)) -> String {
    match field {
        // Without more said, those that fit IPv4 are of it: nobody filters ::/96.
        Field::Source | Field::Destination => {
            let family = if last <= u32::MAX.into() { Family::V4 } else { Family::V6 };
            Addresses::within(family, &[(first, last)]).to_string()
        }
        Field::InputName | Field::OutputName => {
            let bytes = first.to_be_bytes();
            let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            let star = if first == last { "" } else { "*" };
            format!("\"{}{star}\"", String::from_utf8_lossy(name))
        }
        Field::Protocol => transport(first).map_or_else(|| first.to_string(), str::to_owned),
        Field::Family if first == 2 => "ipv4".to_owned(),
        Field::Family => "ipv6".to_owned(),
        Field::State | Field::Status => flags(field, first),
        Field::SourceKind | Field::DestinationKind if first == 2 => "local".to_owned(),
        _ if first == last => first.to_string(),
        _ => format!("{first}-{last}"),
    }
}

fn flags(field: Field, bits: u128) -> String {
    let names: &[(u128, &str)] = match field {
        Field::State => {
            &[(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (0x40, "untracked")]
        }
        Field::Status => &[(0x20, "dnat"), (0x10, "snat")],
        Field::TcpFlags => &[(1, "fin"), (2, "syn"), (4, "rst"), (0x10, "ack")],
        _ => &[],
    };
    let known: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if known.is_empty() { format!("{bits:#x}") } else { known.join(",") }
}

/// How many elements of a set are written out.
const MOST_SHOWN: usize = 8;
