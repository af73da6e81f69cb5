//! A network on this host: a bridge, its gateway address, and its place in the firewall.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::{
    Firewall, InterfaceName, Mac, NetworkError,
    firewall::BRIDGE_GROUP,
    ipv6,
    netlink::{Address, Batch, Route},
};

/// A bridge to be, or one that is.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Bridge {
    pub name: InterfaceName,
    pub subnet: Ipv4Net,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// Nothing leaves: no way out, and not to the host either.
    pub internal: bool,
    /// Containers may reach each other. If not, give their [`crate::Attachment`] `isolated` too.
    pub icc: bool,
    /// Containers reach the outside under the host's address.
    pub masquerade: bool,
    /// 1500 unless set.
    pub mtu: Option<u32>,
    /// Without it nobody on the bridge speaks IPv6.
    #[serde(default)]
    pub ipv6: Option<Ipv6Subnet>,
}

/// The IPv6 side of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ipv6Subnet {
    pub subnet: Ipv6Net,
    /// The bridge's own address.
    pub gateway: Ipv6Addr,
}

impl Bridge {
    /// Makes sure the bridge exists, with all that containers on it need of the host.
    ///
    /// Any number of processes may do this at once. If there is nothing to do it asks the kernel three
    /// questions, none of which waits for the lock that interfaces are changed under: a container's
    /// network namespace being taken down holds that for 10 ms. The firewall learns of the bridge last, so a
    /// bridge it knows is complete.
    pub fn ensure(&self, firewall: &Firewall) -> Result<(), NetworkError> {
        let route = Route::open().map_err(NetworkError::refused("open a netlink socket"))?;
        if self.index(&route)?.is_some() && firewall.knows(self)? {
            // Whoever else has a firewall may have come, or come back, since.
            return self.open_transit(firewall);
        }
        let index = self.create(&route)?;
        self.set_sysctls().map_err(NetworkError::refused(format!("configure bridge {}", self.name)))?;
        let mut batch = Batch::default();
        batch.add_address(index, Address { address: self.gateway.into(), prefix: self.subnet.prefix_len() });
        if let Some(Ipv6Subnet { subnet, gateway }) = self.ipv6 {
            batch.add_address(index, Address { address: gateway.into(), prefix: subnet.prefix_len() });
            batch.add_address(index, Address { address: LINK_LOCAL.into(), prefix: 64 });
        }
        batch.set_up(&self.name);
        route.carry_out(batch)?;
        self.open_transit(firewall)?;
        firewall.add_bridge(self)
    }

    /// Lets packets of containers pass the host's other firewalls, unless they are to stay on the bridge.
    fn open_transit(&self, firewall: &Firewall) -> Result<(), NetworkError> {
        if self.internal { Ok(()) } else { firewall.open_transit(self) }
    }

    /// Deletes the bridge, if it exists, and what the firewall knows of it. Blocks for some 15 ms.
    pub fn remove(&self, firewall: &Firewall) -> Result<(), NetworkError> {
        let route = Route::open().map_err(NetworkError::refused("open a netlink socket"))?;
        if self.index(&route)?.is_some() {
            let mut batch = Batch::default();
            batch.delete_link(&self.name);
            match route.carry_out(batch) {
                Err(error) if self.index(&route)?.is_some() => return Err(error),
                _ => {}
            }
        }
        firewall.close_transit(self)?;
        firewall.remove_bridge(self)
    }

    fn index(&self, route: &Route) -> Result<Option<u32>, NetworkError> {
        route.index(&self.name).map_err(NetworkError::refused(format!("look for bridge {}", self.name)))
    }

    /// Creates the bridge unless somebody has, and returns its index.
    fn create(&self, route: &Route) -> Result<u32, NetworkError> {
        if let Some(index) = self.index(route)? {
            return Ok(index);
        }
        let mut batch = Batch::default();
        batch.create_bridge(&self.name, Mac::of(self.gateway), self.mtu, BRIDGE_GROUP);
        let outcome = route.carry_out(batch);
        match self.index(route)? {
            Some(index) => Ok(index),
            None => Err(outcome.err().unwrap_or_else(|| NetworkError::NoInterface(self.name.clone()))),
        }
    }

    fn set_sysctls(&self) -> io::Result<()> {
        let name = &self.name;
        // What the host sends from 127.0.0.1 to a published port goes out by the bridge, and is translated
        // there.
        fs::write(format!("/proc/sys/net/ipv4/conf/{name}/route_localnet"), "1")?;
        match self.ipv6 {
            Some(_) => ipv6::allow_on(name),
            None => ipv6::forbid_on(name),
        }
    }
}

/// Every bridge's own address among its neighbours.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
