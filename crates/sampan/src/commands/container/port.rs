//! `port`: where a container's ports are published.

use std::{net::IpAddr, process::ExitCode};

use clap::Args;
use engine::{EngineError, container::Container};
use types::Publish;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// List port mappings or a specific mapping for the container
#[derive(Args)]
pub struct Port {
    container: String,
    private_port: Option<String>,
}

impl Verb for Port {
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
                let port: types::Port = port.parse()?;
                let mut found = published.iter().filter(|publish| publish.container == port).peekable();
                if found.peek().is_none() {
                    return Err(EngineError::NotPublished { port, container: self.container }.into());
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
