//! A container's address and names in a network: claimed before it starts, released when it ends.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::PathBuf,
};

use rustix::fs::{FlockOperation, flock};
use types::NetworkId;

use super::{config::NetworkMode, status::Container};
use crate::{
    Engine,
    error::EngineError,
    network::{Network, read_claim},
};

/// What a container has claimed in its network.
#[derive(Debug)]
pub struct Claims {
    pub address: Ipv4Addr,
    /// The files that say so.
    pub files: Vec<PathBuf>,
}

impl Engine {
    /// Claims an address of `network` and the container's names in it.
    pub(crate) fn claim(&self, container: &Container, network: &Network) -> Result<Claims, EngineError> {
        let directory = self.network_directory(&network.id);
        let addresses = directory.join("addresses");
        fs::create_dir_all(&addresses)
            .map_err(|source| EngineError::File { path: addresses.clone(), source })?;
        // One at a time chooses. The kernel lets go of the lock if the chooser is killed.
        let lock = File::open(&addresses)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive)).map_err(io::Error::from)?;
        let mut used = Vec::new();
        for entry in fs::read_dir(&addresses)? {
            used.extend(entry?.file_name().to_str().and_then(|name| name.parse::<Ipv4Addr>().ok()));
        }
        let mut free = network.config.subnet.hosts().filter(|address| *address != network.config.gateway);
        let address = match free.find(|address| !used.contains(address)) {
            Some(address) => address,
            None => self.reclaim(network, &used)?,
        };
        let file = addresses.join(address.to_string());
        fs::write(&file, format!("{}\n{}\n", container.id, container.name))?;
        let mut claims = Claims { address, files: vec![file] };
        if let NetworkMode::User { aliases, .. } = &container.config.network {
            let short = container.id.short();
            let names = aliases.iter().map(String::as_str).chain([&*container.name, short.as_str()]);
            for name in names.map(str::to_ascii_lowercase) {
                let directory = directory.join("names").join(name);
                let file = directory.join(address.to_string());
                fs::create_dir_all(&directory).and_then(|()| File::create(&file))?;
                claims.files.push(file);
            }
        }
        Ok(claims)
    }

    /// Releases what is claimed in a network by containers that are gone or do not run.
    pub(crate) fn release_stale(&self, network: &NetworkId) -> Result<(), EngineError> {
        let directory = self.network_directory(network);
        let addresses = directory.join("addresses");
        let claims = || fs::read_dir(&addresses).map(Iterator::count).unwrap_or(0);
        if claims() == self.endpoints_in(network)?.len() {
            return Ok(());
        }
        let lock = File::open(&addresses)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive)).map_err(io::Error::from)?;
        let held: Vec<_> = self.endpoints_in(network)?.iter().map(|held| held.address.to_string()).collect();
        let names: Vec<_> = fs::read_dir(directory.join("names")).into_iter().flatten().flatten().collect();
        for address in fs::read_dir(&addresses)?.flatten().map(|entry| entry.file_name()) {
            if held.iter().any(|held| *held == *address.to_string_lossy()) {
                continue;
            }
            let claims = names.iter().map(|name| name.path().join(&address));
            for claim in claims.chain([addresses.join(&address)]) {
                match fs::remove_file(&claim) {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(EngineError::File { path: claim, source });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// An address whose claim was left by a container that is gone.
    fn reclaim(&self, network: &Network, used: &[Ipv4Addr]) -> Result<Ipv4Addr, EngineError> {
        let addresses = self.network_directory(&network.id).join("addresses");
        let held: Vec<_> = self.endpoints(network)?.into_iter().map(|endpoint| endpoint.address).collect();
        let stale = used.iter().find(|address| {
            !held.contains(address) && read_claim(&addresses.join(address.to_string())).is_ok()
        });
        stale.copied().ok_or_else(|| EngineError::NoAddress(network.name.clone()))
    }
}
