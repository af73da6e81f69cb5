//! The way through other people's tables: their chains in the forward hook that drop what they know nothing of.
//!
//! Whoever makes a host no router does it so: docker and ufw set the policy of `filter FORWARD` to drop, and administrators
//! that of a chain of their own. What another table drops, ours cannot accept. So such a chain gets, at its end, after all that
//! it says itself, two rules for each bridge: accept what comes from it, accept what goes to it. They decide what is left to
//! the policy and nothing else, and what may go to a bridge is still for our own table to say. They are written as iptables
//! writes them, so that it can read them, and carry [`COMMENT`].

use std::io;

use rustix::io::Errno;

use super::{
    Firewall, is,
    message::{Existing, Request, Transaction, dump, find, find_number, find_text, list},
    rule::{Load, Rule, Verdict},
};
use crate::{Bridge, Family, InterfaceName, NetworkError, netlink::Socket};

impl Firewall {
    /// Lets what comes from `bridge` and goes to it pass the chains whose policy would drop it. One question to the kernel if
    /// there is no such chain.
    pub(crate) fn open_transit(&self, bridge: &Bridge) -> Result<(), NetworkError> {
        let open = || {
            for chain in Chain::all(&self.socket)? {
                if chain.drops && chain.concerns(bridge) {
                    chain.open(&self.socket, &bridge.name)?;
                }
            }
            Ok(())
        };
        open().map_err(NetworkError::refused(format!("let {} through the host's firewall", bridge.name)))
    }

    /// Takes [`Firewall::open_transit`] back, whatever the policies are by now.
    pub(crate) fn close_transit(&self, bridge: &Bridge) -> Result<(), NetworkError> {
        let close =
            || Chain::all(&self.socket)?.iter().try_for_each(|chain| chain.close(&self.socket, &bridge.name));
        close().map_err(NetworkError::refused(format!(
            "take the way of {} through the host's firewall back",
            bridge.name
        )))
    }
}

/// A chain in the forward hook, of any table.
struct Chain {
    family: u8,
    table: String,
    name: String,
    /// Whether its policy is to drop.
    drops: bool,
}

/// Which way a rule of ours lets packets pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

impl Chain {
    fn all(socket: &Socket) -> io::Result<Vec<Chain>> {
        let mut chains = Vec::new();
        dump(
            socket,
            UNSPECIFIED,
            Request::GetChains,
            |_| {},
            |family, chain| {
                let hook = find(chain, CHAIN_HOOK).and_then(|hook| find_number(hook, HOOK_NUMBER));
                if hook != Some(FORWARD) || ![INET, IPV4, IPV6].contains(&family) {
                    return;
                }
                if let (Some(table), Some(name)) =
                    (find_text(chain, CHAIN_TABLE), find_text(chain, CHAIN_NAME))
                {
                    let drops = find_number(chain, CHAIN_POLICY) == Some(DROP);
                    chains.push(Chain { family, table, name, drops });
                }
            },
        )?;
        Ok(chains)
    }

    fn concerns(&self, bridge: &Bridge) -> bool {
        self.family != IPV6 || bridge.ipv6.is_some()
    }

    fn open(&self, socket: &Socket, bridge: &InterfaceName) -> io::Result<()> {
        let there: Vec<Way> = self.ways(socket, bridge)?.iter().map(|(_, way)| *way).collect();
        let mut transaction = Transaction::new(Family::V4);
        for way in [Way::Out, Way::In] {
            if !there.contains(&way) {
                let name = [bridge.as_bytes(), &[0]].concat();
                let rule = Rule::new().is(way.interface(), &name).count().then(Verdict::Accept);
                rule.add_to(&mut transaction, self.family, &self.table, &self.name, Some(COMMENT));
            }
        }
        if there.len() < 2 { self.commit(transaction, socket) } else { Ok(()) }
    }

    fn close(&self, socket: &Socket, bridge: &InterfaceName) -> io::Result<()> {
        let mut transaction = Transaction::new(Family::V4);
        let ways = self.ways(socket, bridge)?;
        for (handle, _) in &ways {
            transaction.add_to(self.family, Request::DeleteRule, Existing::Keep, |message| {
                message.text(RULE_TABLE, &self.table).text(RULE_CHAIN, &self.name).bytes(RULE_HANDLE, handle);
            });
        }
        if ways.is_empty() { Ok(()) } else { self.commit(transaction, socket) }
    }

    /// Commits, unless the chain or the rule went away while we looked, or the table is one that only its owner may change:
    /// nft(8), `flags owner`.
    fn commit(&self, transaction: Transaction, socket: &Socket) -> io::Result<()> {
        match transaction.commit(socket) {
            Err(refusal) if is(&refusal.error, Errno::NOENT) || is(&refusal.error, Errno::PERM) => Ok(()),
            outcome => outcome.map_err(|refusal| refusal.error),
        }
    }

    /// The rules of ours for a bridge, by their handles.
    fn ways(&self, socket: &Socket, bridge: &InterfaceName) -> io::Result<Vec<(Vec<u8>, Way)>> {
        let mut ways = Vec::new();
        let of_this = |message: &mut super::message::Attributes<'_>| {
            message.text(RULE_TABLE, &self.table).text(RULE_CHAIN, &self.name);
        };
        let asked = dump(socket, self.family, Request::GetRules, of_this, |_, rule| {
            let is_ours = find(rule, RULE_USER_DATA).is_some_and(|data| data == comment(COMMENT));
            if let (true, Some(way), Some(handle)) = (is_ours, Way::of(rule, bridge), find(rule, RULE_HANDLE))
            {
                ways.push((handle.to_vec(), way));
            }
        });
        match asked {
            Err(error) if !is(&error, Errno::NOENT) => Err(error),
            _ => Ok(ways),
        }
    }
}

impl Way {
    fn interface(self) -> Load {
        match self {
            Way::Out => Load::InputName,
            Way::In => Load::OutputName,
        }
    }

    /// The way that a rule of ours lets packets of `bridge` pass.
    fn of(rule: &[u8], bridge: &InterfaceName) -> Option<Way> {
        let mut expressions = list(find(rule, RULE_EXPRESSIONS)?).map(|(_, expression)| expression);
        let load = expressions.next()?;
        let compared = find(expressions.next()?, EXPRESSION_DATA)?;
        let name = find_text(find(compared, COMPARED_WITH)?, VALUE)?;
        let key = find_number(find(load, EXPRESSION_DATA)?, META_KEY)?;
        let way = [Way::Out, Way::In].into_iter().find(|way| way.interface().meta_key() == Some(key));
        way.filter(|_| name == **bridge)
    }
}

/// A comment as nft and iptables keep it beside a rule.
pub(super) fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).expect("comments are short");
    [&[COMMENT_TYPE, length], text.as_bytes(), &[0]].concat()
}

/// By which rules of ours in others' tables are known.
const COMMENT: &str = "sampan";
const COMMENT_TYPE: u8 = 0;

// See linux/netfilter.h and linux/netfilter/nf_tables.h.
const UNSPECIFIED: u8 = 0;
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const FORWARD: u32 = 2;
const DROP: u32 = 0;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USER_DATA: u16 = 7;
const EXPRESSION_DATA: u16 = 2;
const META_KEY: u16 = 2;
const COMPARED_WITH: u16 = 3;
const VALUE: u16 = 1;
