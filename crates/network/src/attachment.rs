//! Connects a container's network namespace to a bridge.
//!
//! Two netlink datagrams do it. The first, on the host, creates the veth pair with its far end already inside
//! and named, and its near end a port of the bridge and up. The second, through a socket opened inside,
//! brings the far end up and adds the address and the route. Then the host's end is asked about, which makes
//! it work at once: a container's first packet, lost, would be sent again only after a second. Nothing is
//! ever undone: the pair disappears with the namespace, which the kernel does by itself after the last
//! process left, whereas deleting it explicitly would keep the caller waiting some 15 ms.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, BorrowedFd},
};

use crate::{
    InterfaceName, Mac, NetworkError,
    namespace::within,
    netlink::{Address, Batch, Part, PortOptions, Route, Veth},
};

/// One interface of a container.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Attachment {
    /// The bridge, or the interface of the host's that this one is to be a part of. It exists already.
    pub bridge: InterfaceName,
    #[serde(default)]
    pub wiring: Wiring,
    /// The name of the host's end; see [`InterfaceName::veth`].
    pub host_interface: InterfaceName,
    /// The name inside; see [`InterfaceName::eth`].
    pub interface: InterfaceName,
    pub address: Ipv4Addr,
    /// The length of the subnet's prefix.
    pub prefix: u8,
    /// The default route's gateway. At most one attachment of a container has one.
    pub gateway: Option<Ipv4Addr>,
    /// [`Mac::of`] the address unless chosen otherwise.
    pub mac: Mac,
    /// 1500 unless set.
    pub mtu: Option<u32>,
    /// Keeps the container from the bridge's other isolated containers.
    pub isolated: bool,
    /// Without it the interface does not speak IPv6.
    #[serde(default)]
    pub ipv6: Option<Ipv6Attachment>,
    /// More addresses, which are known on the bridge alone.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
}

/// What an interface of a container's is made of.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wiring {
    /// One end of a pair whose other end is a port of a bridge.
    #[default]
    Bridge,
    /// A part of an interface of the host's, with a hardware address of its own.
    Macvlan(MacvlanMode),
    /// A part of an interface of the host's, with the same hardware address.
    Ipvlan(IpvlanMode),
}

/// Which parts of one interface reach each other: all directly, none, or by way of the switch; or there is but one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    #[default]
    Bridge,
    Private,
    Vepa,
    Passthru,
}

/// Whether the host switches, or routes with or without its firewall.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    #[default]
    L2,
    L3,
    L3s,
}

/// The IPv6 side of an interface.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ipv6Attachment {
    pub address: Ipv6Addr,
    pub prefix: u8,
    pub gateway: Option<Ipv6Addr>,
}

/// Gives the network namespace `netns` its loopback and an interface for each attachment.
///
/// Blocks for 1 ms or so. The calling process must be single-threaded or this its only thread that minds
/// which network namespace it is in.
pub fn attach(netns: BorrowedFd<'_>, attachments: &[Attachment]) -> Result<(), NetworkError> {
    let host = Route::open().map_err(NetworkError::refused("open a netlink socket"))?;
    let inside = enter(netns)?;
    match host.carry_out(pairs(&host, netns, attachments)?) {
        Err(NetworkError::Refused { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            // The container's last interfaces: the kernel has not taken down their namespace yet.
            let mut old = Batch::default();
            attachments.iter().for_each(|attachment| old.delete_link(&attachment.host_interface));
            // They may go by themselves in this very moment.
            let _ = host.carry_out(old);
            host.carry_out(pairs(&host, netns, attachments)?)?;
        }
        outcome => outcome?,
    }
    allow_ipv6(netns, attachments)?;
    let mut addresses = Batch::default();
    addresses.set_up(&InterfaceName::loopback());
    for Attachment { interface, address, prefix, ipv6, link_local, .. } in attachments {
        let index = index(&inside, interface)?;
        addresses.set_up(interface);
        addresses.add_address(index, Address { address: (*address).into(), prefix: *prefix });
        if let Some(Ipv6Attachment { address, prefix, .. }) = ipv6 {
            addresses.add_address(index, Address { address: (*address).into(), prefix: *prefix });
        }
        for address in link_local {
            let prefix = if address.is_ipv4() { 16 } else { 64 };
            addresses.add_address(index, Address { address: *address, prefix });
        }
    }
    set_routes(&mut addresses, attachments);
    inside.carry_out(addresses)?;
    // In the order of the packets' way, for each waits for the one before.
    let bridged = attachments.iter().filter(|attachment| attachment.wiring == Wiring::Bridge);
    let ends = bridged.flat_map(|attachment| [&attachment.host_interface, &attachment.bridge]);
    host.settle(&ends.collect::<Vec<_>>())
        .map_err(NetworkError::refused("wait for the container's interfaces"))
}

/// The interfaces: veth pairs, their far ends inside and their near ends ports of their bridges.
fn pairs(host: &Route, netns: BorrowedFd<'_>, attachments: &[Attachment]) -> Result<Batch, NetworkError> {
    let hairpin = bridges_call_iptables();
    let mut pairs = Batch::default();
    for attachment in attachments {
        if attachment.wiring != Wiring::Bridge {
            pairs.create_part(&Part {
                parent: index(host, &attachment.bridge)?,
                inside: &attachment.interface,
                netns,
                mac: attachment.mac,
                mtu: attachment.mtu,
                wiring: attachment.wiring,
            });
            continue;
        }
        pairs.create_veth(&Veth {
            host: &attachment.host_interface,
            bridge: index(host, &attachment.bridge)?,
            inside: &attachment.interface,
            netns,
            mac: attachment.mac,
            mtu: attachment.mtu,
        });
        let options = PortOptions { hairpin, isolated: attachment.isolated };
        pairs.configure_port(&attachment.host_interface, &options);
    }
    Ok(pairs)
}

/// Takes interfaces away again. Blocks for some 15 ms each.
pub fn detach(netns: BorrowedFd<'_>, attachments: &[Attachment]) -> Result<(), NetworkError> {
    if attachments.is_empty() {
        return Ok(());
    }
    let inside =
        within(netns, Route::open).and_then(|opened| opened).map_err(NetworkError::refused(ENTER))?;
    for Attachment { interface, .. } in attachments {
        if inside.index(interface).map_err(NetworkError::refused("look for an interface"))?.is_some() {
            let mut batch = Batch::default();
            batch.delete_link(interface);
            inside.carry_out(batch)?;
        }
    }
    Ok(())
}

/// Makes the gateways of `attachments`, which are there, the way out of `netns`.
pub fn lead_out(netns: BorrowedFd<'_>, attachments: &[Attachment]) -> Result<(), NetworkError> {
    let inside =
        within(netns, Route::open).and_then(|opened| opened).map_err(NetworkError::refused(ENTER))?;
    let mut routes = Batch::default();
    set_routes(&mut routes, attachments);
    inside.carry_out(routes)
}

fn set_routes(batch: &mut Batch, attachments: &[Attachment]) {
    for attachment in attachments {
        attachment.gateway.iter().for_each(|gateway| batch.set_default_route((*gateway).into()));
        let ipv6 = attachment.ipv6.as_ref().and_then(|ipv6| ipv6.gateway);
        ipv6.iter().for_each(|gateway| batch.set_default_route((*gateway).into()));
    }
}

/// Lets those of the new interfaces speak IPv6 that are to, heeding no neighbour that calls itself a router.
fn allow_ipv6(netns: BorrowedFd<'_>, attachments: &[Attachment]) -> Result<(), NetworkError> {
    let speaks = |one: &&Attachment| one.ipv6.is_some() || one.link_local.iter().any(IpAddr::is_ipv6);
    let speaking: Vec<_> = attachments.iter().filter(speaks).collect();
    if speaking.is_empty() {
        return Ok(());
    }
    within(netns, || speaking.iter().try_for_each(|one| crate::ipv6::allow_on(&one.interface)))
        .and_then(|outcome| outcome)
        .map_err(NetworkError::refused(ENTER))
}

/// Brings up the loopback interface of `netns`: all the network a container without one has.
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), NetworkError> {
    let inside =
        within(netns, Route::open).and_then(|opened| opened).map_err(NetworkError::refused(ENTER))?;
    let mut batch = Batch::default();
    batch.set_up(&InterfaceName::loopback());
    inside.carry_out(batch)
}

/// A netlink socket inside `netns`, where from now on no new interface speaks IPv6: a neighbour on the bridge
/// could otherwise announce itself as a router and take over the container's traffic (CVE-2020-13401).
fn enter(netns: BorrowedFd<'_>) -> Result<Route, NetworkError> {
    within(netns.as_fd(), || {
        match fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Route::open()
    })
    .and_then(|opened| opened)
    .map_err(NetworkError::refused(ENTER))
}

fn index(route: &Route, name: &InterfaceName) -> Result<u32, NetworkError> {
    let index = route.index(name).map_err(NetworkError::refused(format!("look for interface {name}")))?;
    index.ok_or_else(|| NetworkError::NoInterface(name.clone()))
}

/// Whether frames between a bridge's ports pass the IP firewall too. A container's connection to its own
/// published port is then turned around within the bridge, and must leave by the port it came from.
fn bridges_call_iptables() -> bool {
    fs::read("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|value| value.starts_with(b"1"))
}

const ENTER: &str = "enter the container's network namespace";
