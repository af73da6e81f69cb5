//! Address translation and isolation: one nftables table per engine, written by our own netlink messages.
//!
//! The table's rules are installed once per boot, in one transaction, and never change (see [`ruleset`]). A
//! network or a published port is a handful of elements in the sets the rules consult, so what a container
//! costs does not grow with the number of containers.

pub(crate) mod message;
mod rule;
mod ruleset;
mod set;
mod transit;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::io::Errno;
use types::{Protocol, Publish};

pub(crate) use self::ruleset::ADMITTED;
use self::{
    message::{Existing, Request, Transaction},
    ruleset::Admission,
    set::{Element, Set},
};
use crate::{
    Bridge, Family, NetworkError, ipv6,
    netlink::{Refusal, Socket},
};

/// A table of the kernel's firewall.
#[derive(Debug)]
pub struct Firewall {
    table: String,
    socket: Socket,
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// All of the host's addresses of the container's family if `None`.
    pub host_address: Option<IpAddr>,
    pub host_port: u16,
    pub protocol: Protocol,
    pub container: SocketAddr,
}

impl Firewall {
    /// The firewall table called `table` of the calling thread's network namespace, which need not exist yet.
    pub fn open(table: &str) -> Result<Firewall, NetworkError> {
        let socket = message::open().map_err(NetworkError::refused("open a netlink socket"))?;
        Ok(Firewall { table: table.to_owned(), socket })
    }

    /// Leads ports of the host to containers: all of them, or none and an error.
    ///
    /// Fails with [`NetworkError::PortTaken`] if a port leads somewhere already.
    pub fn publish(&self, forwards: &[Forward]) -> Result<(), NetworkError> {
        let (ipv4, ipv6): (Vec<Forward>, Vec<Forward>) =
            forwards.iter().partition(|forward| forward.container.is_ipv4());
        self.publish_in(Family::V4, &ipv4)?;
        self.publish_in(Family::V6, &ipv6).inspect_err(|_| {
            // The first failure is the one to tell.
            let _ = self.unpublish(&ipv4);
        })
    }

    fn publish_in(&self, family: Family, forwards: &[Forward]) -> Result<(), NetworkError> {
        if forwards.is_empty() {
            return Ok(());
        }
        let mut transaction = Transaction::new(family);
        let mut numbers = Vec::with_capacity(forwards.len());
        for forward in forwards {
            let (set, element) = forward.element();
            numbers.extend(set.add(&mut transaction, &self.table, Existing::Refuse, &[element]));
        }
        self.commit(transaction).map_err(|refusal| {
            let refused = forwards.iter().zip(numbers).find(|(_, number)| *number == refusal.sequence);
            let taken = refused.and_then(|(forward, _)| {
                let (set, element) = forward.element();
                set.target(&self.socket, &self.table, &element).ok().flatten().map(|target| (forward, target))
            });
            match taken {
                Some((forward, taken_by)) if is(&refusal.error, Errno::EXIST) => NetworkError::PortTaken {
                    host: SocketAddr::new(
                        forward.host_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                        forward.host_port,
                    ),
                    protocol: forward.protocol,
                    taken_by,
                },
                _ => NetworkError::Refused { action: "publish ports".to_owned(), source: refusal.error },
            }
        })
    }

    /// Undoes [`Firewall::publish`]. Ports that lead nowhere, or elsewhere by now, stay as they are.
    ///
    /// Whoever closes a firewall socket within some 10 ms waits until the kernel has freed what was removed,
    /// this process at its end included: do this last.
    pub fn unpublish(&self, forwards: &[Forward]) -> Result<(), NetworkError> {
        let once =
            forwards.iter().enumerate().filter(|(index, forward)| !forwards[..*index].contains(forward));
        let (ipv4, ipv6): (Vec<_>, Vec<_>) =
            once.map(|(_, forward)| forward.element()).partition(|(_, element)| element.family == Family::V4);
        self.remove(Family::V4, &ipv4)
            .and_then(|()| self.remove(Family::V6, &ipv6))
            .map_err(NetworkError::refused("unpublish ports"))
    }

    /// Whether connections to published ports are led to containers once the host's firewall has let them in. Where the kernel
    /// cannot do that they are left to [`crate::Relay`].
    pub(crate) fn admits(&self) -> Result<bool, NetworkError> {
        let mut rules = 0;
        let of_chain = |message: &mut message::Attributes<'_>| {
            message.text(1, &self.table).text(2, ruleset::ADMITTED);
        };
        let family = Family::V4.number();
        message::dump(&self.socket, family, Request::GetRules, of_chain, |_, _| rules += 1)
            .map_err(NetworkError::refused("read the firewall"))?;
        Ok(rules > 0)
    }

    /// Whether the table is installed and knows `bridge`. One question to the kernel for each family.
    pub(crate) fn knows(&self, bridge: &Bridge) -> Result<bool, NetworkError> {
        for family in families(bridge) {
            let element = Element::name(family, &bridge.name);
            let known = set::BRIDGES.has(&self.socket, &self.table, &element);
            if !known.map_err(NetworkError::refused("read the firewall"))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Installs the table if it is missing and adds what the rules must know of `bridge`.
    pub(crate) fn add_bridge(&self, bridge: &Bridge) -> Result<(), NetworkError> {
        // IPv4 last, which every bridge has: a bridge that is known there is known altogether.
        for family in families(bridge).into_iter().rev() {
            self.install(family)?;
            let mut transaction = Transaction::new(family);
            for (set, element) in elements(family, bridge) {
                set.add(&mut transaction, &self.table, Existing::Keep, &[element]);
            }
            let action = || format!("add bridge {} to the firewall", bridge.name);
            self.commit(transaction)
                .map_err(|refusal| NetworkError::Refused { action: action(), source: refusal.error })?;
        }
        Ok(())
    }

    /// Forgets `bridge`, in whichever sets it is.
    pub(crate) fn remove_bridge(&self, bridge: &Bridge) -> Result<(), NetworkError> {
        let action = || format!("remove bridge {} from the firewall", bridge.name);
        for family in families(bridge) {
            self.remove(family, &elements(family, bridge))
                .map_err(|error| NetworkError::refused(action())(error))?;
        }
        Ok(())
    }

    /// Removes the table and all that is in it, if it exists.
    pub fn remove_table(&self) -> Result<(), NetworkError> {
        for family in [Family::V4, Family::V6] {
            let mut transaction = Transaction::new(family);
            transaction.add(Request::DeleteTable, Existing::Keep, |message| {
                message.text(1, &self.table);
            });
            match self.commit(transaction) {
                Err(Refusal { error, .. }) if !is(&error, Errno::NOENT) => {
                    let action = format!("remove table {}", self.table);
                    return Err(NetworkError::Refused { action, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Installs the rules, unless somebody has.
    fn install(&self, family: Family) -> Result<(), NetworkError> {
        self.allow_forwarding(family)?;
        let with = |admission| {
            let mut transaction = Transaction::new(family);
            ruleset::install(&mut transaction, &self.table, admission);
            transaction
        };
        match self.commit(with(Admission::Led)) {
            Err(Refusal { error, .. }) if is(&error, Errno::NOENT) || is(&error, Errno::OPNOTSUPP) => {
                self.commit_unless_there(with(Admission::NotLed))
            }
            outcome => unless_there(outcome),
        }
    }

    /// Lets the host forward packets, for containers only if it was no router before.
    fn allow_forwarding(&self, family: Family) -> Result<(), NetworkError> {
        let was_router = match family {
            Family::V4 => fs::read(IP_FORWARD).map(|value| value.starts_with(b"1")),
            Family::V6 => ipv6::is_forwarded(),
        };
        if was_router.map_err(NetworkError::refused("ask whether this host is a router"))? {
            return Ok(());
        }
        let mut transaction = Transaction::new(family);
        ruleset::close_forwarding(&mut transaction, FORWARDING_TABLE, BRIDGE_GROUP);
        self.commit_unless_there(transaction)?;
        match family {
            Family::V4 => fs::write(IP_FORWARD, "1"),
            Family::V6 => ipv6::forward(),
        }
        .map_err(NetworkError::refused("make this host a router"))
    }

    fn commit_unless_there(&self, transaction: Transaction) -> Result<(), NetworkError> {
        unless_there(self.commit(transaction))
    }

    /// Removes those of `elements`, each named once, that are there as they are.
    fn remove(&self, family: Family, elements: &[(Set, Element)]) -> io::Result<()> {
        loop {
            let mut transaction = Transaction::new(family);
            let mut found = false;
            for (set, element) in elements {
                if set.has(&self.socket, &self.table, element)? {
                    set.remove(&mut transaction, &self.table, element);
                    found = true;
                }
            }
            if !found {
                return Ok(());
            }
            match self.commit(transaction) {
                // Somebody removed one of them in between.
                Err(refusal) if is(&refusal.error, Errno::NOENT) => {}
                outcome => return outcome.map_err(|refusal| refusal.error),
            }
        }
    }

    fn commit(&self, transaction: Transaction) -> Result<(), Refusal> {
        transaction.commit(&self.socket)
    }
}

impl Forward {
    /// The forward by which `publish`, whose host port is chosen by now, reaches the container at `address` from addresses
    /// of the same family. `None` if there are none: what else reaches the port is relayed.
    pub fn new(publish: &Publish, address: IpAddr) -> Option<Forward> {
        match publish.host_ip {
            Some(host) if host.is_ipv4() != address.is_ipv4() || host == Ipv6Addr::LOCALHOST => return None,
            _ => {}
        }
        Some(Forward {
            host_address: publish.host_ip.filter(|host| !host.is_unspecified()),
            host_port: publish.host_port?,
            protocol: publish.container.protocol,
            container: SocketAddr::new(address, publish.container.number),
        })
    }

    fn element(&self) -> (Set, Element) {
        let set = if self.host_address.is_some() { set::ADDRESSED_PORTS } else { set::PORTS };
        (
            set,
            Element::port(self.host_address, transport_number(self.protocol), self.host_port, self.container),
        )
    }
}

fn unless_there(installed: Result<(), Refusal>) -> Result<(), NetworkError> {
    match installed {
        Err(Refusal { error, .. }) if !is(&error, Errno::EXIST) => {
            Err(NetworkError::Refused { action: "install firewall rules".to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// Leads queries for `address`, port 53, to a resolver's own ports, in the calling thread's network
/// namespace.
pub(crate) fn redirect_dns(address: Ipv4Addr, udp: u16, tcp: u16) -> Result<(), NetworkError> {
    let socket = message::open().map_err(NetworkError::refused("open a netlink socket"))?;
    let mut transaction = Transaction::new(Family::V4);
    ruleset::redirect_dns(&mut transaction, DNS_TABLE, address.octets(), udp, tcp);
    let refused = |refusal: Refusal| NetworkError::refused("redirect name queries")(refusal.error);
    transaction.commit(&socket).map_err(refused)
}

/// The number that packets of a protocol have in their header.
pub(crate) fn transport_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => ruleset::TCP,
        Protocol::Udp => ruleset::UDP,
        Protocol::Sctp => ruleset::SCTP,
    }
}

/// The tables that are about a bridge.
fn families(bridge: &Bridge) -> Vec<Family> {
    if bridge.ipv6.is_some() { vec![Family::V4, Family::V6] } else { vec![Family::V4] }
}

/// What the rules must know of a bridge.
fn elements(family: Family, bridge: &Bridge) -> Vec<(Set, Element)> {
    let name = || Element::name(family, &bridge.name);
    let pair = || Element::pair(family, &bridge.name);
    let mut elements = vec![(set::SAME, pair())];
    if bridge.icc {
        elements.push((set::OPEN, pair()));
    }
    if bridge.internal {
        elements.push((set::INTERNAL, name()));
    } else if bridge.masquerade {
        elements.push((set::MASQUERADED, name()));
    }
    // Last, for this is the one that says the bridge is known.
    elements.push((set::BRIDGES, name()));
    elements
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// The device group of every engine's bridges.
pub(crate) const BRIDGE_GROUP: u32 = 0x5a4d;

pub(crate) const FORWARDING_TABLE: &str = "sampan_forwarding";
const DNS_TABLE: &str = "sampan_dns";
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
