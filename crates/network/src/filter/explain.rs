//! Who can reach a published port, by which way, and what stands in it. Pure: what was read in, an explanation out.

use std::net::IpAddr;

use types::Protocol;

use super::{
    addresses::Addresses,
    rule::{Filters, Hook},
    walk::{Decision, Packet, State, Verdict},
};
use crate::{
    Family, NetworkError,
    firewall::{BRIDGE_GROUP, transport_number},
    netlink::Route,
};

/// A port of the host that leads to a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    pub protocol: Protocol,
    pub host_port: u16,
    /// All of the host's addresses if `None`.
    pub host_address: Option<IpAddr>,
    /// The bridge that the container is on.
    pub bridge: String,
    /// The families of the container's addresses. What comes over another one is relayed, and forwarded nowhere.
    pub families: Vec<Family>,
}

/// An interface by which others reach this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostInterface {
    pub name: String,
    pub index: u32,
    pub addresses: Vec<IpAddr>,
    /// Whether containers are behind it.
    pub is_bridge: bool,
}

/// What is to be said of one published port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// By each interface that others come in by.
    pub reach: Vec<Reach>,
    /// What drops packets that were let in.
    pub obstacles: Vec<Obstacle>,
}

/// Who gets to some addresses of the host by one interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    pub interface: HostInterface,
    /// The addresses of the interface that the port is published on, for which it is the same.
    pub addresses: Vec<IpAddr>,
    pub verdicts: Vec<Verdict>,
}

/// Something on the way between the host's door and the container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Obstacle {
    pub way: Way,
    pub interface: HostInterface,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The first packet, which leaves the host for the container as the host's own do.
    First,
    /// Those that follow.
    In,
    /// The answers.
    Out,
}

impl HostInterface {
    /// Those of the calling thread's network namespace that have addresses, but for loopback.
    pub fn all() -> Result<Vec<HostInterface>, NetworkError> {
        let read = || {
            let route = Route::open()?;
            Ok((route.links()?, route.addresses()?))
        };
        let (links, addresses) = read().map_err(NetworkError::refused("read the host's addresses"))?;
        let interfaces = links.into_iter().map(|(index, name, group)| HostInterface {
            name,
            index,
            addresses: addresses
                .iter()
                .filter(|(at, address)| *at == index && !is_link_local(*address))
                .map(|(_, address)| *address)
                .collect(),
            is_bridge: group == BRIDGE_GROUP,
        });
        Ok(interfaces.filter(|one| !one.addresses.is_empty() && one.name != "lo").collect())
    }
}

/// Who reaches `published`, as far as `filters` can be understood.
pub fn explain(filters: &Filters, interfaces: &[HostInterface], published: &Published) -> Explanation {
    let mut explanation = Explanation { reach: Vec::new(), obstacles: Vec::new() };
    for interface in interfaces {
        for address in interface.addresses.iter().filter(|address| published.is_on(**address)) {
            let verdicts = filters.decide(&published.first(interface, *address));
            let same = |reach: &&mut Reach| reach.interface == *interface && reach.verdicts == verdicts;
            match explanation.reach.iter_mut().find(same) {
                Some(reach) => reach.addresses.push(*address),
                None => explanation.reach.push(Reach {
                    interface: interface.clone(),
                    addresses: vec![*address],
                    verdicts,
                }),
            }
        }
    }
    let mut ways: Vec<(HostInterface, Family)> = Vec::new();
    for reach in &explanation.reach {
        let family = Family::of(reach.addresses[0]);
        let is_let_in = reach.verdicts.iter().any(|verdict| verdict.decision == Decision::Accepted);
        let way = (reach.interface.clone(), family);
        if is_let_in && published.families.contains(&family) && !ways.contains(&way) {
            ways.push(way);
        }
    }
    for (interface, family) in ways {
        for way in [Way::First, Way::In, Way::Out] {
            let packet = published.behind(way, &interface, family);
            let verdicts = filters.decide(&packet).into_iter();
            let stopped = verdicts.filter(|verdict| verdict.decision != Decision::Accepted);
            explanation.obstacles.extend(stopped.map(|verdict| Obstacle {
                way,
                interface: interface.clone(),
                verdict,
            }));
        }
    }
    explanation
}

impl Published {
    /// Whether others than the host itself can be told this address for it.
    fn is_on(&self, address: IpAddr) -> bool {
        match self.host_address {
            None => true,
            Some(bound) if bound.is_unspecified() => bound.is_ipv4() == address.is_ipv4(),
            Some(bound) => bound == address,
        }
    }

    fn first(&self, interface: &HostInterface, destination: IpAddr) -> Packet {
        let family = Family::of(destination);
        Packet {
            hook: Hook::Input,
            family,
            protocol: transport_number(self.protocol),
            port: self.host_port,
            state: State::New,
            input: Some((interface.name.clone(), Some(interface.index))),
            output: None,
            destination: Some(destination),
            sources: Addresses::all(family),
        }
    }

    fn behind(&self, way: Way, interface: &HostInterface, family: Family) -> Packet {
        let outside = Some((interface.name.clone(), Some(interface.index)));
        let bridge = Some((self.bridge.clone(), None));
        let (hook, state, input, output) = match way {
            Way::First => (Hook::Output, State::New, None, bridge),
            Way::In => (Hook::Forward, State::Established, outside, bridge),
            Way::Out => (Hook::Forward, State::Established, bridge, outside),
        };
        Packet {
            hook,
            family,
            protocol: transport_number(self.protocol),
            port: self.host_port,
            state,
            input,
            output,
            destination: None,
            sources: Addresses::all(family),
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
