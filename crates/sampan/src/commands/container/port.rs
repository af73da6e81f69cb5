//! `port`: where a container's ports are published, and who reaches them there.

mod explain;

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
    /// Say who can reach the ports, and which rule of the host's firewall says so; of all containers if none is named
    #[arg(long)]
    explain: bool,
    /// Format what is explained using a custom template, or "json"
    #[arg(short, long, requires = "explain")]
    format: Option<String>,
    #[arg(required_unless_present = "explain")]
    container: Option<String>,
    private_port: Option<String>,
}

impl Verb for Ports {
    const NAMES: &'static [&'static str] = &["container port", "port"];
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let port = self.private_port.as_deref().map(Wanted::parse).transpose()?;
        let Some(name) = self.container.as_deref() else {
            return explain::run(&engine.containers()?, port.as_ref(), self.format.as_deref());
        };
        let container = engine.container(name)?;
        let published = published(&container)?;
        let is_meant = |publish: &&Publish| port.as_ref().is_none_or(|port| port.is(publish.container));
        let mut found = published.iter().filter(is_meant).peekable();
        if let (Some(port), None) = (&self.private_port, found.peek()) {
            anyhow::bail!("Error: No public port '{port}' published for {name}");
        }
        if self.explain {
            return explain::run(&[container], port.as_ref(), self.format.as_deref());
        }
        for publish in found {
            for address in addresses(publish) {
                match port {
                    None => println!("{} -> {address}", publish.container),
                    Some(_) => println!("{address}"),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A port as it is named on the command line: of TCP unless said otherwise.
struct Wanted<'a> {
    number: u16,
    protocol: &'a str,
}

impl Wanted<'_> {
    fn parse(text: &str) -> anyhow::Result<Wanted<'_>> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        match number.parse() {
            Ok(number) => Ok(Wanted { number, protocol }),
            Err(error) => {
                let reason = usage::number_error("ParseUint", number, &error);
                anyhow::bail!("Error: invalid port ({number}): {reason}")
            }
        }
    }

    fn is(&self, Port { number, protocol }: Port) -> bool {
        self.number == number && self.protocol == protocol.as_str()
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
