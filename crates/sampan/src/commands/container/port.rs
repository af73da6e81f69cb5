//! `port`: where a container's ports are published.

use std::{net::IpAddr, process::ExitCode};

use clap::Args;
use engine::{EngineError, container::Container};
use types::{Port, Publish};

use crate::{
    cli::{Globals, Verb},
    session, usage,
};

/// List port mappings or a specific mapping for the container
#[derive(Args)]
pub struct Ports {
    container: String,
    private_port: Option<String>,
}

impl Verb for Ports {
    const NAMES: &'static [&'static str] = &["container port", "port"];
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let container = engine.container(&self.container)?;
        let published = published(&container)?;
        match self.private_port {
            None => {
                for publish in &published {
                    for address in addresses(publish) {
                        println!("{} -> {address}", publish.container);
                    }
                }
            }
            Some(port) => {
                let (number, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
                let number: u16 = number.parse().map_err(|error| {
                    anyhow::anyhow!(
                        "Error: invalid port ({number}): {}",
                        usage::number_error("ParseUint", number, &error)
                    )
                })?;
                let is_meant = |publish: &&Publish| {
                    let Port { number: own, protocol: owns } = publish.container;
                    own == number && owns.as_str() == protocol
                };
                let mut found = published.iter().filter(is_meant).peekable();
                if found.peek().is_none() {
                    anyhow::bail!("Error: No public port '{port}' published for {}", self.container);
                }
                found.flat_map(addresses).for_each(|address| println!("{address}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The ports of a running container as they are published now.
pub fn published(container: &Container) -> Result<Vec<Publish>, EngineError> {
    Ok(container.status()?.started().map(|started| started.publish.clone()).unwrap_or_default())
}

/// The addresses a port is published on; everywhere is one of each family.
pub fn addresses(publish: &Publish) -> Vec<std::net::SocketAddr> {
    let Some(port) = publish.host_port else { return Vec::new() };
    let everywhere: [IpAddr; 2] = [[0, 0, 0, 0].into(), [0u16; 8].into()];
    let addresses = publish.host_ip.map_or(everywhere.to_vec(), |ip| vec![ip]);
    addresses.into_iter().map(|ip| (ip, port).into()).collect()
}
