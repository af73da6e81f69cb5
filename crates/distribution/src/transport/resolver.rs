//! Turns the host of a URL into addresses.

use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver as Resolve},
        transport::NextTimeout,
    },
};

use super::{dns, hosts};
use crate::{location::Origin, settings::host_of};

/// Looks names up in `/etc/hosts` and with the name servers of `/etc/resolv.conf`.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    since: Instant,
}

/// No name server knew.
#[derive(Debug, thiserror::Error)]
#[error("none of the name servers answers")]
pub(super) struct LookupFailure {
    pub host: String,
}

impl Resolver {
    pub fn of_system() -> Resolver {
        Resolver { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), known: Arc::default() }
    }

    /// The addresses of `host`: a name, or an address itself.
    fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let host = host.to_ascii_lowercase();
        // Held while asking, so that threads that want the same name ask once.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(&host).filter(|entry| entry.since.elapsed() < LIFETIME) {
            return Ok(entry.addresses.clone());
        }
        // A missing file is an empty one.
        let mut addresses = hosts::addresses(&fs::read_to_string(&self.hosts).unwrap_or_default(), &host);
        if addresses.is_empty() {
            let configuration = fs::read_to_string(&self.resolv_conf).unwrap_or_default();
            addresses = match dns::Configuration::parse(&configuration).look_up(&host) {
                dns::Answer::Addresses(addresses) => addresses,
                dns::Answer::NoSuchName => return Err(Error::HostNotFound),
                dns::Answer::Nothing => return Err(Error::Other(Box::new(LookupFailure { host }))),
            };
        }
        known.insert(host, Known { addresses: addresses.clone(), since: Instant::now() });
        Ok(addresses)
    }
}

/// The addresses of `host`, a name or an address itself, for connections that are not to registries. Blocks.
pub fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    Resolver::of_system().addresses(host).map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))
}

impl Resolve for Resolver {
    /// The time that name servers have is theirs to be configured, in `/etc/resolv.conf`.
    fn resolve(&self, url: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let origin = Origin::of(url).ok_or(Error::HostNotFound)?;
        let mut found = self.empty();
        for address in self.addresses(host_of(&origin.host))?.into_iter().take(ADDRESSES) {
            found.push(SocketAddr::new(address, origin.port));
        }
        if found.is_empty() { Err(Error::HostNotFound) } else { Ok(found) }
    }
}

/// How long an answer is believed: long enough for a pull's many connections.
const LIFETIME: Duration = Duration::from_secs(30);
/// As many as the library's array holds.
const ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_the_names_of_this_machine_are_not_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let hosts = directory.path().join("hosts");
        fs::write(&hosts, "10.0.0.1 registry.example\n").unwrap();
        let resolver = Resolver { hosts, resolv_conf: directory.path().join("none"), known: Arc::default() };
        let of = |host: &str| {
            resolver.addresses(host).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("192.0.2.1"), ["192.0.2.1"]);
        assert_eq!(of("::1"), ["::1"]);
        assert_eq!(of("Registry.example"), ["10.0.0.1"]);
        assert_eq!(of("localhost")[0], "127.0.0.1");
    }
}
