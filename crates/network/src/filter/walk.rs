//! What the host's chains decide about a packet, whoever sends it. Pure: rules and a question in, verdicts out.
//!
//! All senders are followed at once. A rule takes those that it is about out of the set, and the rest goes on to the next
//! rule. Where a rule tests something that is not known of the packet, it may decide or not: whom it may be about goes on,
//! with a note of what the rule would have said. If the end is the same, the note did not matter; if not, nobody can say.

use super::{
    addresses::Addresses,
    rule::{Action, Base, Chain, Field, Filters, Hook, Rule, Table, Test},
};
use crate::Family;

/// A packet, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub hook: Hook,
    pub family: Family,
    /// The number of the transport: 6 for TCP.
    pub protocol: u8,
    pub port: u16,
    pub state: State,
    /// The interface's name, and its number if that is known.
    pub input: Option<(String, Option<u32>)>,
    pub output: Option<(String, Option<u32>)>,
    pub destination: Option<std::net::IpAddr>,
    pub sources: Addresses,
}

/// Where in its connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    New,
    /// Of one that was translated on its way to a container, or back.
    Established,
}

/// What becomes of the packet from some of its senders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub sources: Addresses,
    pub decision: Decision,
    pub reason: Reason,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Decision {
    Accepted,
    Dropped,
    Rejected,
    /// It depends on what is not known, in the rule that is the reason.
    Unknown,
}

/// Why it is so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    Rule {
        table: Table,
        chain: String,
        handle: u64,
        text: String,
    },
    Policy {
        table: Table,
        chain: String,
    },
    /// No chain at the hook says anything.
    NoRules,
}

impl Filters {
    /// What becomes of `packet`. The verdicts' sources are apart, and together those of the packet.
    pub fn decide(&self, packet: &Packet) -> Vec<Verdict> {
        let mut bases: Vec<(&Chain, Base)> =
            self.chains.iter().filter_map(|chain| Some((chain, chain.base?))).collect();
        bases.retain(|(chain, base)| base.hook == packet.hook && chain.table.concerns(packet.family));
        bases.sort_by_key(|(_, base)| base.priority);
        let mut passing = vec![Passing::of(packet.sources.clone())];
        let mut verdicts = Vec::new();
        for (chain, base) in bases {
            let mut walk = Walk { filters: self, packet, ended: Vec::new() };
            let mut undecided = walk.chain(chain, passing, 0);
            for passing in &mut undecided {
                let policy = Reason::Policy { table: chain.table.clone(), chain: chain.name.clone() };
                match base.drops {
                    true => walk.ended.push((passing.clone(), Decision::Dropped, policy)),
                    // That it was left alone is worth a word only if nothing else is said.
                    false if passing.because == Reason::NoRules && !chain.rules.is_empty() => {
                        passing.because = policy;
                    }
                    false => {}
                }
            }
            let (accepted, ended): (Vec<_>, Vec<_>) =
                walk.ended.into_iter().partition(|(_, decision, _)| *decision == Decision::Accepted);
            verdicts.extend(
                ended.into_iter().map(|(passing, decision, reason)| passing.verdict(decision, reason)),
            );
            let accepted = accepted.into_iter().map(|(passing, _, because)| Passing { because, ..passing });
            passing = undecided.into_iter().filter(|_| !base.drops).chain(accepted).collect();
        }
        verdicts.extend(passing.into_iter().map(|passing| {
            let because = passing.because.clone();
            passing.verdict(Decision::Accepted, because)
        }));
        joined(verdicts)
    }

    fn find(&self, table: &Table, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.table == *table && chain.name == name)
    }
}

/// Senders whose packet has come this far.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Passing {
    sources: Addresses,
    /// What accepted it last.
    because: Reason,
    /// Rules that may have ended its way.
    perhaps_accepted: Option<Reason>,
    perhaps_dropped: Option<Reason>,
}

impl Passing {
    fn of(sources: Addresses) -> Passing {
        Passing { sources, because: Reason::NoRules, perhaps_accepted: None, perhaps_dropped: None }
    }

    fn only(&self, sources: Addresses) -> Option<Passing> {
        (!sources.is_empty()).then(|| Passing { sources, ..self.clone() })
    }

    fn verdict(self, decision: Decision, reason: Reason) -> Verdict {
        let doubt = match decision {
            Decision::Accepted => self.perhaps_dropped,
            _ => self.perhaps_accepted,
        };
        match doubt {
            Some(reason) => Verdict { sources: self.sources, decision: Decision::Unknown, reason },
            None => Verdict { sources: self.sources, decision, reason },
        }
    }
}

struct Walk<'a> {
    filters: &'a Filters,
    packet: &'a Packet,
    ended: Vec<(Passing, Decision, Reason)>,
}

impl Walk<'_> {
    /// Those whom the chain does not decide about.
    fn chain(&mut self, chain: &Chain, entering: Vec<Passing>, depth: u32) -> Vec<Passing> {
        let mut left = Vec::new();
        let mut here = entering;
        for rule in &chain.rules {
            let mut next = Vec::new();
            for passing in here {
                let (sure, perhaps) = self.about(&rule.tests, &passing.sources);
                let rest = passing.sources.without(&sure).without(&perhaps);
                next.extend(passing.only(rest));
                if let Some(sure) = passing.only(sure) {
                    self.act(chain, rule, &rule.action, sure, &mut next, &mut left, depth);
                }
                if let Some(perhaps) = passing.only(perhaps) {
                    self.perhaps(chain, rule, perhaps, &mut next, depth);
                }
            }
            here = next;
        }
        left.extend(here);
        left
    }

    #[expect(clippy::too_many_arguments, reason = "where a packet is, and the three ways that it may go on")]
    fn act(
        &mut self,
        chain: &Chain,
        rule: &Rule,
        action: &Action,
        mut passing: Passing,
        next: &mut Vec<Passing>,
        left: &mut Vec<Passing>,
        depth: u32,
    ) {
        let reason = || reason(chain, rule);
        let sub = |walk: &mut Self, name: &str, passing| match walk.filters.find(&chain.table, name) {
            Some(target) if depth < DEEPEST => walk.chain(target, vec![passing], depth + 1),
            _ => vec![passing],
        };
        match action {
            Action::Accept => self.ended.push((passing, Decision::Accepted, reason())),
            Action::Drop => self.ended.push((passing, Decision::Dropped, reason())),
            Action::Reject => self.ended.push((passing, Decision::Rejected, reason())),
            Action::Continue => next.push(passing),
            Action::Return => left.push(passing),
            Action::Jump(name) => next.extend(sub(self, name, passing)),
            Action::Goto(name) => left.extend(sub(self, name, passing)),
            Action::Map { fields, elements } => {
                let mut rest = passing.sources.clone();
                for (key, action) in elements {
                    let test =
                        Test::Tuple { fields: fields.clone(), elements: vec![key.clone()], negated: false };
                    let (sure, perhaps) = self.about(std::slice::from_ref(&test), &passing.sources);
                    rest = rest.without(&sure).without(&perhaps);
                    if let Some(sure) = passing.only(sure) {
                        self.act(chain, rule, action, sure, next, left, depth);
                    }
                    next.extend(passing.only(perhaps).map(|perhaps| perhaps.in_doubt(reason())));
                }
                next.extend(passing.only(rest));
            }
            Action::Unknown(_) => {
                passing = passing.in_doubt(reason());
                next.push(passing);
            }
        }
    }

    /// Notes what the rule would have said, and lets everybody go on.
    fn perhaps(&mut self, chain: &Chain, rule: &Rule, passing: Passing, next: &mut Vec<Passing>, depth: u32) {
        let mut walk = Walk { filters: self.filters, packet: self.packet, ended: Vec::new() };
        let (mut after, mut left) = (Vec::new(), Vec::new());
        walk.act(chain, rule, &rule.action, passing, &mut after, &mut left, depth);
        next.extend(after);
        // Whether the rest of the chain is skipped depends.
        next.extend(left.into_iter().map(|passing| passing.in_doubt(reason(chain, rule))));
        next.extend(walk.ended.into_iter().map(|(passing, decision, _)| {
            let reason = Some(reason(chain, rule));
            match decision {
                Decision::Accepted => Passing { perhaps_accepted: reason, ..passing },
                _ => Passing { perhaps_dropped: reason, ..passing },
            }
        }));
    }

    /// The senders whose packet passes all tests, and those of whom that is not known.
    fn about(&self, tests: &[Test], sources: &Addresses) -> (Addresses, Addresses) {
        let mut sure = sources.clone();
        let mut perhaps = Addresses::none(self.packet.family);
        for test in tests {
            let (certainly, possibly) = self.passing(test);
            perhaps = perhaps.and(&certainly.or(&possibly)).or(&sure.and(&possibly));
            sure = sure.and(&certainly);
        }
        (sure, perhaps)
    }

    /// All senders whose packet passes the test, and those of whom that is not known.
    fn passing(&self, test: &Test) -> (Addresses, Addresses) {
        let family = self.packet.family;
        let (all, none) = (|| Addresses::all(family), || Addresses::none(family));
        let negate = |certainly: Addresses, possibly: Addresses, negated: bool| match negated {
            true => (all().without(&certainly).without(&possibly), possibly),
            false => (certainly, possibly),
        };
        match test {
            Test::Unknown(_) => (none(), all()),
            Test::In { field, ranges, negated } => {
                let (certainly, possibly) = self.within(*field, ranges);
                negate(certainly, possibly, *negated)
            }
            Test::Bits { field, mask, value, negated } => match self.packet.value(*field) {
                Some(known) if (known & mask == *value) != *negated => (all(), none()),
                Some(_) => (none(), none()),
                None => (none(), all()),
            },
            Test::Tuple { fields, elements, negated } => {
                let (mut certainly, mut possibly) = (none(), none());
                for element in elements {
                    let (mut sure, mut perhaps) = (all(), none());
                    for (field, range) in fields.iter().zip(element) {
                        let (yes, maybe) = self.within(*field, std::slice::from_ref(range));
                        perhaps = perhaps.and(&yes.or(&maybe)).or(&sure.and(&maybe));
                        sure = sure.and(&yes);
                    }
                    (certainly, possibly) = (certainly.or(&sure), possibly.or(&perhaps));
                }
                let possibly = possibly.without(&certainly);
                negate(certainly, possibly, *negated)
            }
        }
    }

    fn within(&self, field: Field, ranges: &[(u128, u128)]) -> (Addresses, Addresses) {
        let family = self.packet.family;
        let (all, none) = (Addresses::all(family), Addresses::none(family));
        match (field, self.packet.value(field)) {
            (Field::Source, _) => (Addresses::within(family, ranges).and(&all), none),
            (_, Some(value)) if ranges.iter().any(|(first, last)| (*first..=*last).contains(&value)) => {
                (all, none)
            }
            (_, Some(_)) => (none.clone(), none),
            (_, None) => (none, all),
        }
    }
}

impl Passing {
    /// The same after something that may have let it pass, or not.
    fn in_doubt(self, reason: Reason) -> Passing {
        Passing { perhaps_accepted: Some(reason.clone()), perhaps_dropped: Some(reason), ..self }
    }
}

impl Packet {
    fn value(&self, field: Field) -> Option<u128> {
        let name = |interface: &Option<(String, Option<u32>)>| {
            let mut padded = [0; 16];
            let bytes = interface.as_ref().map_or(&[][..], |(name, _)| name.as_bytes());
            padded[..bytes.len().min(15)].copy_from_slice(&bytes[..bytes.len().min(15)]);
            Some(u128::from_be_bytes(padded))
        };
        let index = |interface: &Option<(String, Option<u32>)>| match interface {
            None => Some(0),
            Some((_, index)) => index.map(u128::from),
        };
        match (field, self.state) {
            (Field::Family, _) => Some(if self.family == Family::V4 { 2 } else { 10 }),
            (Field::Protocol, _) => Some(self.protocol.into()),
            // The first packet asks for a connection, and does nothing else.
            (Field::TcpFlags, State::New) => Some(2),
            (Field::DestinationPort, State::New) => Some(self.port.into()),
            (Field::Destination, _) => self.destination.map(|address| match address {
                std::net::IpAddr::V4(address) => address.to_bits().into(),
                std::net::IpAddr::V6(address) => address.to_bits(),
            }),
            (Field::InputName, _) => name(&self.input),
            (Field::OutputName, _) => name(&self.output),
            (Field::InputIndex, _) => index(&self.input),
            (Field::OutputIndex, _) => index(&self.output),
            (Field::State, State::New) => Some(0x8),
            (Field::State, State::Established) => Some(0x2),
            // Seen, confirmed and assured, and its destination translated.
            (Field::Status, State::Established) => Some(0x2 | 0x8 | 0x20 | 0x80 | 0x100),
            (Field::Status, State::New) => Some(0x80 | 0x100),
            (Field::DestinationKind, State::New) if self.hook == Hook::Input => Some(2),
            (Field::SourceKind, State::New) if self.hook == Hook::Input => Some(1),
            _ => None,
        }
    }
}

fn reason(chain: &Chain, rule: &Rule) -> Reason {
    Reason::Rule {
        table: chain.table.clone(),
        chain: chain.name.clone(),
        handle: rule.handle,
        text: rule.to_string(),
    }
}

/// Those with the same decision for the same reason as one, the open ones first.
fn joined(verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let mut joined: Vec<Verdict> = Vec::new();
    for verdict in verdicts {
        let same = |one: &&mut Verdict| one.decision == verdict.decision && one.reason == verdict.reason;
        match joined.iter_mut().find(same) {
            Some(one) => one.sources = one.sources.or(&verdict.sources),
            None => joined.push(verdict),
        }
    }
    joined.sort_by_key(|verdict| verdict.decision);
    joined
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Rule { table, chain, handle, text } => {
                write!(f, "{table} {chain} handle {handle}: {text}")
            }
            Reason::Policy { table, chain } => write!(f, "{table} {chain}: its policy"),
            Reason::NoRules => f.write_str("no rules"),
        }
    }
}

/// No chain of a sound ruleset leads to itself; the kernel allows 16.
const DEEPEST: u32 = 32;
