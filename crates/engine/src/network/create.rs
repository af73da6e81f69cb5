//! Making networks: what may be asked of one, and the addresses of those that ask for none.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use network::{
    HostLock, InterfaceName, IpvlanMode, MacvlanMode,
    subnets::{self, Size},
};
use types::{NetworkId, NetworkName};

use super::{
    BRIDGE_NAME, DEFAULT, HOST_BINDING, ICC, IPVLAN_MODE, Ipv6Pool, MACVLAN_MODE, MASQUERADE, MTU, Network,
    NetworkConfig, PARENT, PREDEFINED,
};
use crate::{
    Engine,
    error::EngineError,
    state::{Durability, NetworkRow, State},
};

/// What a user asks of a network.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct NetworkRequest {
    pub name: String,
    pub driver: Driver,
    /// In CIDR notation, as the user wrote them; at most one of each family.
    pub subnets: Vec<String>,
    pub gateways: Vec<IpAddr>,
    /// Parts of subnets that addresses are taken from.
    pub ranges: Vec<String>,
    pub auxiliary: Vec<(String, IpAddr)>,
    pub internal: bool,
    pub attachable: bool,
    /// Whether it is to be the one by which a cluster's ports are reached.
    pub ingress: bool,
    /// How far it reaches, if that is said.
    pub scope: Option<String>,
    /// Whether to have IPv6; where nothing is said, the engine decides.
    pub ipv6: Option<bool>,
    pub options: Vec<(String, String)>,
    /// Who manages the addresses: `default`, if it is empty.
    pub ipam_driver: String,
    /// What is said to him. It changes nothing here, and is remembered.
    pub ipam_options: Vec<(String, String)>,
    pub labels: Vec<(String, String)>,
    /// The configuration that the network is to have, by its name.
    pub like: Option<String>,
}

/// What carries a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    #[default]
    Bridge,
    Macvlan,
    Ipvlan,
}

impl Driver {
    /// docker's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Driver::Bridge => "bridge",
            Driver::Macvlan => "macvlan",
            Driver::Ipvlan => "ipvlan",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Driver {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Driver, EngineError> {
        match text {
            "bridge" => Ok(Driver::Bridge),
            "macvlan" => Ok(Driver::Macvlan),
            "ipvlan" => Ok(Driver::Ipvlan),
            "host" | "null" => {
                Err(EngineError::Invalid(format!("only one instance of {text:?} network is allowed")))
            }
            "overlay" => Err(EngineError::Invalid(
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                 this node to swarm and try again."
                    .to_owned(),
            )),
            _ => Err(EngineError::Invalid(format!("plugin {text:?} not found"))),
        }
    }
}

impl Engine {
    /// Makes a network.
    pub fn create_network(&self, request: NetworkRequest) -> Result<Network, EngineError> {
        if PREDEFINED.contains(&request.name.as_str()) {
            return Err(EngineError::PredefinedNetworkMade(request.name));
        }
        let _: NetworkName = request.name.parse()?;
        check_reach(&request)?;
        if sys::rootless::is_rootless() && request.driver != Driver::Bridge {
            return Err(EngineError::DriverOfRoot(request.driver));
        }
        self.make_network(self.filled_in(request)?)
    }

    pub(super) fn make_network(&self, request: NetworkRequest) -> Result<Network, EngineError> {
        let name: NetworkName = request.name.parse()?;
        check_options(&request.options)?;
        if request.driver != Driver::Bridge {
            check_parent(&request)?;
        }
        let asked = Asked::of(&request)?;
        // Held until the bridge is up, which takes the subnet for everybody on this host.
        let lock = HostLock::acquire()?;
        self.check_network_name(&name)?;
        let taken: Vec<_> = self.state.networks()?.into_iter().map(|row| row.config.subnet).collect();
        let subnet = match asked.subnet {
            Some(subnet) if taken.iter().any(|other| overlap(*other, subnet)) => {
                return Err(EngineError::PoolOverlaps);
            }
            Some(subnet) => subnet,
            None => {
                let size = if *name == *DEFAULT { Size::Large } else { Size::Small };
                subnets::free(&taken, size)?.ok_or(EngineError::NoSubnet)?
            }
        };
        let is_free =
            |address: &Ipv4Addr| !asked.auxiliary.iter().any(|(_, other)| *other == IpAddr::V4(*address));
        let gateway = match asked.gateway {
            Some(gateway) => gateway,
            None => addresses(subnet, asked.range).find(is_free).ok_or(EngineError::NoSubnet)?,
        };
        let ipv6 = self.ipv6_pool(&name, &request, &asked)?;
        let id = crate::names::random_id()?;
        let bridge = self.bridge_name(&name, &id, &request.options)?;
        let config = NetworkConfig {
            driver: request.driver,
            subnet,
            gateway,
            names_gateway: asked.gateway.is_some(),
            range: asked.range,
            ipv6,
            auxiliary: asked.auxiliary,
            chosen_by_user: asked.subnet.is_some(),
            bridge,
            internal: request.internal,
            attachable: request.attachable,
            options: request.options,
            ipam_options: request.ipam_options,
            labels: request.labels,
            like: request.like,
            scope: request.scope,
        };
        let network = Network::of(NetworkRow { id, name, created: crate::now(), config });
        self.make_up(&network, &lock, |state| state.insert_network(&network.row()))?;
        Ok(network)
    }

    /// Whether a network, or a configuration for some, can have this name.
    pub(super) fn check_network_name(&self, name: &NetworkName) -> Result<(), EngineError> {
        let is_taken = self.state.network_by_name(name)?.is_some()
            || self.state.templates()?.iter().any(|template| template.name == *name);
        if is_taken { Err(EngineError::NetworkExists(name.clone())) } else { Ok(()) }
    }

    /// The IPv6 side of a new network: as asked for, or else of its own if that is not declined. Who names the subnets of a
    /// network names all of them, and the default one is docker's, which has none.
    fn ipv6_pool(
        &self,
        name: &NetworkName,
        request: &NetworkRequest,
        asked: &Asked,
    ) -> Result<Option<Ipv6Pool>, EngineError> {
        let by_default = **name != *DEFAULT && asked.subnet.is_none() && network::ipv6::is_spoken();
        let wanted = request.ipv6.unwrap_or(by_default || asked.subnet6.is_some());
        if !wanted {
            return Ok(None);
        }
        if !network::ipv6::is_spoken() {
            return Err(EngineError::Invalid("this host does not speak IPv6".to_owned()));
        }
        let taken: Vec<_> = self
            .state
            .networks()?
            .into_iter()
            .filter_map(|row| row.config.ipv6)
            .map(|pool| pool.subnet)
            .collect();
        let subnet = match asked.subnet6 {
            Some(subnet) if taken.iter().any(|other| overlap(*other, subnet)) => {
                return Err(EngineError::PoolOverlaps);
            }
            Some(subnet) => subnet,
            None => subnets::unique_local()?,
        };
        let first = (subnet.network().to_bits() + 1).into();
        Ok(Some(Ipv6Pool {
            subnet,
            gateway: asked.gateway6.unwrap_or(first),
            names_gateway: asked.gateway6.is_some(),
            range: asked.range6,
        }))
    }

    /// Brings a new network up and records it, or does neither.
    fn make_up(
        &self,
        network: &Network,
        lock: &HostLock,
        record: impl FnOnce(&State) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.change_network(network, lock, || {
            let made = self.bring_up([network]);
            made.and_then(|()| self.state.write(Durability::Synced, record)).inspect_err(|_| {
                // What could not be recorded is nobody's. The first failure is the one to tell.
                let _ = self.take_down(network);
            })
        })?;
        self.note_network(network, "create");
        Ok(())
    }

    /// Makes a network again that was removed, if nothing that is there by now is in its way. `record` does so with its row.
    pub(crate) fn remake_network(
        &self,
        row: NetworkRow,
        record: impl FnOnce(&State) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let network = Network::of(row);
        let lock = HostLock::acquire()?;
        self.check_network_name(&network.name)?;
        let others = self.state.networks()?;
        let (subnet, ipv6) = (network.config.subnet, network.config.ipv6.as_ref().map(|pool| pool.subnet));
        let overlaps = |other: &NetworkRow| {
            let other6 = other.config.ipv6.as_ref().map(|pool| pool.subnet);
            overlap(subnet, other.config.subnet) || ipv6.zip(other6).is_some_and(|(a, b)| overlap(a, b))
        };
        if others.iter().any(overlaps) {
            return Err(EngineError::PoolOverlaps);
        }
        self.make_up(&network, &lock, |state| {
            state.insert_network(&network.row())?;
            record(state)
        })
    }

    fn bridge_name(
        &self,
        name: &NetworkName,
        id: &NetworkId,
        options: &[(String, String)],
    ) -> Result<InterfaceName, EngineError> {
        let suffix = self.suffix();
        let chosen = options.iter().rev().find(|(key, _)| key == BRIDGE_NAME).map(|(_, name)| name.clone());
        let bridge = match (&**name, suffix.as_str()) {
            _ if chosen.is_some() => chosen.unwrap_or_default(),
            (DEFAULT, "") => "sampan0".to_owned(),
            (DEFAULT, suffix) => format!("sampan-{suffix}"),
            _ => format!("br-{}", id.short()),
        };
        let taken = self.state.networks()?.into_iter().find(|row| *row.config.bridge == *bridge);
        if let Some(holder) = taken {
            return Err(EngineError::Invalid(format!(
                "cannot create network {id} ({bridge}): conflicts with network {} ({bridge}): networks have same \
                 bridge name",
                holder.id
            )));
        }
        bridge.parse().map_err(|error: network::InvalidInterfaceName| EngineError::Invalid(error.to_string()))
    }
}

/// The addresses of a subnet, or of a part of it. The first and the last of the subnet are not for anybody; those of a part
/// are, as with docker.
pub(super) fn addresses(subnet: Ipv4Net, part: Option<Ipv4Net>) -> impl Iterator<Item = Ipv4Addr> {
    let pool = part.unwrap_or(subnet);
    let (first, last) = (pool.network().to_bits(), pool.broadcast().to_bits());
    let is_usable = move |address: &Ipv4Addr| {
        subnet.prefix_len() >= 31 || (*address != subnet.network() && *address != subnet.broadcast())
    };
    (first..=last).map(Ipv4Addr::from_bits).filter(is_usable)
}

/// A network is this machine's, which is no cluster's.
fn check_reach(request: &NetworkRequest) -> Result<(), EngineError> {
    let refused = match (request.ingress, request.scope.as_deref(), request.ipam_driver.as_str()) {
        (true, ..) => "Ingress network can only be global scope network".to_owned(),
        (_, Some("swarm"), _) => "cannot create a swarm scoped network when swarm is not active".to_owned(),
        (_, _, "" | "default") => return Ok(()),
        (.., driver) => format!("plugin {driver:?} not found"),
    };
    Err(EngineError::Invalid(refused))
}

/// Whether the addresses that a user asks for fit each other.
pub(super) fn check_addresses(request: &NetworkRequest) -> Result<(), EngineError> {
    Asked::of(request).map(drop)
}

/// The addresses a user asked for, found to fit each other.
#[derive(Debug, Default)]
struct Asked {
    subnet: Option<Ipv4Net>,
    range: Option<Ipv4Net>,
    gateway: Option<Ipv4Addr>,
    subnet6: Option<Ipv6Net>,
    range6: Option<Ipv6Net>,
    gateway6: Option<Ipv6Addr>,
    auxiliary: Vec<(String, IpAddr)>,
}

impl Asked {
    fn of(request: &NetworkRequest) -> Result<Asked, EngineError> {
        let NetworkRequest { subnets, gateways, ranges, auxiliary, .. } = request;
        if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
            return Err(usage("every ip-range or gateway must have a corresponding subnet"));
        }
        let mut wrong = Vec::new();
        let mut parsed: Vec<IpNet> = Vec::new();
        for text in subnets {
            match text.parse::<IpNet>() {
                Err(_) => wrong.push(format!("invalid subnet {text}: invalid CIDR block notation")),
                Ok(subnet) if subnet != subnet.trunc() => {
                    wrong.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
                }
                Ok(subnet)
                    if parsed.iter().any(|other| other.contains(&subnet) || subnet.contains(other)) =>
                {
                    return Err(usage("multiple overlapping subnet configuration is not supported"));
                }
                Ok(subnet) => parsed.push(subnet),
            }
        }
        if !wrong.is_empty() {
            return Err(invalid(&wrong));
        }
        let ipv4 = parsed.iter().filter(|subnet| matches!(subnet, IpNet::V4(_))).count();
        if ipv4 > 1 || parsed.len() - ipv4 > 1 {
            return Err(EngineError::Invalid("bridge driver doesn't support multiple subnets".to_owned()));
        }
        let mut asked = Asked { auxiliary: auxiliary.clone(), ..Asked::default() };
        for subnet in &parsed {
            match subnet {
                IpNet::V4(subnet) => asked.subnet = Some(*subnet),
                IpNet::V6(subnet) => asked.subnet6 = Some(*subnet),
            }
        }
        for text in ranges {
            let range: IpNet = text.parse().map_err(|_| usage(&format!("invalid CIDR address: {text}")))?;
            let Some(subnet) = parsed.iter().find(|subnet| subnet.contains(&range.addr())) else {
                return Err(usage(&format!("no matching subnet for range {text}")));
            };
            if range.prefix_len() < subnet.prefix_len() {
                wrong.push(format!(
                    "invalid ip-range {range}: CIDR block is bigger than its parent subnet {subnet}"
                ));
            } else if range != range.trunc() {
                wrong.push(format!("invalid ip-range {range}: it should be {}", range.trunc()));
            }
            match range {
                IpNet::V4(range) => asked.range = Some(range),
                IpNet::V6(range) => asked.range6 = Some(range),
            }
        }
        for gateway in gateways {
            if !parsed.iter().any(|subnet| subnet.contains(gateway)) {
                return Err(usage(&format!("no matching subnet for gateway {gateway}")));
            }
            match gateway {
                IpAddr::V4(gateway) => asked.gateway = Some(*gateway),
                IpAddr::V6(gateway) => asked.gateway6 = Some(*gateway),
            }
        }
        for (_, address) in auxiliary {
            if !parsed.iter().any(|subnet| subnet.contains(address)) {
                return Err(usage(&format!("no matching subnet for aux-address {address}")));
            }
        }
        if wrong.is_empty() { Ok(asked) } else { Err(invalid(&wrong)) }
    }
}

/// Whether subnets have addresses in common.
fn overlap(one: impl Into<IpNet>, other: impl Into<IpNet>) -> bool {
    let (one, other) = (one.into(), other.into());
    one.contains(&other) || other.contains(&one)
}

/// What docker's command line finds wrong, before its daemon is asked.
fn usage(text: &str) -> EngineError {
    EngineError::Usage(text.to_owned())
}

fn invalid(wrong: &[String]) -> EngineError {
    EngineError::Invalid(format!("invalid network config:\n{}", wrong.join("\n")))
}

/// Options whose value must be one that means something.
fn check_options(options: &[(String, String)]) -> Result<(), EngineError> {
    for (key, value) in options {
        let wrong = match key.as_str() {
            ICC | MASQUERADE => boolean(value)
                .is_none()
                .then(|| format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
            MTU => value
                .parse::<u32>()
                .is_err()
                .then(|| format!("strconv.Atoi: parsing {value:?}: invalid syntax")),
            HOST_BINDING => {
                value.parse::<IpAddr>().is_err().then(|| format!("failed to parse {key} value: {value:?}"))
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(EngineError::Invalid(wrong));
        }
    }
    Ok(())
}

/// Whether there is an interface of the host's for containers to have parts of.
fn check_parent(request: &NetworkRequest) -> Result<(), EngineError> {
    let option =
        |name: &str| request.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value);
    let refuse = |text: String| Err(EngineError::Invalid(text));
    let driver = request.driver;
    match (driver, option(MACVLAN_MODE), option(IPVLAN_MODE)) {
        (Driver::Macvlan, Some(mode), _) if macvlan_mode(mode).is_none() => {
            return refuse(format!(
                "requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan driver default"
            ));
        }
        (Driver::Ipvlan, _, Some(mode)) if ipvlan_mode(mode).is_none() => {
            return refuse(format!(
                "requested ipvlan mode '{mode}' is not valid, 'l2' mode is the ipvlan driver default"
            ));
        }
        _ => {}
    }
    let Some(parent) = option(PARENT) else {
        return refuse(format!("a {driver} network takes -o parent=INTERFACE, an interface of the host's"));
    };
    let exists = parent.parse::<InterfaceName>().is_ok_and(|name| name.exists());
    if exists {
        Ok(())
    } else {
        refuse(format!("invalid subinterface vlan name {parent}, example formatting is eth0.10"))
    }
}

pub(super) fn macvlan_mode(mode: &str) -> Option<MacvlanMode> {
    match mode {
        "bridge" => Some(MacvlanMode::Bridge),
        "private" => Some(MacvlanMode::Private),
        "vepa" => Some(MacvlanMode::Vepa),
        "passthru" => Some(MacvlanMode::Passthru),
        _ => None,
    }
}

pub(super) fn ipvlan_mode(mode: &str) -> Option<IpvlanMode> {
    match mode {
        "l2" => Some(IpvlanMode::L2),
        "l3" => Some(IpvlanMode::L3),
        "l3s" => Some(IpvlanMode::L3s),
        _ => None,
    }
}

/// What Go takes for a boolean.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(subnets: &[&str], ranges: &[&str], gateways: &[&str], expected: &str) {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let request = NetworkRequest {
            subnets: owned(subnets),
            ranges: owned(ranges),
            gateways: gateways.iter().map(|gateway| gateway.parse().expect("valid")).collect(),
            ..Default::default()
        };
        let actual = match Asked::of(&request) {
            Ok(Asked { subnet, range, gateway, .. }) => format!("{subnet:?} {range:?} {gateway:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{subnets:?} {ranges:?} {gateways:?}");
    }

    #[test]
    fn what_a_network_is_asked_to_be_fits_together_or_says_why_not() {
        check(&[], &[], &[], "None None None");
        check(
            &["10.1.0.0/16"],
            &["10.1.4.0/24"],
            &["10.1.0.254"],
            "Some(10.1.0.0/16) Some(10.1.4.0/24) Some(10.1.0.254)",
        );
        check(
            &["10.99"],
            &[],
            &[],
            "invalid network config:\ninvalid subnet 10.99: invalid CIDR block notation",
        );
        check(
            &["10.99.0.5/24"],
            &[],
            &[],
            "invalid network config:\ninvalid subnet 10.99.0.5/24: it should be 10.99.0.0/24",
        );
        check(
            &["10.1.0.0/16", "10.1.1.0/24"],
            &[],
            &[],
            "multiple overlapping subnet configuration is not supported",
        );
        check(&["10.1.0.0/16", "10.2.0.0/16"], &[], &[], "bridge driver doesn't support multiple subnets");
        check(&[], &[], &["10.1.0.1"], "every ip-range or gateway must have a corresponding subnet");
        check(&["10.1.0.0/16"], &[], &["10.2.0.1"], "no matching subnet for gateway 10.2.0.1");
        check(&["10.1.0.0/16"], &["10.2.0.0/24"], &[], "no matching subnet for range 10.2.0.0/24");
        check(
            &["10.1.0.0/24"],
            &["10.1.0.0/16"],
            &[],
            "invalid network config:\ninvalid ip-range 10.1.0.0/16: CIDR block is bigger than its parent subnet \
             10.1.0.0/24",
        );
    }
}
