//! Networks: which there are, what they look like, who is in them.
//!
//! What a network is lasts and is in the database. Who has which address and which name in it dies with the
//! boot, and is in files that any process can claim and release:
//!
//! ```text
//!   <run>/networks/<id>/addresses/<address>     two lines: the container's id and its name
//!   <run>/networks/<id>/names/<name>/<address>  empty; the directory answers a question for the name
//! ```

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use network::{Bridge, Firewall, HostLock, InterfaceName, Mac};
use types::{ContainerId, Name, NetworkId};

use crate::{
    Engine,
    container::NetworkMode,
    error::EngineError,
    state::{Durability, NetworkRow},
};

/// How a network is made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetworkConfig {
    pub subnet: Ipv4Net,
    pub gateway: Ipv4Addr,
    pub bridge: InterfaceName,
    /// Without a way out.
    pub internal: bool,
    pub labels: Vec<(String, String)>,
}

/// A network that exists.
#[derive(Debug, Clone)]
pub struct Network {
    pub id: NetworkId,
    pub name: Name,
    pub created: jiff::Timestamp,
    pub config: NetworkConfig,
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub address: Ipv4Addr,
    pub mac: Mac,
    pub container: ContainerId,
    pub name: String,
}

impl Network {
    fn of(row: NetworkRow) -> Network {
        Network { id: row.id, name: row.name, created: crate::timestamp(row.created), config: row.config }
    }

    /// The bridge that carries the network.
    pub fn bridge(&self) -> Bridge {
        let NetworkConfig { subnet, gateway, bridge, internal, .. } = self.config.clone();
        Bridge { name: bridge, subnet, gateway, internal, icc: true, masquerade: !internal, mtu: None }
    }
}

impl Engine {
    /// The network that containers are in unless told otherwise; made when it is first needed.
    pub fn default_network(&self) -> Result<Network, EngineError> {
        match self.state.network_by_name(DEFAULT)? {
            Some(row) => Ok(Network::of(row)),
            None => {
                self.make_network(DEFAULT.parse()?, None, false, Vec::new()).or_else(|error| match error {
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
            _ => Err(EngineError::NoNetwork(reference.to_owned())),
        }
    }

    /// All networks with a bridge, the newest first.
    pub fn networks(&self) -> Result<Vec<Network>, EngineError> {
        self.default_network()?;
        Ok(self.state.networks()?.into_iter().map(Network::of).collect())
    }

    /// Makes a network. Its bridge comes up with the first container in it.
    pub fn create_network(
        &self,
        name: Name,
        subnet: Option<Ipv4Net>,
        internal: bool,
        labels: Vec<(String, String)>,
    ) -> Result<Network, EngineError> {
        if PREDEFINED.contains(&&*name) {
            return Err(EngineError::NetworkExists(name));
        }
        self.make_network(name, subnet, internal, labels)
    }

    fn make_network(
        &self,
        name: Name,
        subnet: Option<Ipv4Net>,
        internal: bool,
        labels: Vec<(String, String)>,
    ) -> Result<Network, EngineError> {
        // Held until the bridge is up, which takes the subnet for everybody on this host.
        let _lock = HostLock::acquire()?;
        let taken: Vec<_> = self.state.networks()?.into_iter().map(|row| row.config.subnet).collect();
        let subnet = match subnet {
            Some(subnet) if taken.iter().any(|other| overlap(other, &subnet)) => {
                return Err(EngineError::Invalid(
                    "Pool overlaps with other one on this address space".into(),
                ));
            }
            Some(subnet) => subnet.trunc(),
            None => network::subnets::free(&taken)?.ok_or(EngineError::NoSubnet)?,
        };
        let gateway = subnet.hosts().next().ok_or(EngineError::NoSubnet)?;
        let id = crate::names::random_id()?;
        let bridge = self.bridge_name(&name, &id)?;
        let config = NetworkConfig { subnet, gateway, bridge, internal, labels };
        let row = NetworkRow { id, name, created: crate::now(), config };
        self.state.write(Durability::Synced, |state| state.insert_network(&row))?;
        let network = Network::of(row);
        network.bridge().ensure(&self.firewall()?)?;
        Ok(network)
    }

    fn bridge_name(&self, name: &Name, id: &NetworkId) -> Result<InterfaceName, EngineError> {
        let suffix = self.suffix();
        let bridge = match (&**name, suffix.as_str()) {
            (DEFAULT, "") => "sampan0".to_owned(),
            (DEFAULT, suffix) => format!("sampan-{suffix}"),
            _ => format!("br-{}", id.short()),
        };
        bridge.parse().map_err(|error: network::InvalidInterfaceName| EngineError::Invalid(error.to_string()))
    }

    /// Removes a network that no container is in.
    pub fn remove_network(&self, reference: &str) -> Result<Network, EngineError> {
        if PREDEFINED.contains(&reference) {
            return Err(EngineError::PredefinedNetwork(reference.to_owned()));
        }
        let network = self.network(reference)?;
        if PREDEFINED.contains(&&*network.name) {
            return Err(EngineError::PredefinedNetwork(network.name.to_string()));
        }
        let _lock = HostLock::acquire()?;
        if !self.endpoints(&network)?.is_empty() {
            return Err(EngineError::NetworkInUse { name: network.name, id: network.id });
        }
        self.state.write(Durability::Synced, |state| state.delete_network(&network.id))?;
        network.bridge().remove(&self.firewall()?)?;
        crate::remove_tree(&self.network_directory(&network.id))?;
        Ok(network)
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
        let mut endpoints = Vec::new();
        for entry in entries {
            let path = entry?.path();
            endpoints.extend(read_claim(&path)?);
        }
        // A claim whose container is gone or does not run was left by a monitor that was killed.
        endpoints.retain(|endpoint| {
            let directory = self.root().join("containers").join(endpoint.container.to_string());
            matches!(monitor::Lock::try_take(&directory), Ok(None))
        });
        endpoints.sort_by_key(|endpoint| endpoint.address);
        Ok(endpoints)
    }

    pub(crate) fn network_directory(&self, id: &NetworkId) -> PathBuf {
        self.run.join("networks").join(id.to_string())
    }

    /// The firewall table of this engine.
    pub(crate) fn firewall(&self) -> Result<Firewall, EngineError> {
        Ok(Firewall::open(&self.table())?)
    }

    pub(crate) fn table(&self) -> String {
        match self.suffix().as_str() {
            "" => "sampan".to_owned(),
            suffix => format!("sampan-{suffix}"),
        }
    }

    /// The network a container is in, if that has a bridge.
    pub fn network_of(&self, mode: &NetworkMode) -> Result<Option<Network>, EngineError> {
        match mode {
            NetworkMode::Bridge => self.default_network().map(Some),
            NetworkMode::User { name, .. } => self.network(name).map(Some),
            NetworkMode::None | NetworkMode::Host => Ok(None),
        }
    }
}

/// Reads who claimed an address; `None` if the claim is just being released, or was never finished.
pub(crate) fn read_claim(path: &Path) -> Result<Option<Endpoint>, EngineError> {
    let address = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let content = match fs::read_to_string(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(EngineError::File { path: path.to_owned(), source }),
    };
    let mut lines = content.lines();
    let container = lines.next().and_then(|id| id.parse().ok());
    let name = lines.next().unwrap_or_default().to_owned();
    Ok(address.zip(container).map(|(address, container)| Endpoint {
        address,
        mac: Mac::of(address),
        container,
        name,
    }))
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// The default network's name.
pub const DEFAULT: &str = "bridge";
const PREDEFINED: [&str; 3] = [DEFAULT, "host", "none"];
