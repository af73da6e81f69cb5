//! Links on the default network, where names are not resolved: lines of /etc/hosts and environment variables that tell a
//! container where another one is.

use std::{fs, net::Ipv4Addr};

use types::{Port, Protocol};

use super::{
    networking::{NetworkMode, Networking},
    status::Container,
};
use crate::{Engine, error::EngineError, network::DEFAULT};

/// Another container, as the one that has the link reaches it.
#[derive(Debug)]
pub(super) struct Linked {
    pub alias: String,
    pub other: Container,
    pub address: Ipv4Addr,
}

impl Engine {
    /// Finds the containers that links of the default network name, and names them by their ids, which stay.
    pub(super) fn resolve_links(&self, networking: &mut Networking) -> Result<(), EngineError> {
        if networking.mode != NetworkMode::Bridge {
            return Ok(());
        }
        for (name, _) in networking.memberships.iter_mut().flat_map(|one| &mut one.settings.links) {
            let mut other = self.container(name).map_err(|error| match error {
                EngineError::NoContainer(_) => {
                    EngineError::Invalid(format!("could not get container for {name}: {error}"))
                }
                other => other,
            })?;
            while let NetworkMode::Container(id) = &other.config.network.mode {
                other = self.container(&id.to_string())?;
            }
            if other.config.network.mode == NetworkMode::Host {
                let text =
                    "host type networking can't be used with links. This would result in undefined behavior";
                return Err(EngineError::Conflict(text.to_owned()));
            }
            *name = other.id.to_string();
        }
        Ok(())
    }

    /// The containers that this one is linked to on the default network, all of which run.
    pub(super) fn linked(&self, container: &Container) -> Result<Vec<Linked>, EngineError> {
        let mut linked: Vec<Linked> = Vec::new();
        let links = container.config.network.membership(DEFAULT).map(|one| one.settings.links.as_slice());
        let links = links.unwrap_or_default();
        if links.is_empty() {
            return Ok(linked);
        }
        let endpoints = self.endpoints(&self.default_network()?)?;
        for (name, alias) in links {
            if linked.iter().any(|other| other.alias == *alias) {
                continue;
            }
            let stopped =
                |name| EngineError::NotLinkable { name, alias: format!("{}/{alias}", container.name) };
            let other = match self.container(name) {
                // Known by its id alone by now.
                Err(EngineError::NoContainer(id)) => return Err(stopped(id.parse()?)),
                other => other?,
            };
            if !other.status()?.is_running() {
                return Err(stopped(other.name));
            }
            let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.container == other.id) else {
                let text = format!("container {} not attached to default bridge network", other.id);
                return Err(EngineError::Invalid(text));
            };
            linked.push(Linked { alias: alias.clone(), other, address: endpoint.address });
        }
        Ok(linked)
    }

    /// Tells those that are linked to a container that it has this address now.
    pub(super) fn tell_linking(&self, container: &Container, address: Ipv4Addr) -> Result<(), EngineError> {
        let id = container.id.to_string();
        for other in self.containers()? {
            let Some(membership) = other.config.network.membership(DEFAULT) else { continue };
            let aliases = membership.settings.links.iter().filter(|(name, _)| *name == id);
            let aliases: Vec<&str> = aliases.map(|(_, alias)| alias.as_str()).collect();
            if aliases.is_empty() || !other.status()?.is_running() {
                continue;
            }
            let path = other.directory.join("hosts");
            let hosts = fs::read_to_string(&path).map_err(|error| other.file_error(error))?;
            // In place: the container has the file mounted.
            fs::write(path, moved(&hosts, &aliases, address)).map_err(|error| other.file_error(error))?;
        }
        Ok(())
    }
}

impl Linked {
    /// The line of /etc/hosts for it.
    pub fn line(&self) -> String {
        let Linked { alias, other, address } = self;
        let own = if *alias == *other.name { String::new() } else { format!(" {}", other.name) };
        format!("{address}\t{alias} {}{own}\n", other.config.hostname)
    }

    /// The variables that tell the container `parent` of it.
    pub fn variables(&self, parent: &str) -> Vec<String> {
        let Linked { alias, other, address } = self;
        variables(parent, alias, *address, &other.config.exposed, &other.config.env)
    }
}

fn variables(
    parent: &str,
    alias: &str,
    address: Ipv4Addr,
    exposed: &[Port],
    environment: &[String],
) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let url = |port: &Port| format!("{}://{address}:{}", port.protocol.as_str(), port.number);
    let of = |port: &Port| format!("{prefix}_PORT_{}_{}", port.number, port.protocol.as_str().to_uppercase());
    let mut ports = exposed.to_vec();
    ports
        .sort_by_key(|port| (port.protocol != Protocol::Tcp, port.protocol.as_str().to_owned(), port.number));
    let follows = |one: &Port, next: &Port| {
        one.protocol == next.protocol && one.number.checked_add(1) == Some(next.number)
    };
    let mut variables: Vec<String> =
        ports.first().map(|port| format!("{prefix}_PORT={}", url(port))).into_iter().collect();
    let mut range = ports.first().map(|port| (*port, *port));
    for (nth, port) in ports.iter().enumerate() {
        let name = of(port);
        variables.push(format!("{name}={}", url(port)));
        variables.push(format!("{name}_ADDR={address}"));
        variables.push(format!("{name}_PORT={}", port.number));
        variables.push(format!("{name}_PROTO={}", port.protocol.as_str()));
        let is_last = nth + 1 == ports.len();
        if let Some((_, last)) = range.as_mut().filter(|(_, last)| follows(last, port)) {
            *last = *port;
            if !is_last {
                continue;
            }
        }
        if let Some((first, last)) = range.filter(|(first, last)| first != last) {
            let name = of(&first);
            variables.push(format!("{name}_START={}", url(&first)));
            variables.push(format!("{name}_PORT_START={}", first.number));
            variables.push(format!("{name}_END={}", url(&last)));
            variables.push(format!("{name}_PORT_END={}", last.number));
        }
        range = Some((*port, *port));
    }
    variables.push(format!("{prefix}_NAME=/{parent}/{alias}"));
    for (name, value) in environment.iter().filter_map(|variable| variable.split_once('=')) {
        // What every image sets says nothing.
        if !matches!(name, "HOME" | "PATH") {
            variables.push(format!("{prefix}_ENV_{name}={value}"));
        }
    }
    variables
}

/// The lines of /etc/hosts with another address where one of these names comes first.
fn moved(hosts: &str, aliases: &[&str], address: Ipv4Addr) -> String {
    let line = |line: &str| match line.split_once('\t') {
        Some((_, names)) if aliases.contains(&names.split_whitespace().next().unwrap_or_default()) => {
            format!("{address}\t{names}")
        }
        _ => line.to_owned(),
    };
    hosts.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_of_docker() {
        let ports = ["53/udp", "8081", "80", "8080"].map(|text| Port::parse_range(text).expect("valid")[0]);
        let environment = ["PATH=/bin", "A=1", "HOME=/", "B="].map(str::to_owned);
        let address = Ipv4Addr::new(172, 17, 0, 2);
        let expected = "\
            MY_DB_PORT=tcp://172.17.0.2:80
            MY_DB_PORT_80_TCP=tcp://172.17.0.2:80
            MY_DB_PORT_80_TCP_ADDR=172.17.0.2
            MY_DB_PORT_80_TCP_PORT=80
            MY_DB_PORT_80_TCP_PROTO=tcp
            MY_DB_PORT_8080_TCP=tcp://172.17.0.2:8080
            MY_DB_PORT_8080_TCP_ADDR=172.17.0.2
            MY_DB_PORT_8080_TCP_PORT=8080
            MY_DB_PORT_8080_TCP_PROTO=tcp
            MY_DB_PORT_8081_TCP=tcp://172.17.0.2:8081
            MY_DB_PORT_8081_TCP_ADDR=172.17.0.2
            MY_DB_PORT_8081_TCP_PORT=8081
            MY_DB_PORT_8081_TCP_PROTO=tcp
            MY_DB_PORT_53_UDP=udp://172.17.0.2:53
            MY_DB_PORT_53_UDP_ADDR=172.17.0.2
            MY_DB_PORT_53_UDP_PORT=53
            MY_DB_PORT_53_UDP_PROTO=udp
            MY_DB_PORT_8080_TCP_START=tcp://172.17.0.2:8080
            MY_DB_PORT_8080_TCP_PORT_START=8080
            MY_DB_PORT_8080_TCP_END=tcp://172.17.0.2:8081
            MY_DB_PORT_8080_TCP_PORT_END=8081
            MY_DB_NAME=/web/my-db
            MY_DB_ENV_A=1
            MY_DB_ENV_B=";
        let actual = variables("web", "my-db", address, &ports, &environment);
        assert_eq!(actual, expected.lines().map(str::trim).collect::<Vec<_>>());
        assert_eq!(variables("web", "db", address, &[], &[]), ["DB_NAME=/web/db"]);
    }

    #[test]
    fn only_the_lines_of_an_alias_get_another_address() {
        let hosts = "127.0.0.1\tlocalhost\n172.17.0.2\tdb 0fdcba\n172.17.0.3\tdbase\n";
        assert_eq!(
            moved(hosts, &["db"], Ipv4Addr::new(172, 17, 0, 9)),
            "127.0.0.1\tlocalhost\n172.17.0.9\tdb 0fdcba\n172.17.0.3\tdbase\n"
        );
    }
}
