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
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd},
};

use crate::{
    InterfaceName, Mac, NetworkError,
    namespace::within,
    netlink::{Address, Batch, PortOptions, Route, Veth},
};

/// One interface of a container.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Attachment {
    /// The bridge, which exists already.
    pub bridge: InterfaceName,
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
    let mut addresses = Batch::default();
    addresses.set_up(&InterfaceName::loopback());
    for Attachment { interface, address, prefix, .. } in attachments {
        let index = index(&inside, interface)?;
        addresses.set_up(interface);
        addresses.add_address(index, Address { address: *address, prefix: *prefix });
    }
    for gateway in attachments.iter().filter_map(|attachment| attachment.gateway) {
        addresses.add_default_route(gateway);
    }
    inside.carry_out(addresses)?;
    // In the order of the packets' way, for each waits for the one before.
    let ends = attachments.iter().flat_map(|attachment| [&attachment.host_interface, &attachment.bridge]);
    host.settle(&ends.collect::<Vec<_>>())
        .map_err(NetworkError::refused("wait for the container's interfaces"))
}

/// The veth pairs, their far ends inside and their near ends ports of their bridges.
fn pairs(host: &Route, netns: BorrowedFd<'_>, attachments: &[Attachment]) -> Result<Batch, NetworkError> {
    let hairpin = bridges_call_iptables();
    let mut pairs = Batch::default();
    for attachment in attachments {
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
