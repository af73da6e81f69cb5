//! Whether this kernel can connect containers, found out by doing it.

use std::{net::Ipv4Addr, os::fd::BorrowedFd};

use types::ContainerId;

use crate::{
    Attachment, Bridge, Firewall, InterfaceName, Ipv6Attachment, Ipv6Subnet, Mac, NetworkError, Wiring,
    attach, ipv6,
};

/// What the kernel can do that not every kernel can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// Whom the host's firewall lets in is led to the container, and not relayed.
    pub admits: bool,
}

/// Makes a bridge with all its rules, and an interface of the network namespace `inside`.
///
/// Nothing of it is taken back: the calling thread's network namespace and `inside` are to be new, and nobody else's.
pub fn try_out(inside: BorrowedFd<'_>) -> Result<Abilities, NetworkError> {
    let [gateway, address] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
    let [gateway6, address6] = [1, 2].map(|last| (0x2001_0db8_u128 << 96 | last).into());
    let subnet6 = ipnet::Ipv6Net::new(gateway6, 64).expect("64 bits are a length").trunc();
    let bridge = Bridge {
        name: "trial".parse().expect("a short word"),
        subnet: ipnet::Ipv4Net::new(gateway, 24).expect("24 bits are a length").trunc(),
        gateway,
        internal: false,
        icc: true,
        masquerade: true,
        mtu: None,
        ipv6: ipv6::is_spoken().then_some(Ipv6Subnet { subnet: subnet6, gateway: gateway6 }),
    };
    let firewall = Firewall::open("trial")?;
    bridge.ensure(&firewall)?;
    let id = ContainerId::from_random([0; 32]);
    let attachment = Attachment {
        bridge: bridge.name,
        wiring: Wiring::Bridge,
        host_interface: InterfaceName::veth(&id, 0),
        interface: InterfaceName::eth(0),
        address,
        prefix: 24,
        gateway: Some(gateway),
        mac: Mac::of(address),
        mtu: None,
        isolated: false,
        ipv6: bridge.ipv6.map(|side| Ipv6Attachment {
            address: address6,
            prefix: 64,
            gateway: Some(side.gateway),
        }),
        link_local: Vec::new(),
    };
    attach(inside, &[attachment])?;
    Ok(Abilities { admits: firewall.admits()? })
}
