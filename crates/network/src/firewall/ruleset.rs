//! The rules of a table. They never change: networks and ports come and go as elements of the sets they
//! consult.
//!
//! There is a table for IPv4, and one for IPv6 as soon as a network speaks it. They differ in what loopback is: IPv6 has
//! no way to lead what is sent to ::1 elsewhere, and such packets are left to whoever listens there.
//!
//! ```text
//! antispoof    prerouting, raw   from our bridges, to 127.0.0.0/8: drop
//! prerouting   nat               to an address of this host: publish
//! output       nat               to an address of this host: publish
//! publish                        address, protocol and port in a map: to the container
//! postrouting  nat               translated, and back to the bridge it came from: masquerade
//!                                between ports of one bridge: leave alone
//!                                from a masqueraded bridge: masquerade
//!                                translated, from this host or turned around by a bridge: masquerade
//! input        filter            from an internal network: only answers
//! forward      filter            answers: accept
//!                                within a bridge whose containers may see each other: accept
//!                                from or to an internal network: drop
//!                                translated by `publish`: accept
//!                                to any of our bridges: drop
//! ```

use std::net::Ipv6Addr;

use super::{
    message::{Existing, Family, Request, Transaction},
    rule::{
        DESTINATION_TRANSLATED, ESTABLISHED_OR_RELATED, FIRST, LOCAL, Load, Register, Rule,
        Verdict::{Accept, Drop, Jump},
    },
    set,
};

/// Creates the table with its sets, chains and rules. Refused if the table exists.
pub(super) fn install(transaction: &mut Transaction, table: &str) {
    transaction.add(Request::NewTable, Existing::Refuse, |message| {
        message.text(1, table);
    });
    for (number, set) in (1..).zip(set::ALL) {
        set.create(transaction, table, number);
    }
    for chain in ["antispoof", "prerouting", "output", "postrouting", "input", "forward", "publish"] {
        add_chain(transaction, table, chain);
    }
    let family = transaction.family;
    let mut add = |chain, rule: Rule<'_>| rule.add(transaction, table, chain);

    // The address, and the register after it.
    let (destination, after) = match family {
        Family::V4 => {
            let spoofed = Rule::new().input_in(set::BRIDGES.name).is(Load::Destination(1), &[127]);
            add("antispoof", spoofed.then(Drop));
            (Load::Destination(4), Register(1))
        }
        Family::V6 => {
            let loopback = Ipv6Addr::LOCALHOST.octets();
            add("publish", Rule::new().is(Load::Destination6, &loopback).then(Accept));
            (Load::Destination6, Register(4))
        }
    };

    for chain in ["prerouting", "output"] {
        add(chain, Rule::new().is(Load::DestinationKind, &LOCAL.to_ne_bytes()).then(Jump("publish")));
    }
    add(
        "publish",
        Rule::new()
            .load(destination, FIRST)
            .load(Load::Transport, after)
            .load(Load::DestinationPort, Register(after.0 + 1))
            .map(set::ADDRESSED_PORTS.name, FIRST, FIRST)
            .redirect(family, FIRST, after),
    );
    add(
        "publish",
        Rule::new()
            .load(Load::Transport, FIRST)
            .load(Load::DestinationPort, Register(1))
            .map(set::PORTS.name, FIRST, FIRST)
            .redirect(family, FIRST, after),
    );

    // A container that reaches its neighbour through the host must see the answers come back the same way.
    add(
        "postrouting",
        Rule::new()
            .pair_in(set::SAME.name)
            .any_of(Load::ConnectionStatus, DESTINATION_TRANSLATED)
            .masquerade(),
    );
    add("postrouting", Rule::new().pair_in(set::SAME.name).then(Accept));
    add("postrouting", Rule::new().input_in(set::MASQUERADED.name).masquerade());
    // No container can answer 127.0.0.1, nor itself. Without an input interface it is the host that sends, or
    // a bridge whose packets the firewall sees (br_netfilter) that turns one around.
    add(
        "postrouting",
        Rule::new()
            .is(Load::InputName, &[0; 16])
            .output_in(set::BRIDGES.name)
            .any_of(Load::ConnectionStatus, DESTINATION_TRANSLATED)
            .masquerade(),
    );

    add(
        "input",
        Rule::new()
            .input_in(set::INTERNAL.name)
            .any_of(Load::ConnectionState, ESTABLISHED_OR_RELATED)
            .then(Accept),
    );
    add("input", Rule::new().input_in(set::INTERNAL.name).then(Drop));

    add("forward", Rule::new().any_of(Load::ConnectionState, ESTABLISHED_OR_RELATED).then(Accept));
    add("forward", Rule::new().pair_in(set::OPEN.name).then(Accept));
    add("forward", Rule::new().input_in(set::INTERNAL.name).then(Drop));
    add("forward", Rule::new().output_in(set::INTERNAL.name).then(Drop));
    add("forward", Rule::new().any_of(Load::ConnectionStatus, DESTINATION_TRANSLATED).then(Accept));
    add("forward", Rule::new().output_in(set::BRIDGES.name).then(Drop));
}

/// Keeps a host that was no router from becoming one: only what passes a bridge of an engine's is forwarded.
/// Engines share the table `table`, and know each other's bridges by their device group.
pub(super) fn close_forwarding(transaction: &mut Transaction, table: &str, group: u32) {
    transaction.add(Request::NewTable, Existing::Refuse, |message| {
        message.text(1, table);
    });
    add_chain(transaction, table, "forward");
    let mut add = |rule: Rule<'_>| rule.add(transaction, table, "forward");
    add(Rule::new().is(Load::InputGroup, &group.to_ne_bytes()).then(Accept));
    add(Rule::new().is(Load::OutputGroup, &group.to_ne_bytes()).then(Accept));
    add(Rule::new().then(Drop));
}

/// Leads what is sent to `address`, port 53, to the ports a resolver listens on instead, in a namespace of
/// its own.
pub(super) fn redirect_dns(transaction: &mut Transaction, table: &str, address: [u8; 4], udp: u16, tcp: u16) {
    transaction.add(Request::NewTable, Existing::Keep, |message| {
        message.text(1, table);
    });
    add_chain(transaction, table, "output");
    for (protocol, port) in [(UDP, udp), (TCP, tcp)] {
        Rule::new()
            .is(Load::Destination(4), &address)
            .is(Load::Transport, &[protocol])
            .is(Load::DestinationPort, &53_u16.to_be_bytes())
            .set(FIRST, &address)
            .set(Register(1), &port.to_be_bytes())
            .redirect(Family::V4, FIRST, Register(1))
            .add(transaction, table, "output");
    }
}

/// A chain, at the hook its name says unless that is none.
fn add_chain(transaction: &mut Transaction, table: &str, name: &str) {
    let hook = match name {
        "antispoof" => Some(("filter", PREROUTING, RAW)),
        "prerouting" => Some(("nat", PREROUTING, DESTINATION_NAT)),
        "output" => Some(("nat", OUTPUT, DESTINATION_NAT)),
        "postrouting" => Some(("nat", POSTROUTING, SOURCE_NAT)),
        "input" => Some(("filter", INPUT, FILTER)),
        "forward" => Some(("filter", FORWARD, FILTER)),
        _ => None,
    };
    transaction.add(Request::NewChain, Existing::Keep, |message| {
        message.text(1, table).text(3, name);
        if let Some((kind, hook, priority)) = hook {
            message.nest(4, |at| {
                at.number(1, hook).number(2, priority.cast_unsigned());
            });
            message.text(7, kind);
        }
    });
}

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const SCTP: u8 = 132;

const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;

const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;
