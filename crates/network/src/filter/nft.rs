//! Reading nftables' tables: what netlink says of chains, rules and sets, as rules that can be thought through.
//!
//! A rule is a program over registers: it loads a field, perhaps masks it, and compares it or looks it up. Each comparison
//! becomes a test of the field. See linux/netfilter/nf_tables.h.

use std::{collections::HashMap, fs, io};

use super::{
    rule::{Action, Base, Chain, Field, Filters, Hook, Kind, Rule, Table, Test},
    xt,
};
use crate::{
    NetworkError,
    firewall::{
        ADMITTED, FORWARDING_TABLE,
        message::{self, Attributes, Request, dump, find, find_number, find_text, list},
    },
    netlink::Socket,
};

impl Filters {
    /// What the tables of the calling thread's network namespace say, but for engines' own and those of iptables-legacy.
    pub fn read() -> Result<Filters, NetworkError> {
        let read = || {
            let socket = message::open()?;
            let mut filters = Filters { chains: chains(&socket)? };
            let mut sets = Sets { socket: &socket, known: HashMap::new() };
            for chain in &mut filters.chains {
                chain.rules = rules(&socket, chain, &mut sets)?;
            }
            Ok(filters)
        };
        read().map_err(NetworkError::refused("read the host's firewall"))
    }
}

fn chains(socket: &Socket) -> io::Result<Vec<Chain>> {
    let mut chains = Vec::new();
    dump(
        socket,
        0,
        Request::GetChains,
        |_| {},
        |family, chain| {
            let Some(kind) = kind(family) else { return };
            let (Some(table), Some(name)) = (find_text(chain, 1), find_text(chain, 3)) else { return };
            let base = find(chain, CHAIN_HOOK).and_then(|at| {
                let is_filter = find_text(chain, CHAIN_TYPE).as_deref() != Some("nat");
                Some(Base {
                    hook: hook(find_number(at, 1)?)?,
                    priority: find_number(at, 2)?.cast_signed(),
                    drops: is_filter && find_number(chain, CHAIN_POLICY) == Some(0),
                })
            });
            chains.push(Chain { table: Table { kind, name: table }, name, base, rules: Vec::new() });
        },
    )?;
    // Engines' own tables are known by what no other has.
    let own: Vec<Table> =
        chains.iter().filter(|chain| chain.name == ADMITTED).map(|chain| chain.table.clone()).collect();
    chains.retain(|chain| !own.contains(&chain.table) && chain.table.name != FORWARDING_TABLE);
    Ok(chains)
}

fn kind(family: u8) -> Option<Kind> {
    Some(match family {
        1 => Kind::Inet,
        2 => Kind::Ip,
        10 => Kind::Ip6,
        _ => return None,
    })
}

fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Inet => 1,
        Kind::Ip => 2,
        Kind::Ip6 => 10,
    }
}

fn hook(number: u32) -> Option<Hook> {
    Some(match number {
        0 => Hook::Prerouting,
        1 => Hook::Input,
        2 => Hook::Forward,
        3 => Hook::Output,
        _ => return None,
    })
}

fn rules(socket: &Socket, chain: &Chain, sets: &mut Sets<'_>) -> io::Result<Vec<Rule>> {
    // Sets are asked about by the same socket, so after all rules are here.
    let mut raw = Vec::new();
    let of_chain = |message: &mut Attributes<'_>| {
        message.text(1, &chain.table.name).text(2, &chain.name);
    };
    gone_is_empty(dump(socket, number(chain.table.kind), Request::GetRules, of_chain, |_, rule| {
        raw.push(rule.to_vec());
    }))?;
    raw.iter()
        .map(|rule| {
            let handle = find(rule, RULE_HANDLE).and_then(|handle| handle.try_into().ok());
            let (tests, action) =
                program(find(rule, RULE_EXPRESSIONS).unwrap_or_default(), &chain.table, sets)?;
            Ok(Rule { handle: u64::from_be_bytes(handle.unwrap_or_default()), tests, action })
        })
        .collect()
}

/// What was there when it was listed may be gone when it is asked about.
fn gone_is_empty(asked: io::Result<()>) -> io::Result<()> {
    match asked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether iptables' old form has rules in the calling thread's network namespace, which [`Filters`] knows nothing of.
pub fn has_legacy() -> bool {
    ["ip_tables_names", "ip6_tables_names"].iter().any(|file| {
        let tables = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        tables.lines().any(|table| table == "filter")
    })
}

/// What is in a register: some bytes of a field, some bits of them.
#[derive(Clone)]
struct Loaded {
    field: Field,
    length: usize,
    /// How long the whole field is, if only its beginning was loaded or is compared.
    whole: usize,
    mask: Option<Vec<u8>>,
}

fn program(expressions: &[u8], table: &Table, sets: &mut Sets<'_>) -> io::Result<(Vec<Test>, Action)> {
    let mut registers: HashMap<u32, Loaded> = HashMap::new();
    let (mut tests, mut action) = (Vec::new(), Action::Continue);
    for (_, expression) in list(expressions) {
        let name = find_text(expression, 1).unwrap_or_default();
        let data = find(expression, 2).unwrap_or_default();
        let unknown = || Test::Unknown(name.clone());
        match name.as_str() {
            // Those that set something have no destination.
            "meta" | "ct" | "payload" | "fib" | "rt" | "socket" | "exthdr" | "hash" | "numgen" | "osf"
            | "xfrm" | "tunnel" => {
                if let Some((register, loaded)) = load(&name, data) {
                    registers.insert(register, loaded);
                }
            }
            "bitwise" => {
                let (from, to) = (register(data, 1), register(data, 2));
                let masked = from.and_then(|from| registers.get(&from)).map(|loaded| masked(loaded, data));
                if let (Some(to), Some(masked)) = (to, masked) {
                    registers.insert(to, masked);
                }
            }
            "byteorder" => {
                let (from, to) = (register(data, 1), register(data, 2));
                let loaded = from.and_then(|from| registers.get(&from)).cloned();
                if let (Some(to), Some(loaded)) = (to, loaded) {
                    // Nothing that is known of a packet is turned around.
                    registers.insert(to, Loaded { field: Field::Other, ..loaded });
                }
            }
            "cmp" => {
                let loaded = register(data, 1).and_then(|register| registers.get(&register));
                tests.push(loaded.and_then(|loaded| compare(loaded, data)).unwrap_or_else(unknown));
            }
            "range" => {
                let loaded = register(data, 1).and_then(|register| registers.get(&register));
                tests.push(loaded.and_then(|loaded| range(loaded, data)).unwrap_or_else(unknown));
            }
            "lookup" => match lookup(data, table, &registers, sets)? {
                Some(Found::Test(test)) => tests.push(test),
                Some(Found::Map(map)) => action = map,
                None => tests.push(unknown()),
            },
            "immediate" => {
                if let Some(decided) = find(data, 2).and_then(|data| find(data, 2)).and_then(verdict) {
                    action = decided;
                }
            }
            "reject" => action = Action::Reject,
            "match" => {
                let match_name = find_text(data, 1).unwrap_or_default();
                let revision = find_number(data, 2).unwrap_or(0);
                tests.extend(xt::tests(&match_name, revision, find(data, 3).unwrap_or_default()));
            }
            "target" => action = xt::action(&find_text(data, 1).unwrap_or_default()),
            "counter" | "log" | "notrack" | "last" | "dup" => {}
            "queue" | "tproxy" | "synproxy" | "nat" | "masq" | "redir" | "fwd" => {
                action = Action::Unknown(name)
            }
            // A limit lets some pass, and so does whatever comes to be.
            _ => tests.push(unknown()),
        }
    }
    Ok((tests, action))
}

/// A register's place in units of 4 bytes.
fn register(data: &[u8], kind: u16) -> Option<u32> {
    match find_number(data, kind)? {
        number @ 1..=4 => Some((number - 1) * 4),
        number => number.checked_sub(8),
    }
}

/// The register that a field is loaded into.
fn load(name: &str, data: &[u8]) -> Option<(u32, Loaded)> {
    let number = |kind| find_number(data, kind);
    let mut whole = 0;
    let (field, length) = match name {
        "meta" => match number(2)? {
            3 => (Field::Mark, 4),
            4 => (Field::InputIndex, 4),
            5 => (Field::OutputIndex, 4),
            6 => (Field::InputName, NAME),
            7 => (Field::OutputName, NAME),
            15 => (Field::Family, 1),
            16 => (Field::Protocol, 1),
            _ => (Field::Other, 4),
        },
        "ct" => match number(2)? {
            0 => (Field::State, 4),
            2 => (Field::Status, 4),
            3 => (Field::ConnectionMark, 4),
            _ => (Field::Other, 4),
        },
        "payload" => {
            let (base, offset, length) = (number(2)?, number(3)?, number(4)? as usize);
            // Of IPv4, then of IPv6. Of a short prefix only the first bytes are loaded.
            let (field, all) = match (base, offset, length) {
                (1, 12, 1..=4) => (Field::Source, 4),
                (1, 16, 1..=4) => (Field::Destination, 4),
                (1, 8, 2..=16) => (Field::Source, 16),
                (1, 24, 2..=16) => (Field::Destination, 16),
                (1, 9, 1) | (1, 6, 1) => (Field::Protocol, 1),
                (2, 0, 2) => (Field::SourcePort, 2),
                (2, 2, 2) => (Field::DestinationPort, 2),
                (2, 13, 1) => (Field::TcpFlags, 1),
                _ => (Field::Other, length),
            };
            whole = all;
            (field, length)
        }
        "fib" => match (number(2)?, number(3)?) {
            (3, 1) => (Field::SourceKind, 4),
            (3, 2) => (Field::DestinationKind, 4),
            _ => (Field::Other, 4),
        },
        _ => (Field::Other, 4),
    };
    Some((register(data, 1)?, Loaded { field, length, whole: whole.max(length), mask: None }))
}

fn masked(loaded: &Loaded, data: &[u8]) -> Loaded {
    let operand = |kind| find(data, kind).and_then(|data| find(data, 1)).map(<[u8]>::to_vec);
    let is_mask = find_number(data, 6).unwrap_or(0) == 0;
    let is_pure = operand(5).is_none_or(|flipped| flipped.iter().all(|byte| *byte == 0));
    match operand(4) {
        Some(mask) if is_mask && is_pure => Loaded { mask: Some(mask), ..loaded.clone() },
        _ => Loaded { field: Field::Other, ..loaded.clone() },
    }
}

impl Loaded {
    /// The field's number that these bytes, its first, are of.
    fn value(&self, bytes: &[u8]) -> u128 {
        if self.field.is_native() {
            return bytes.try_into().map_or(0, |bytes| u32::from_ne_bytes(bytes).into());
        }
        bytes.iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
    }

    /// The numbers that begin with these bytes, of which only those of the mask count.
    fn range(&self, bytes: &[u8]) -> Option<(u128, u128)> {
        // A name that ends with its zero is whole.
        let bytes = match self.field.is_name() && bytes.len() < NAME && bytes.last() == Some(&0) {
            true => [bytes, &[0; NAME][..NAME - bytes.len()]].concat(),
            false => bytes.to_vec(),
        };
        let behind = 8 * self.whole.saturating_sub(bytes.len());
        let free = (1_u128.checked_shl(behind as u32)).map_or(u128::MAX, |size| size - 1);
        let first = self.value(&bytes).checked_shl(behind as u32).unwrap_or(0);
        let Some(mask) = &self.mask else { return Some((first, first | free)) };
        // A prefix is a range; other masks are tested bit by bit.
        let mask = self.value(mask).checked_shl(behind as u32).unwrap_or(0);
        let bits = (8 * bytes.len() + behind) as u32;
        let all = u128::MAX >> (128 - bits.clamp(1, 128));
        let hole = !mask & all;
        (hole & hole.wrapping_add(1) == 0).then_some((first, first | hole))
    }
}

fn compare(loaded: &Loaded, data: &[u8]) -> Option<Test> {
    let operator = find_number(data, 2)?;
    let bytes = find(data, 3).and_then(|data| find(data, 1))?;
    let field = loaded.field;
    if let (Some(mask), 0 | 1, false) =
        (&loaded.mask, operator, matches!(field, Field::Source | Field::Destination))
    {
        let (mask, value) = (loaded.value(mask), loaded.value(bytes));
        return Some(Test::Bits { field, mask, value, negated: operator == 1 });
    }
    let (first, last) = loaded.range(bytes)?;
    let (range, negated) = match operator {
        0 => ((first, last), false),
        1 => ((first, last), true),
        2 => ((0, first.checked_sub(1)?), false),
        3 => ((0, last), false),
        4 => ((last.checked_add(1)?, u128::MAX), false),
        5 => ((first, u128::MAX), false),
        _ => return None,
    };
    Some(Test::In { field, ranges: vec![range], negated })
}

fn range(loaded: &Loaded, data: &[u8]) -> Option<Test> {
    let bytes = |kind| find(data, kind).and_then(|data| find(data, 1));
    let (from, to) = (loaded.range(bytes(3)?)?, loaded.range(bytes(4)?)?);
    Some(Test::In { field: loaded.field, ranges: vec![(from.0, to.1)], negated: find_number(data, 2)? == 1 })
}

fn verdict(data: &[u8]) -> Option<Action> {
    let chain = || find_text(data, 2).unwrap_or_default();
    Some(match find_number(data, 1)?.cast_signed() {
        0 => Action::Drop,
        1 => Action::Accept,
        -1 => Action::Continue,
        -3 => Action::Jump(chain()),
        -4 => Action::Goto(chain()),
        -5 => Action::Return,
        _ => Action::Unknown("verdict".to_owned()),
    })
}

/// What is looked up.
enum Found {
    Test(Test),
    Map(Action),
}

fn lookup(
    data: &[u8],
    table: &Table,
    registers: &HashMap<u32, Loaded>,
    sets: &mut Sets<'_>,
) -> io::Result<Option<Found>> {
    let (Some(name), Some(mut place)) = (find_text(data, 1), register(data, 2)) else { return Ok(None) };
    let set = sets.get(table, &name)?;
    let mut fields: Vec<Loaded> = Vec::new();
    let mut left = set.key;
    while left > 0 {
        let Some(loaded) = registers.get(&place) else { return Ok(None) };
        let size = loaded.length.next_multiple_of(4);
        place += size as u32 / 4;
        left = left.saturating_sub(size);
        fields.push(loaded.clone());
    }
    // What is put into another register is not a verdict, and what is masked is not told apart.
    let into = find_number(data, 3);
    if into.is_some_and(|register| register != 0) || fields.iter().any(|loaded| loaded.mask.is_some()) {
        return Ok(None);
    }
    let negated = find_number(data, 5).is_some_and(|flags| flags & 1 != 0);
    let key = |element: &Element| -> Vec<(u128, u128)> {
        let mut at = 0;
        let part = |loaded: &Loaded, bytes: &[u8], at: usize| {
            loaded.value(bytes.get(at..at + loaded.length).unwrap_or_default())
        };
        fields
            .iter()
            .map(|loaded| {
                let range = (part(loaded, &element.first, at), part(loaded, &element.last, at));
                at += loaded.length.next_multiple_of(4);
                range
            })
            .collect()
    };
    let names: Vec<Field> = fields.iter().map(|loaded| loaded.field).collect();
    if into.is_some() {
        let elements = set.elements.iter().map(|element| {
            (key(element), element.verdict.clone().unwrap_or(Action::Unknown("map".to_owned())))
        });
        return Ok(Some(Found::Map(Action::Map { fields: names, elements: elements.collect() })));
    }
    let test = match names.as_slice() {
        [field] => {
            let ranges = set.elements.iter().flat_map(&key).collect();
            Test::In { field: *field, ranges, negated }
        }
        _ => Test::Tuple { fields: names, elements: set.elements.iter().map(key).collect(), negated },
    };
    Ok(Some(Found::Test(test)))
}

/// The sets that were asked about, by table and name.
struct Sets<'a> {
    socket: &'a Socket,
    known: HashMap<(Table, String), Set>,
}

#[derive(Clone, Default)]
struct Set {
    /// How many bytes a key has.
    key: usize,
    elements: Vec<Element>,
}

#[derive(Clone)]
struct Element {
    first: Vec<u8>,
    last: Vec<u8>,
    verdict: Option<Action>,
}

impl Sets<'_> {
    fn get(&mut self, table: &Table, name: &str) -> io::Result<Set> {
        let place = (table.clone(), name.to_owned());
        if let Some(set) = self.known.get(&place) {
            return Ok(set.clone());
        }
        let mut raw = Vec::new();
        let of_set = |message: &mut Attributes<'_>| {
            message.text(1, &table.name).text(2, name);
        };
        gone_is_empty(dump(self.socket, number(table.kind), Request::GetElements, of_set, |_, answer| {
            let elements = find(answer, 3).unwrap_or_default();
            raw.extend(list(elements).map(|(_, element)| element.to_vec()));
        }))?;
        let set = Set { key: raw.first().map_or(0, |element| key_length(element)), elements: elements(&raw) };
        self.known.insert(place, set.clone());
        Ok(set)
    }
}

fn key_length(element: &[u8]) -> usize {
    find(element, 1).and_then(|key| find(key, 1)).map_or(0, <[u8]>::len)
}

/// The elements: keys, pairs of a first and a last key, or, in sets of intervals, first keys and those after the last.
fn elements(raw: &[Vec<u8>]) -> Vec<Element> {
    const ENDS: u32 = 1;
    let key = |element: &[u8], kind| find(element, kind).and_then(|key| find(key, 1)).map(<[u8]>::to_vec);
    let flags = |element: &[u8]| find_number(element, 3).unwrap_or(0);
    let is_interval = raw.iter().any(|element| flags(element) & ENDS != 0);
    let mut sorted: Vec<&Vec<u8>> = raw.iter().collect();
    // Where one ends and the next begins, the end comes first.
    sorted.sort_by_key(|element| (key(element, 1), flags(element) & ENDS == 0));
    let mut found: Vec<Element> = Vec::new();
    let mut open = false;
    for element in sorted {
        let Some(first) = key(element, 1) else { continue };
        if flags(element) & ENDS != 0 {
            if let Some(before) = found.last_mut().filter(|_| open) {
                before.last = one_less(first);
            }
            open = false;
            continue;
        }
        let last = match key(element, 10) {
            Some(last) => last,
            None if is_interval => vec![0xff; first.len()],
            None => first.clone(),
        };
        let verdict = find(element, 2).and_then(|data| find(data, 2)).and_then(verdict);
        found.push(Element { first, last, verdict });
        open = true;
    }
    found
}

/// The number before, of a number that is not 0.
fn one_less(mut key: Vec<u8>) -> Vec<u8> {
    for byte in key.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    key
}

/// How long an interface's name is.
const NAME: usize = 16;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
