//! The rules of a table. They never change: networks and ports come and go as elements of the sets they
//! consult.
//!
//! There is a table for IPv4, and one for IPv6 as soon as a network speaks it. They differ in what loopback is: IPv6 has
//! no way to lead what is sent to ::1 elsewhere, and such packets are left to whoever listens there.
//!
//! ```text
//! antispoof    prerouting, raw   from our bridges, to 127.0.0.0/8: drop
//! admitted     input, last       the first packet of a connection, to an address of this host: admit
//! admit                          address, protocol and port in a map: send a copy to the container, drop
//! copies       output, raw       such a copy: track its connection
//! output       nat               to an address of this host: publish
//! publish                        address, protocol and port in a map: to the container
//! postrouting  nat               a copy, unless of a container's: leave alone
//!                                translated, and back to the bridge it came from: masquerade
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
//!
//! A connection to a published port begins in the input hook, as one to a program of this host would: whatever the host's
//! firewall denies there, by whichever tables, is gone by the time the packet gets to `admitted`. What does get there has a
//! copy sent to the container from the output hook, where it is translated as the host's own connections are. The connection
//! that is tracked is the copy's; all of its other packets are led by that alone, through the forward hook. The packet itself
//! is dropped, and what was tracked of it with it. See docs/decisions/0012-a-container-is-a-program-of-this-host.md.

use std::net::Ipv6Addr;

use super::{
    message::{Existing, Request, Transaction},
    rule::{
        DESTINATION_TRANSLATED, ESTABLISHED_OR_RELATED, FIRST, LOCAL, Load, NEW, Register, Rule,
        Verdict::{Accept, Drop, Jump},
    },
    set,
};
use crate::Family;

/// Whether connections from elsewhere are led to containers, which takes a kernel with nft_dup and conntrack zones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Led,
    /// They are left to whoever listens on the host's port, which is a relay for TCP, and nobody else.
    NotLed,
}

/// Creates the table with its sets, chains and rules. Refused if the table exists.
pub(super) fn install(transaction: &mut Transaction, table: &str, admission: Admission) {
    transaction.add(Request::NewTable, Existing::Refuse, |message| {
        message.text(1, table);
    });
    for (number, set) in (1..).zip(set::ALL) {
        set.create(transaction, table, number);
    }
    for chain in
        ["antispoof", "admitted", "admit", "copies", "output", "publish", "postrouting", "input", "forward"]
    {
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
            for chain in ["publish", "admit"] {
                add(chain, Rule::new().is(Load::Destination6, &loopback).then(Accept));
            }
            (Load::Destination6, Register(4))
        }
    };

    // Where a packet's port leads: the container's address, and its port in the register after that.
    let addressed = |rule: Rule<'static>| {
        rule.load(destination, FIRST)
            .load(Load::Transport, after)
            .load(Load::DestinationPort, Register(after.0 + 1))
            .map(set::ADDRESSED_PORTS.name, FIRST, FIRST)
    };
    let everywhere = |rule: Rule<'static>| {
        rule.load(Load::Transport, FIRST).load(Load::DestinationPort, Register(1)).map(
            set::PORTS.name,
            FIRST,
            FIRST,
        )
    };
    let targets: [&dyn Fn(Rule<'static>) -> Rule<'static>; 2] = [&addressed, &everywhere];

    if admission == Admission::Led {
        // What somebody else has led to this port before has a connection that a copy would not belong to.
        let first = Rule::new().any_of(Load::ConnectionState, NEW);
        let first = first.none_of(Load::ConnectionStatus, DESTINATION_TRANSLATED);
        add(ADMITTED, first.is(Load::DestinationKind, &LOCAL.to_ne_bytes()).then(Jump("admit")));
        let of_containers = Rule::new().input_in(set::BRIDGES.name);
        for (from, priority) in [(of_containers, COPY_OF_CONTAINERS), (Rule::new(), COPY)] {
            for target in targets {
                let copy = target(from.clone()).set_priority(priority, after).copy(FIRST);
                add("admit", copy.then(Drop));
            }
        }
        for priority in [COPY, COPY_OF_CONTAINERS] {
            add("copies", Rule::new().is(Load::Priority, &priority.to_ne_bytes()).set_zone(DEFAULT_ZONE));
        }
    }

    add("output", Rule::new().is(Load::DestinationKind, &LOCAL.to_ne_bytes()).then(Jump("publish")));
    for target in targets {
        add("publish", target(Rule::new()).redirect(family, FIRST, after));
    }

    // The container sees who it is that connects. Copies seem to come from the bridge that they leave by.
    add("postrouting", Rule::new().is(Load::Priority, &COPY.to_ne_bytes()).then(Accept));
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
        ADMITTED => Some(("filter", INPUT, LAST)),
        "copies" => Some(("filter", OUTPUT, RAW)),
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

/// The chain that has what the host's firewall has let in; empty where that cannot be led.
pub(crate) const ADMITTED: &str = "admitted";

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
/// After all chains of the host's, and before what is tracked is confirmed: that is at the highest number there is for IPv4,
/// and at the one before it for IPv6 (nf_conntrack_proto.c).
const LAST: i32 = i32::MAX - 2;

/// The priorities of copies, by which they are known in the output hook and behind it: what a packet that was received has
/// there means nothing to anybody. Programs need CAP_NET_ADMIN for numbers of this size.
const COPY: u32 = 0x5a4d_0001;
const COPY_OF_CONTAINERS: u32 = 0x5a4d_0002;
/// The zone of connections that nobody has chosen a zone for.
const DEFAULT_ZONE: u16 = 0;
