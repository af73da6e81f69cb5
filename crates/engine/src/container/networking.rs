//! How a container is connected: whose network namespace it has, and the networks it is in.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use network::Mac;
use types::{ContainerId, NetworkName};

use super::{create::Create, status::Container, step::HostAddress};
use crate::{
    Engine, Network,
    error::EngineError,
    network::{DEFAULT, NetworkConfig},
};

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "Recorded")]
pub struct Networking {
    pub mode: NetworkMode,
    /// The networks with a bridge that it is in, in the order of its interfaces.
    pub memberships: Vec<Membership>,
}

/// Whose network a container has, as docker names it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Its own, made with the default network.
    Bridge,
    /// Its own, made with this network.
    User(NetworkName),
    /// Its own loopback and nothing else.
    None,
    /// The host's, as it is.
    Host,
    /// Another container's.
    Container(ContainerId),
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Membership {
    pub network: NetworkName,
    #[serde(default, flatten)]
    pub settings: EndpointSettings,
}

/// What is special about a container's place in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// Other names that lead to it there.
    pub aliases: Vec<String>,
    /// Containers, and what this one alone calls them.
    pub links: Vec<(String, String)>,
    pub ip: Option<Ipv4Addr>,
    pub ip6: Option<Ipv6Addr>,
    pub link_local: Vec<IpAddr>,
    pub mac: Option<Mac>,
    /// Of several networks with a way out, the one where this is highest is used.
    pub gateway_priority: i32,
    pub driver_options: Vec<(String, String)>,
}

/// What a container calls itself and others, and whom it asks for other names.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Naming {
    /// What comes after its host name.
    pub domain: String,
    /// Asked instead of the host's servers.
    pub servers: Vec<IpAddr>,
    /// Instead of the host's; `.` for none.
    pub search: Vec<String>,
    pub options: Vec<String>,
    pub hosts: Vec<(String, HostAddress)>,
}

impl Networking {
    /// As `mode` alone says.
    pub fn of(mode: NetworkMode) -> Networking {
        let memberships = mode.network().map(|network| Membership { network, settings: Default::default() });
        Networking { memberships: memberships.into_iter().collect(), mode }
    }

    pub fn membership(&self, network: &str) -> Option<&Membership> {
        self.memberships.iter().find(|membership| *membership.network == *network)
    }

    /// Whether a network of these answers for names.
    pub fn has_names(&self) -> bool {
        self.memberships.iter().any(|membership| *membership.network != *DEFAULT)
    }

    /// The names of the networks, as docker lists them.
    pub fn names(&self) -> Vec<&str> {
        match self.mode {
            NetworkMode::Host => vec!["host"],
            NetworkMode::None => vec!["none"],
            _ => self.memberships.iter().map(|membership| &*membership.network).collect(),
        }
    }
}

impl NetworkMode {
    /// As the user wrote it, but for a container's name.
    pub fn name(&self) -> String {
        match self {
            NetworkMode::Bridge => "bridge".to_owned(),
            NetworkMode::User(name) => name.to_string(),
            NetworkMode::None => "none".to_owned(),
            NetworkMode::Host => "host".to_owned(),
            NetworkMode::Container(id) => format!("container:{id}"),
        }
    }

    /// Whether the network is somebody else's.
    pub fn is_shared(&self) -> bool {
        matches!(self, NetworkMode::Host | NetworkMode::Container(_))
    }

    fn network(&self) -> Option<NetworkName> {
        match self {
            NetworkMode::Bridge => Some(DEFAULT.parse().expect("a valid name")),
            NetworkMode::User(name) => Some(name.clone()),
            _ => None,
        }
    }
}

impl Container {
    /// All that leads to the container in a network where it has this place.
    pub fn names_in(&self, settings: &EndpointSettings) -> Vec<String> {
        let mut names = vec![self.name.to_string()];
        names.extend(settings.aliases.iter().cloned());
        names.extend([self.id.short(), self.config.hostname.clone()]);
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

impl Engine {
    /// The network that a new container is to be in.
    fn network_to_join(&self, reference: &str) -> Result<Network, EngineError> {
        self.network(reference).map_err(|error| match error {
            EngineError::NoNetwork(_) => EngineError::Join(Box::new(error)),
            error => error,
        })
    }

    /// How a container is to be connected, once what `request` says of it is found to make sense.
    pub(super) fn networking(&self, request: &Create) -> Result<Networking, EngineError> {
        let Some((first, settings)) = request.networks.first() else {
            return Ok(Networking::of(NetworkMode::Bridge));
        };
        let mode = match first.as_str() {
            "bridge" | "default" => NetworkMode::Bridge,
            "none" => NetworkMode::None,
            "host" => NetworkMode::Host,
            other => match other.strip_prefix("container:") {
                Some("") => {
                    let text = "invalid container format container:<name|id>";
                    return Err(EngineError::Invalid(text.to_owned()));
                }
                Some(container) => NetworkMode::Container(self.container(container)?.id),
                None => NetworkMode::User(self.network_to_join(other)?.name),
            },
        };
        check_mode(&mode, request, settings)?;
        let mut networking = Networking { mode, memberships: Vec::new() };
        for (index, (reference, settings)) in request.networks.iter().enumerate() {
            let network = match networking.mode.network().filter(|_| index == 0) {
                None if index == 0 => {
                    check_settings(reference, None, settings)?;
                    continue;
                }
                first => self.network_to_join(first.as_deref().unwrap_or(reference))?,
            };
            check_settings(reference, Some(&network), settings)?;
            if networking.membership(&network.name).is_some() {
                let text = format!("network {reference:?} is specified multiple times");
                return Err(EngineError::Invalid(text));
            }
            networking.memberships.push(Membership { network: network.name, settings: settings.clone() });
        }
        Ok(networking)
    }

    /// The networks a container is in, with what is special about its place in each.
    pub fn networks_of<'a>(
        &self,
        networking: &'a Networking,
    ) -> Result<Vec<(&'a Membership, Network)>, EngineError> {
        let find = |membership: &'a Membership| Ok((membership, self.network(&membership.network)?));
        networking.memberships.iter().map(find).collect()
    }
}

/// What does not go together with somebody else's network.
fn check_mode(mode: &NetworkMode, request: &Create, settings: &EndpointSettings) -> Result<(), EngineError> {
    let is_container = matches!(mode, NetworkMode::Container(_));
    let is_host = *mode == NetworkMode::Host;
    let conflict = match () {
        () if is_container && request.hostname.is_some() => "hostname and the network mode",
        () if is_host && !settings.links.is_empty() => {
            "host type networking can't be used with links. This would result in undefined behavior"
        }
        () if is_container && !settings.links.is_empty() => {
            "container type network can't be used with links. This would result in undefined behavior"
        }
        () if is_container && !request.naming.servers.is_empty() => "dns and the network mode",
        () if is_container && !request.naming.hosts.is_empty() => {
            "custom host-to-IP mapping and the network mode"
        }
        () if (is_container || is_host) && settings.mac.is_some() => "mac-address and the network mode",
        () if is_container && (!request.publish.is_empty() || request.publish_all) => {
            "port publishing and the container type network mode"
        }
        () if is_container && !request.expose.is_empty() => {
            "port exposing and the container type network mode"
        }
        () => return Ok(()),
    };
    Err(EngineError::Conflict(conflict.to_owned()))
}

/// Whether a container can have such a place in a network, or in what `name` says if that is none.
pub(super) fn check_settings(
    name: &str,
    network: Option<&Network>,
    settings: &EndpointSettings,
) -> Result<(), EngineError> {
    let mut wrong = Vec::new();
    let is_users = network.is_some_and(|network| *network.name != *DEFAULT);
    if !is_users && (settings.ip.is_some() || settings.ip6.is_some()) {
        wrong.push("user specified IP address is supported on user defined networks only".to_owned());
    }
    if !is_users && !settings.aliases.is_empty() {
        wrong.push("network-scoped aliases are only supported for user-defined networks".to_owned());
    }
    if let Some(config) = network.filter(|_| is_users).map(|network| &network.config) {
        wrong.extend(misplaced(config, settings));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(EngineError::Invalid(format!(
            "invalid config for network {name}: invalid endpoint settings:\n{}",
            wrong.join("\n")
        ))),
    }
}

/// Why the addresses asked for cannot be had.
fn misplaced(config: &NetworkConfig, settings: &EndpointSettings) -> Vec<String> {
    let explain = |address: IpAddr, fits: bool| {
        match (fits, config.chosen_by_user) {
        (_, false) => Some(
            "user specified IP address is supported only when connecting to networks with user configured subnets"
                .to_owned(),
        ),
        (false, true) => Some(format!("no configured subnet or ip-range contain the IP address {address}")),
        (true, true) => None,
    }
    };
    let ip = settings.ip.and_then(|ip| explain(ip.into(), config.subnet.contains(&ip)));
    let fits = |ip: &Ipv6Addr| config.ipv6.as_ref().is_some_and(|pool| pool.subnet.contains(ip));
    let ip6 = settings.ip6.and_then(|ip| explain(ip.into(), fits(&ip)));
    ip.into_iter().chain(ip6).collect()
}

/// What there is on disk: as it is now, or as it was when a container was in one network at most.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Recorded {
    Now { mode: NetworkMode, memberships: Vec<Membership> },
    Once(Once),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Once {
    Bridge,
    User { name: NetworkName, aliases: Vec<String> },
    None,
    Host,
}

impl From<Recorded> for Networking {
    fn from(recorded: Recorded) -> Networking {
        match recorded {
            Recorded::Now { mode, memberships } => Networking { mode, memberships },
            Recorded::Once(Once::Bridge) => Networking::of(NetworkMode::Bridge),
            Recorded::Once(Once::None) => Networking::of(NetworkMode::None),
            Recorded::Once(Once::Host) => Networking::of(NetworkMode::Host),
            Recorded::Once(Once::User { name, aliases }) => Networking {
                memberships: vec![Membership {
                    network: name.clone(),
                    settings: EndpointSettings { aliases, ..Default::default() },
                }],
                mode: NetworkMode::User(name),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_when_there_was_one_network_is_understood() {
        let read = |text: &str| serde_json::from_str::<Networking>(text).expect("readable");
        assert_eq!(read("\"bridge\""), Networking::of(NetworkMode::Bridge));
        assert_eq!(read("\"host\"").names(), ["host"]);
        let user = read(r#"{"user":{"name":"blue","aliases":["www"]}}"#);
        assert_eq!(user.mode.name(), "blue");
        assert_eq!(user.membership("blue").expect("a member").settings.aliases, ["www"]);
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let mut networking = Networking::of(NetworkMode::User("blue".parse().expect("valid")));
        networking.memberships[0].settings.ip = Some([10, 1, 0, 9].into());
        networking.memberships[0].settings.mac = Some(Mac::of([10, 1, 0, 9].into()));
        let text = serde_json::to_string(&networking).expect("writable");
        assert_eq!(serde_json::from_str::<Networking>(&text).expect("readable"), networking);
        let shared = Networking::of(NetworkMode::Container(ContainerId::from_random([7; 32])));
        let text = serde_json::to_string(&shared).expect("writable");
        assert_eq!(serde_json::from_str::<Networking>(&text).expect("readable"), shared);
    }
}
