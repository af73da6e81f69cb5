//! Networks: which there are, what they look like, who is in them.
//!
//! What a network is lasts and is in the database. Who has which address and which name in it dies with the
//! boot, and is in files that any process can claim and release:
//!
//! ```text
//!   <run>/networks/<id>/addresses/<address>     two lines: the container's id and its name
//!   <run>/networks/<id>/names/<name>/<address>  empty; the directory answers a question for the name
//!   <run>/networks/<id>/change                  while the network is made or removed
//! ```

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use ipnet::{Ipv4Net, Ipv6Net};
use network::{Bridge, Firewall, HostLock, InterfaceName, Ipv6Subnet, Mac, RootlessNetns, Wiring};
use types::{ContainerId, Digest, NetworkId, NetworkName};

use crate::{
    Container, Engine,
    error::EngineError,
    state::{Durability, NetworkRow},
};

pub use self::{
    create::{Driver, NetworkRequest},
    select::NetworkFilters,
    template::{AskedPool, NetworkTemplate},
};

mod change;
mod create;
mod select;
mod template;

/// How a network is made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetworkConfig {
    #[serde(default)]
    pub driver: Driver,
    pub subnet: Ipv4Net,
    pub gateway: Ipv4Addr,
    /// Whether the user named the gateway.
    #[serde(default)]
    pub names_gateway: bool,
    /// The part of the subnet that addresses are taken from, if not all of it.
    #[serde(default)]
    pub range: Option<Ipv4Net>,
    #[serde(default)]
    pub ipv6: Option<Ipv6Pool>,
    /// Addresses that somebody else has, by his name.
    #[serde(default)]
    pub auxiliary: Vec<(String, IpAddr)>,
    /// Whether the user named the subnet: containers may then name their addresses.
    #[serde(default)]
    pub chosen_by_user: bool,
    pub bridge: InterfaceName,
    /// Without a way out.
    pub internal: bool,
    #[serde(default)]
    pub attachable: bool,
    /// The driver's, as the user gave them.
    #[serde(default)]
    pub options: Vec<(String, String)>,
    #[serde(default)]
    pub ipam_options: Vec<(String, String)>,
    pub labels: Vec<(String, String)>,
    /// The name of the configuration that it was made from.
    #[serde(default)]
    pub like: Option<String>,
    /// How far it reaches, as the user said. It is this machine's all the same.
    #[serde(default)]
    pub scope: Option<String>,
}

impl NetworkConfig {
    /// The addresses that can be had: of the whole subnet, or the part of it that is to be used.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        create::addresses(self.subnet, self.range)
    }

    /// How far the network reaches, in docker's words.
    pub fn scope(&self) -> &str {
        self.scope.as_deref().unwrap_or(LOCAL)
    }
}

/// The IPv6 side of a network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ipv6Pool {
    pub subnet: Ipv6Net,
    pub gateway: Ipv6Addr,
    /// Whether the user named the gateway.
    #[serde(default)]
    pub names_gateway: bool,
    pub range: Option<Ipv6Net>,
}

/// A network that exists.
#[derive(Debug, Clone)]
pub struct Network {
    pub id: NetworkId,
    pub name: NetworkName,
    pub created: jiff::Timestamp,
    pub config: NetworkConfig,
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub address: Ipv4Addr,
    pub address6: Option<Ipv6Addr>,
    pub mac: Mac,
    pub container: ContainerId,
    pub name: String,
}

/// A network that nobody makes: a name for having the host's network, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predefined {
    Host,
    None,
}

impl Predefined {
    pub const ALL: [Predefined; 2] = [Predefined::Host, Predefined::None];

    /// The one that has this name, id, or first digits of an id.
    pub fn find(reference: &str) -> Option<Predefined> {
        let is_meant = |one: &Predefined| {
            one.name() == reference || (!reference.is_empty() && one.id().starts_with(reference))
        };
        Predefined::ALL.into_iter().find(is_meant)
    }

    pub fn name(self) -> &'static str {
        match self {
            Predefined::Host => "host",
            Predefined::None => "none",
        }
    }

    pub fn driver(self) -> &'static str {
        match self {
            Predefined::Host => "host",
            Predefined::None => "null",
        }
    }

    pub fn id(self) -> String {
        Digest::of(self.name().as_bytes()).hex()
    }
}

impl Network {
    fn of(row: NetworkRow) -> Network {
        Network { id: row.id, name: row.name, created: crate::timestamp(row.created), config: row.config }
    }

    fn row(&self) -> NetworkRow {
        let Network { id, name, created, config } = self.clone();
        NetworkRow { id, name, created: created.as_nanosecond() as i64, config }
    }

    /// The bridge that carries the network.
    pub fn bridge(&self) -> Bridge {
        let config = &self.config;
        Bridge {
            name: config.bridge.clone(),
            subnet: config.subnet,
            gateway: config.gateway,
            internal: config.internal,
            icc: config.flag(ICC).unwrap_or(true),
            masquerade: !config.internal && config.flag(MASQUERADE).unwrap_or(true),
            mtu: config.mtu(),
            ipv6: config.ipv6.as_ref().map(|pool| Ipv6Subnet { subnet: pool.subnet, gateway: pool.gateway }),
        }
    }

    /// Makes sure that there is what carries the network, and that the firewall knows it.
    fn bring_up(&self, firewall: &Firewall) -> Result<(), EngineError> {
        match self.config.driver {
            Driver::Bridge => Ok(self.bridge().ensure(firewall)?),
            // What is part of an interface of the host's is beyond the host's firewall.
            Driver::Macvlan | Driver::Ipvlan => Ok(()),
        }
    }

    fn take_down(&self, firewall: &Firewall) -> Result<(), EngineError> {
        match self.config.driver {
            Driver::Bridge => Ok(self.bridge().remove(firewall)?),
            Driver::Macvlan | Driver::Ipvlan => Ok(()),
        }
    }

    /// What a container's interface is connected to, and how.
    pub(crate) fn wiring(&self) -> (InterfaceName, Wiring) {
        let config = &self.config;
        let wiring = match config.driver {
            Driver::Bridge => Wiring::Bridge,
            Driver::Macvlan => Wiring::Macvlan(
                config.option(MACVLAN_MODE).and_then(create::macvlan_mode).unwrap_or_default(),
            ),
            Driver::Ipvlan => {
                Wiring::Ipvlan(config.option(IPVLAN_MODE).and_then(create::ipvlan_mode).unwrap_or_default())
            }
        };
        let parent = config.option(PARENT).filter(|_| wiring != Wiring::Bridge);
        (parent.and_then(|parent| parent.parse().ok()).unwrap_or(config.bridge.clone()), wiring)
    }

    /// What an endpoint is known by: the same for the same container, as long as the network is there.
    pub fn endpoint_id(&self, container: &ContainerId) -> String {
        Digest::of(format!("{} {container}", self.id).as_bytes()).hex()
    }
}

impl NetworkConfig {
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.option(name).and_then(create::boolean)
    }

    pub(crate) fn mtu(&self) -> Option<u32> {
        self.option(MTU).and_then(|mtu| mtu.parse().ok())
    }

    /// The host's address that ports are published on, unless something else is said.
    pub(crate) fn host_binding(&self) -> Option<IpAddr> {
        self.option(HOST_BINDING).and_then(|address| address.parse().ok())
    }
}

impl Engine {
    /// The network that containers are in unless told otherwise; made when it is first needed.
    pub fn default_network(&self) -> Result<Network, EngineError> {
        match self.state.network_by_name(DEFAULT)? {
            Some(row) => Ok(Network::of(row)),
            None => {
                let request = NetworkRequest { name: DEFAULT.to_owned(), ..Default::default() };
                self.make_network(request).or_else(|error| match error {
                    // Another process was faster.
                    EngineError::NetworkExists(_) => self.network(DEFAULT),
                    error => Err(error),
                })
            }
        }
    }

    /// The network with this name, id, or first digits of an id.
    pub fn network(&self, reference: &str) -> Result<Network, EngineError> {
        if let Some(row) = self.state.network_by_name(reference)? {
            return Ok(Network::of(row));
        }
        if reference == DEFAULT {
            return self.default_network();
        }
        let mut matching =
            self.state.networks()?.into_iter().filter(|row| row.id.to_string().starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some(row), None) if !reference.is_empty() => Ok(Network::of(row)),
            _ if self.network_template(reference)?.is_some() => Err(EngineError::NetworkTemplate),
            _ => Err(EngineError::NoNetwork(reference.to_owned())),
        }
    }

    /// All networks with a bridge, the newest first.
    pub fn networks(&self) -> Result<Vec<Network>, EngineError> {
        self.default_network()?;
        Ok(self.state.networks()?.into_iter().map(Network::of).collect())
    }

    /// A network that may be removed: one that a user made and no container is in.
    pub(crate) fn removable_network(&self, reference: &str) -> Result<Network, EngineError> {
        if let Some(predefined) = Predefined::find(reference) {
            return Err(EngineError::PredefinedNetwork(predefined.name().to_owned()));
        }
        let network = self.network(reference)?;
        if PREDEFINED.contains(&&*network.name) {
            return Err(EngineError::PredefinedNetwork(network.name.to_string()));
        }
        self.check_unused(&network)?;
        Ok(network)
    }

    /// Fails if a container is in `network`.
    fn check_unused(&self, network: &Network) -> Result<(), EngineError> {
        let endpoints = self.endpoints(network)?;
        if !endpoints.is_empty() {
            let describe = |one: &Endpoint| {
                format!("name:\"{}\" id:\"{}\"", one.name, &network.endpoint_id(&one.container)[..12])
            };
            let endpoints: Vec<_> = endpoints.iter().map(describe).collect();
            let Network { name, id, .. } = network.clone();
            return Err(EngineError::NetworkInUse { name, id, endpoints: endpoints.join(", ") });
        }
        Ok(())
    }

    /// Removes a network that no container is in, or a configuration that no network is like.
    pub fn remove_network(&self, reference: &str) -> Result<(), EngineError> {
        if Predefined::find(reference).is_none()
            && let Some(template) = self.network_template(reference)?
        {
            return self.remove_template(&template);
        }
        let network = self.removable_network(reference)?;
        // Held as long as it takes, so that nobody takes the subnet before the bridge is gone.
        let lock = HostLock::acquire()?;
        // Somebody may have joined it before.
        self.check_unused(&network)?;
        self.change_network(&network, &lock, || {
            self.state.remove(Durability::Synced, |state| {
                state.delete_network(&network.id)?;
                self.throw_network_away(state, network.row())
            })?;
            self.take_down(&network)?;
            Ok(crate::remove_tree(&self.network_directory(&network.id))?)
        })?;
        self.note_network(&network, "destroy");
        Ok(())
    }

    pub(crate) fn note_network(&self, network: &Network, action: &str) {
        let attributes = [("name", &*network.name), ("type", network.config.driver.as_str())];
        self.note_of("network", &network.id.to_string(), action, &attributes);
    }

    /// Notes that a container has joined a network, or left it.
    pub(crate) fn note_membership(&self, container: &Container, network: &Network, action: &str) {
        let (id, container) = (network.id.to_string(), container.id.to_string());
        let attributes =
            [("container", &*container), ("name", &*network.name), ("type", network.config.driver.as_str())];
        self.note_of("network", &id, action, &attributes);
    }

    /// Who is in `network` now.
    pub fn endpoints(&self, network: &Network) -> Result<Vec<Endpoint>, EngineError> {
        self.endpoints_in(&network.id)
    }

    pub(crate) fn endpoints_in(&self, network: &NetworkId) -> Result<Vec<Endpoint>, EngineError> {
        let directory = self.network_directory(network).join("addresses");
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(EngineError::File { path: directory, source }),
        };
        let mut claims = Vec::new();
        for entry in entries {
            claims.extend(read_claim(&entry?.path())?);
        }
        // A claim whose container is gone or does not run was left by a monitor that was killed.
        claims.retain(|claim| {
            let directory = self.root().join("containers").join(claim.container.to_string());
            matches!(monitor::Lock::try_take(&directory), Ok(None))
        });
        Ok(endpoints(claims))
    }

    pub(crate) fn network_directory(&self, id: &NetworkId) -> PathBuf {
        self.run.join("networks").join(id.to_string())
    }

    /// Makes sure that there is what carries these networks.
    pub(crate) fn bring_up<'a>(
        &self,
        networks: impl IntoIterator<Item = &'a Network>,
    ) -> Result<(), EngineError> {
        let networks: Vec<_> = networks.into_iter().collect();
        if networks.is_empty() {
            return Ok(());
        }
        let table = self.table();
        self.beside_the_bridges(|| {
            let firewall = Firewall::open(&table)?;
            networks.iter().try_for_each(|network| network.bring_up(&firewall))
        })
    }

    /// Removes what carries a network.
    pub(crate) fn take_down(&self, network: &Network) -> Result<(), EngineError> {
        match self.rootless_netns() {
            // It went with the last process.
            Some(netns) if !netns.exists() => Ok(()),
            _ => {
                let table = self.table();
                self.beside_the_bridges(|| network.take_down(&Firewall::open(&table)?))
            }
        }
    }

    /// Does something where bridges are.
    fn beside_the_bridges(
        &self,
        work: impl FnOnce() -> Result<(), EngineError> + Send,
    ) -> Result<(), EngineError> {
        match self.rootless_netns() {
            None => work(),
            Some(netns) => netns.ensure().and_then(|()| netns.run(work))?,
        }
    }

    /// The network namespace that has the bridges, if that is not the host's.
    pub(crate) fn rootless_netns(&self) -> Option<RootlessNetns> {
        sys::rootless::is_rootless().then(|| RootlessNetns::at(self.run.join("rootless-netns")))
    }

    /// The name of the firewall table of this engine.
    pub(crate) fn table(&self) -> String {
        match self.suffix().as_str() {
            "" => "sampan".to_owned(),
            suffix => format!("sampan-{suffix}"),
        }
    }
}

/// An address, and who claimed it.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub address: IpAddr,
    pub container: ContainerId,
    pub name: String,
    pub mac: Option<Mac>,
}

/// What a claim's file says.
pub(crate) fn write_claim(container: &ContainerId, name: &str, mac: Mac) -> String {
    format!("{container}\n{name}\n{mac}\n")
}

/// Reads who claimed an address; `None` if the claim is just being released, or was never finished.
pub(crate) fn read_claim(path: &Path) -> Result<Option<Claimed>, EngineError> {
    let address = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let content = match fs::read_to_string(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(EngineError::File { path: path.to_owned(), source }),
    };
    let mut lines = content.lines();
    let container = lines.next().and_then(|id| id.parse().ok());
    let name = lines.next().unwrap_or_default().to_owned();
    let mac = lines.next().and_then(|mac| mac.parse().ok());
    Ok(address.zip(container).map(|(address, container)| Claimed { address, container, name, mac }))
}

/// Who is there, by the addresses that are claimed.
fn endpoints(claims: Vec<Claimed>) -> Vec<Endpoint> {
    let address6 = |container: &ContainerId| {
        claims.iter().filter(|claim| claim.container == *container).find_map(|claim| match claim.address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        })
    };
    let endpoint = |claim: &Claimed| match claim.address {
        IpAddr::V4(address) => Some(Endpoint {
            address,
            address6: address6(&claim.container),
            mac: claim.mac.unwrap_or(Mac::of(address)),
            container: claim.container,
            name: claim.name.clone(),
        }),
        IpAddr::V6(_) => None,
    };
    let mut endpoints: Vec<_> = claims.iter().filter_map(endpoint).collect();
    endpoints.sort_by_key(|endpoint| endpoint.address);
    endpoints
}

/// The reach of a network that is this machine's.
pub const LOCAL: &str = "local";
/// The default network's name.
pub const DEFAULT: &str = "bridge";
const PREDEFINED: [&str; 3] = [DEFAULT, "host", "none"];

/// Options that docker's bridges have.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
/// Options of networks that are part of one of the host's.
const PARENT: &str = "parent";
const MACVLAN_MODE: &str = "macvlan_mode";
const IPVLAN_MODE: &str = "ipvlan_mode";
const MTU: &str = "com.docker.network.driver.mtu";
