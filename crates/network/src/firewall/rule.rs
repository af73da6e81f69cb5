//! Rules: expressions that load, compare and decide, one after another, over a few registers.

use super::{
    message::{Attributes, Existing, Request, Transaction},
    transit,
};
use crate::Family;

/// A rule; each call adds an expression.
#[derive(Clone, Default)]
pub(super) struct Rule<'a> {
    expressions: Vec<Expression<'a>>,
}

/// A 32-bit register. Keys made of several fields lie in consecutive ones, each field padded to 4 bytes.
#[derive(Clone, Copy)]
pub(super) struct Register(pub u32);

/// What a register can be loaded with.
#[derive(Clone, Copy)]
pub(super) enum Load {
    InputName,
    OutputName,
    InputGroup,
    OutputGroup,
    Priority,
    Transport,
    ConnectionState,
    ConnectionStatus,
    Destination(u32),
    /// All of an IPv6 address.
    Destination6,
    DestinationPort,
    DestinationKind,
}

/// What becomes of a packet.
#[derive(Clone, Copy)]
pub(super) enum Verdict<'a> {
    Accept,
    Drop,
    Jump(&'a str),
}

#[derive(Clone)]
enum Expression<'a> {
    Load(Load, Register),
    /// The register's bytes are these.
    Equal(Register, Vec<u8>),
    /// Some of these bits are set in the register.
    AnyOf(Register, u32),
    /// None of these bits is set in the register.
    NoneOf(Register, u32),
    /// The set has the key that starts in the register.
    Contains(&'a str, Register),
    /// The map leads the key that starts in the first register to the value put into the second.
    Map(&'a str, Register, Register),
    Set(Register, Vec<u8>),
    Decide(Verdict<'a>),
    /// Sends the connection to the address and the port in these registers.
    Redirect(Family, Register, Register),
    Masquerade,
    Count,
    /// Sends a copy of the packet towards the address in the register; the packet itself goes on. The copy begins in the
    /// output hook, and belongs to no connection.
    Copy(Register),
    /// Gives the packet the priority in the register.
    SetPriority(Register),
    /// Assigns the packet to a connection in the zone whose number is in the register, if it belongs to none so far.
    SetZone(Register),
}

impl<'a> Rule<'a> {
    pub fn new() -> Self {
        Rule::default()
    }

    pub fn load(self, what: Load, into: Register) -> Self {
        self.with(Expression::Load(what, into))
    }

    pub fn equal(self, register: Register, bytes: &[u8]) -> Self {
        self.with(Expression::Equal(register, bytes.to_vec()))
    }

    pub fn is(self, what: Load, bytes: &[u8]) -> Self {
        self.load(what, FIRST).equal(FIRST, bytes)
    }

    pub fn any_of(self, what: Load, bits: u32) -> Self {
        self.load(what, FIRST).with(Expression::AnyOf(FIRST, bits))
    }

    pub fn none_of(self, what: Load, bits: u32) -> Self {
        self.load(what, FIRST).with(Expression::NoneOf(FIRST, bits))
    }

    pub fn contains(self, set: &'a str, key: Register) -> Self {
        self.with(Expression::Contains(set, key))
    }

    /// The packet arrives through an interface in `set`.
    pub fn input_in(self, set: &'a str) -> Self {
        self.load(Load::InputName, FIRST).contains(set, FIRST)
    }

    /// The packet leaves through an interface in `set`.
    pub fn output_in(self, set: &'a str) -> Self {
        self.load(Load::OutputName, FIRST).contains(set, FIRST)
    }

    /// The pair of interfaces the packet passes is in `set`.
    pub fn pair_in(self, set: &'a str) -> Self {
        self.load(Load::InputName, FIRST).load(Load::OutputName, Register(4)).contains(set, FIRST)
    }

    pub fn map(self, map: &'a str, key: Register, value: Register) -> Self {
        self.with(Expression::Map(map, key, value))
    }

    pub fn set(self, register: Register, bytes: &[u8]) -> Self {
        self.with(Expression::Set(register, bytes.to_vec()))
    }

    pub fn redirect(self, family: Family, address: Register, port: Register) -> Self {
        self.with(Expression::Redirect(family, address, port))
    }

    pub fn masquerade(self) -> Self {
        self.with(Expression::Masquerade)
    }

    /// Counts the packets that come this far.
    pub fn count(self) -> Self {
        self.with(Expression::Count)
    }

    pub fn copy(self, towards: Register) -> Self {
        self.with(Expression::Copy(towards))
    }

    pub fn set_priority(self, priority: u32, through: Register) -> Self {
        self.set(through, &priority.to_ne_bytes()).with(Expression::SetPriority(through))
    }

    pub fn set_zone(self, zone: u16) -> Self {
        self.set(FIRST, &zone.to_ne_bytes()).with(Expression::SetZone(FIRST))
    }

    pub fn then(self, verdict: Verdict<'a>) -> Self {
        self.with(Expression::Decide(verdict))
    }

    fn with(mut self, expression: Expression<'a>) -> Self {
        self.expressions.push(expression);
        self
    }

    /// Appends the rule to a chain.
    pub fn add(self, transaction: &mut Transaction, table: &str, chain: &str) {
        let family = transaction.family.number();
        self.add_to(transaction, family, table, chain, None);
    }

    /// Appends the rule to a chain of a table of this family, with a comment.
    pub fn add_to(
        self,
        transaction: &mut Transaction,
        family: u8,
        table: &str,
        chain: &str,
        comment: Option<&str>,
    ) {
        transaction.add_to(family, Request::NewRule, Existing::Keep, |message| {
            message.text(RULE_TABLE, table).text(RULE_CHAIN, chain).nest(RULE_EXPRESSIONS, |list| {
                for expression in &self.expressions {
                    expression.encode(list);
                }
            });
            if let Some(comment) = comment {
                message.bytes(RULE_USER_DATA, &transit::comment(comment));
            }
        });
    }
}

impl Expression<'_> {
    fn encode(&self, list: &mut Attributes<'_>) {
        match self {
            Expression::Load(what, into) => what.encode(*into, list),
            Expression::Equal(register, bytes) => compare(list, *register, CMP_EQUAL, bytes),
            Expression::AnyOf(register, bits) => {
                mask(list, *register, *bits);
                compare(list, *register, CMP_DIFFERENT, &[0; 4]);
            }
            Expression::NoneOf(register, bits) => {
                mask(list, *register, *bits);
                compare(list, *register, CMP_EQUAL, &[0; 4]);
            }
            Expression::Contains(set, key) => element(list, "lookup", |e| {
                e.text(1, set).number(2, key.number());
            }),
            Expression::Map(map, key, into) => element(list, "lookup", |e| {
                e.text(1, map).number(2, key.number()).number(3, into.number());
            }),
            Expression::Set(register, bytes) => element(list, "immediate", |e| {
                e.number(1, register.number()).nest(2, |data| value(data, bytes));
            }),
            Expression::Decide(verdict) => element(list, "immediate", |e| {
                e.number(1, VERDICT_REGISTER).nest(2, |data| {
                    data.nest(DATA_VERDICT, |v| verdict.encode(v));
                });
            }),
            Expression::Redirect(family, address, port) => element(list, "nat", |e| {
                e.number(1, NAT_DESTINATION).number(2, family.number().into());
                e.number(3, address.number()).number(5, port.number());
            }),
            Expression::Masquerade => element(list, "masq", |_| {}),
            Expression::Count => element(list, "counter", |_| {}),
            Expression::Copy(towards) => element(list, "dup", |e| {
                e.number(1, towards.number());
            }),
            Expression::SetPriority(register) => element(list, "meta", |e| {
                e.number(2, META_PRIORITY).number(3, register.number());
            }),
            Expression::SetZone(register) => element(list, "ct", |e| {
                e.number(2, CT_ZONE).number(4, register.number());
            }),
        }
    }
}

impl Load {
    /// The number by which the expression `meta` knows it, if it does.
    pub fn meta_key(self) -> Option<u32> {
        Some(match self {
            Load::Priority => META_PRIORITY,
            Load::InputName => 6,
            Load::OutputName => 7,
            Load::Transport => 16,
            Load::InputGroup => 21,
            Load::OutputGroup => 22,
            _ => return None,
        })
    }

    fn encode(self, into: Register, list: &mut Attributes<'_>) {
        let simple = |list: &mut Attributes<'_>, name, key| {
            element(list, name, |e| {
                e.number(1, into.number()).number(2, key);
            });
        };
        let payload = |list: &mut Attributes<'_>, base, offset, length| {
            element(list, "payload", |e| {
                e.number(1, into.number()).number(2, base).number(3, offset).number(4, length);
            });
        };
        if let Some(key) = self.meta_key() {
            return simple(list, "meta", key);
        }
        match self {
            Load::InputName
            | Load::OutputName
            | Load::InputGroup
            | Load::OutputGroup
            | Load::Priority
            | Load::Transport => unreachable!("they have a key"),
            Load::ConnectionState => simple(list, "ct", 0),
            Load::ConnectionStatus => simple(list, "ct", 2),
            Load::Destination(length) => payload(list, NETWORK_HEADER, 16, length),
            Load::Destination6 => payload(list, NETWORK_HEADER, 24, 16),
            Load::DestinationPort => payload(list, TRANSPORT_HEADER, 2, 2),
            Load::DestinationKind => element(list, "fib", |e| {
                e.number(1, into.number()).number(2, FIB_ADDRESS_TYPE).number(3, FIB_OF_DESTINATION);
            }),
        }
    }
}

impl Verdict<'_> {
    fn encode(self, data: &mut Attributes<'_>) {
        match self {
            Verdict::Drop => data.number(VERDICT_CODE, 0),
            Verdict::Accept => data.number(VERDICT_CODE, 1),
            Verdict::Jump(chain) => {
                data.number(VERDICT_CODE, (-3_i32).cast_unsigned()).text(VERDICT_CHAIN, chain)
            }
        };
    }
}

impl Register {
    /// The kernel's number; those below 8 are the same memory in units of 16 bytes.
    fn number(self) -> u32 {
        8 + self.0
    }
}

/// The first register, where every key starts.
pub(super) const FIRST: Register = Register(0);

fn element(list: &mut Attributes<'_>, name: &str, write: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(LIST_ELEMENT, |e| {
        e.text(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, write);
    });
}

fn compare(list: &mut Attributes<'_>, register: Register, operator: u32, bytes: &[u8]) {
    element(list, "cmp", |e| {
        e.number(1, register.number()).number(2, operator).nest(3, |data| value(data, bytes));
    });
}

fn mask(list: &mut Attributes<'_>, register: Register, bits: u32) {
    element(list, "bitwise", |e| {
        e.number(1, register.number()).number(2, register.number()).number(3, 4);
        e.nest(4, |mask| value(mask, &bits.to_ne_bytes())).nest(5, |xor| value(xor, &[0; 4]));
    });
}

fn value(data: &mut Attributes<'_>, bytes: &[u8]) {
    data.bytes(DATA_VALUE, bytes);
}

/// A bit of [`Load::ConnectionState`].
pub(super) const NEW: u32 = 0x8;
/// Bits of [`Load::ConnectionState`].
pub(super) const ESTABLISHED_OR_RELATED: u32 = 0x2 | 0x4;
/// A bit of [`Load::ConnectionStatus`].
pub(super) const DESTINATION_TRANSLATED: u32 = 0x20;
/// A value of [`Load::DestinationKind`], in the machine's byte order: an address of this host.
pub(super) const LOCAL: u32 = 2;

const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USER_DATA: u16 = 7;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const VERDICT_REGISTER: u32 = 0;
const META_PRIORITY: u32 = 2;
const CT_ZONE: u32 = 17;
const CMP_EQUAL: u32 = 0;
const CMP_DIFFERENT: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_OF_DESTINATION: u32 = 2;
const NAT_DESTINATION: u32 = 1;
