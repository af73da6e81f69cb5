//! A container's address and names in a network: claimed before it starts, released when it ends.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use network::Mac;
use rustix::fs::{FlockOperation, flock};
use types::NetworkId;

use super::{networking::Membership, status::Container};
use crate::{
    Engine,
    error::EngineError,
    network::{Claimed, DEFAULT, Endpoint, Ipv6Pool, Network, NetworkConfig, read_claim, write_claim},
};

/// What a container has claimed in a network.
#[derive(Debug)]
pub struct Claim {
    pub address: Ipv4Addr,
    pub address6: Option<Ipv6Addr>,
    pub mac: Mac,
    /// The files that say so.
    pub files: Vec<PathBuf>,
}

impl Claim {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(IpAddr::V4(self.address)).chain(self.address6.map(IpAddr::V6))
    }

    /// Gives back what was claimed.
    pub(crate) fn release(&self) {
        // One that stays is found to be stale when it is needed.
        self.files.iter().for_each(|file| drop(fs::remove_file(file)));
    }
}

impl Engine {
    /// Claims an address and the container's names in each of its networks: all of it or nothing.
    pub(crate) fn claim_all(
        &self,
        container: &Container,
        networks: &[(&Membership, Network)],
    ) -> Result<Vec<Claim>, EngineError> {
        let mut claims: Vec<Claim> = Vec::new();
        for (membership, network) in networks {
            match self.claim(container, membership, network) {
                Ok(claim) => claims.push(claim),
                Err(error) => {
                    claims.iter().for_each(Claim::release);
                    return Err(error);
                }
            }
        }
        Ok(claims)
    }

    /// Claims an address of `network`, the one asked for if there is one, and the container's names in it.
    pub(crate) fn claim(
        &self,
        container: &Container,
        membership: &Membership,
        network: &Network,
    ) -> Result<Claim, EngineError> {
        let directory = self.network_directory(&network.id);
        let addresses = directory.join("addresses");
        fs::create_dir_all(&addresses)
            .map_err(|source| EngineError::File { path: addresses.clone(), source })?;
        // One at a time chooses. The kernel lets go of the lock if the chooser is killed.
        let lock = File::open(&addresses)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive)).map_err(io::Error::from)?;
        let mut used = HashSet::new();
        for entry in fs::read_dir(&addresses)? {
            used.extend(entry?.file_name().to_str().and_then(|name| name.parse::<IpAddr>().ok()));
        }
        let settings = &membership.settings;
        let address = match settings.ip {
            Some(address) if used.contains(&address.into()) => self.reclaim(network, address.into())?,
            Some(address) => address.into(),
            None => match free(&network.config, &used) {
                Some(address) => address.into(),
                None => self.reclaim_any(network, &used)?,
            },
        };
        let IpAddr::V4(address) = address else { return Err(no_address(network)) };
        let address6 = match (settings.ip6, &network.config.ipv6) {
            (_, None) => None,
            (Some(address), _) if used.contains(&address.into()) => {
                self.reclaim(network, address.into())?;
                Some(address)
            }
            (Some(address), _) => Some(address),
            (None, Some(pool)) => {
                let free = free6(pool, &network.config.auxiliary, &used);
                Some(free.ok_or_else(|| no_address(network))?)
            }
        };
        let mac = settings.mac.unwrap_or(Mac::of(address));
        let mut claim = Claim { address, address6, mac, files: Vec::new() };
        for address in claim.addresses().collect::<Vec<_>>() {
            let file = addresses.join(address.to_string());
            fs::write(&file, write_claim(&container.id, &container.name, mac))?;
            claim.files.push(file);
            if *network.name == *DEFAULT {
                continue;
            }
            for name in names(container, membership) {
                let directory = directory.join("names").join(name);
                let file = directory.join(address.to_string());
                fs::create_dir_all(&directory).and_then(|()| File::create(&file))?;
                claim.files.push(file);
            }
        }
        Ok(claim)
    }

    /// Releases what is claimed in a network by containers that are gone or do not run. There is nothing to look for if
    /// just as many addresses are claimed as those that were seen running have.
    pub(crate) fn release_stale(&self, network: &NetworkId, expected: usize) -> Result<(), EngineError> {
        let directory = self.network_directory(network);
        let addresses = directory.join("addresses");
        let claimed = match fs::read_dir(&addresses) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            claims => claims?.count(),
        };
        if claimed == expected {
            return Ok(());
        }
        let lock = File::open(&addresses)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive)).map_err(io::Error::from)?;
        let mut held = Vec::new();
        for endpoint in self.endpoints_in(network)? {
            held.push(endpoint.address.to_string());
            held.extend(endpoint.address6.map(|address| address.to_string()));
        }
        for address in fs::read_dir(&addresses)?.flatten().map(|entry| entry.file_name()) {
            if !held.iter().any(|held| *held == *address.to_string_lossy()) {
                release(&directory, &address.to_string_lossy())?;
            }
        }
        Ok(())
    }

    /// An address that is claimed, if that was by a container that is gone.
    fn reclaim(&self, network: &Network, address: IpAddr) -> Result<IpAddr, EngineError> {
        if self.held(network)?.contains(&address) {
            return Err(EngineError::AddressInUse);
        }
        release(&self.network_directory(&network.id), &address.to_string())?;
        Ok(address)
    }

    /// An address whose claim was left by a container that is gone.
    fn reclaim_any(&self, network: &Network, used: &HashSet<IpAddr>) -> Result<IpAddr, EngineError> {
        let held = self.held(network)?;
        let directory = self.network_directory(&network.id);
        let is_stale = |address: &&IpAddr| {
            let claim = directory.join("addresses").join(address.to_string());
            address.is_ipv4() && !held.contains(address) && read_claim(&claim).is_ok()
        };
        let stale = used.iter().find(is_stale).ok_or_else(|| no_address(network))?;
        release(&directory, &stale.to_string())?;
        Ok(*stale)
    }

    /// The addresses of containers that run.
    fn held(&self, network: &Network) -> Result<HashSet<IpAddr>, EngineError> {
        let addresses = |endpoint: &Endpoint| {
            std::iter::once(IpAddr::V4(endpoint.address)).chain(endpoint.address6.map(IpAddr::V6))
        };
        Ok(self.endpoints(network)?.iter().flat_map(addresses).collect())
    }
}

fn no_address(network: &Network) -> EngineError {
    EngineError::NoAddress { name: network.name.clone(), id: network.id }
}

/// The first address of a network's that nobody has.
fn free(config: &NetworkConfig, used: &HashSet<IpAddr>) -> Option<Ipv4Addr> {
    let NetworkConfig { gateway, auxiliary, .. } = config;
    let is_free = |address: &Ipv4Addr| {
        address != gateway
            && !used.contains(&IpAddr::V4(*address))
            && !auxiliary.iter().any(|(_, other)| *other == IpAddr::V4(*address))
    };
    config.addresses().find(is_free)
}

/// The first IPv6 address of a network's that nobody has.
fn free6(pool: &Ipv6Pool, auxiliary: &[(String, IpAddr)], used: &HashSet<IpAddr>) -> Option<Ipv6Addr> {
    let part = pool.range.unwrap_or(pool.subnet);
    let is_free = |address: &Ipv6Addr| {
        *address != pool.gateway
            && !used.contains(&IpAddr::V6(*address))
            && !auxiliary.iter().any(|(_, other)| *other == IpAddr::V6(*address))
    };
    let (first, last) = (part.network().to_bits(), part.broadcast().to_bits());
    (first..=last).skip(1).map(Ipv6Addr::from_bits).find(is_free)
}

/// All that leads to a container in a network.
pub(super) fn names(container: &Container, membership: &Membership) -> Vec<String> {
    let mut names = container.names_in(&membership.settings);
    names.push(format!("{}.{}", container.name, membership.network));
    names.retain(|name| is_file_name(name));
    names.iter_mut().for_each(|name| name.make_ascii_lowercase());
    names.sort();
    names.dedup();
    names
}

/// Whether a name cannot lead out of the directory of names.
fn is_file_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Has the claim of an address say another name of the container's.
pub(super) fn rename_claim(claim: &Path, name: &str) -> Result<(), EngineError> {
    let addresses = claim.parent().expect("a claim is a file in its network's directory");
    let lock = File::open(addresses)?;
    rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive)).map_err(io::Error::from)?;
    let Some(Claimed { container, mac: Some(mac), .. }) = read_claim(claim)? else { return Ok(()) };
    // Elsewhere first: nobody is to see half of it.
    let aside = addresses.with_file_name(".claim");
    fs::write(&aside, write_claim(&container, name, mac))?;
    Ok(fs::rename(aside, claim)?)
}

/// Removes an address's claim and the names that lead to it.
fn release(directory: &Path, address: &str) -> Result<(), EngineError> {
    let names = fs::read_dir(directory.join("names")).into_iter().flatten().flatten();
    let claims = names.map(|name| name.path().join(address));
    for claim in claims.chain([directory.join("addresses").join(address)]) {
        match fs::remove_file(&claim) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(EngineError::File { path: claim, source });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use network::InterfaceName;

    use super::*;

    fn config(subnet: &str, range: Option<&str>) -> NetworkConfig {
        let subnet: ipnet::Ipv4Net = subnet.parse().expect("valid");
        NetworkConfig {
            driver: Default::default(),
            subnet,
            gateway: subnet.hosts().next().expect("not empty"),
            names_gateway: false,
            range: range.map(|range| range.parse().expect("valid")),
            ipv6: None,
            auxiliary: vec![("router".to_owned(), "10.1.0.3".parse().expect("valid"))],
            chosen_by_user: true,
            bridge: "br-x".parse::<InterfaceName>().expect("valid"),
            internal: false,
            attachable: false,
            options: Vec::new(),
            ipam_options: Vec::new(),
            labels: Vec::new(),
            like: None,
            scope: None,
        }
    }

    #[test]
    fn addresses_are_taken_in_order_but_for_those_that_others_have() {
        let used =
            |all: &[&str]| all.iter().map(|one| one.parse().expect("valid")).collect::<HashSet<IpAddr>>();
        let first =
            |config: &NetworkConfig, taken: &[&str]| free(config, &used(taken)).map(|a| a.to_string());
        let whole = config("10.1.0.0/29", None);
        assert_eq!(first(&whole, &[]).as_deref(), Some("10.1.0.2"));
        assert_eq!(first(&whole, &["10.1.0.2"]).as_deref(), Some("10.1.0.4"), "after the router's");
        assert_eq!(first(&whole, &["10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6"]), None);
        let subnet = "fd00::/64".parse().expect("valid");
        let pool = Ipv6Pool {
            subnet,
            gateway: "fd00::1".parse().expect("valid"),
            names_gateway: false,
            range: None,
        };
        let next = free6(&pool, &[], &used(&["fd00::2"]));
        assert_eq!(next.map(|address| address.to_string()).as_deref(), Some("fd00::3"));
        let part = config("10.1.0.0/16", Some("10.1.4.0/24"));
        assert_eq!(first(&part, &[]).as_deref(), Some("10.1.4.0"));
        let end = config("10.1.0.0/24", Some("10.1.0.254/31"));
        assert_eq!(first(&end, &["10.1.0.254"]), None);
    }
}
