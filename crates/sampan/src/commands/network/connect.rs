//! `network connect`: put a container into one more network.

use std::process::ExitCode;

use clap::Args;
use engine::container::EndpointSettings;

use crate::{
    cli::{Globals, Verb},
    commands::container::networks::{address, link},
    session,
};

/// Connect a container to a network
#[derive(Args)]
pub struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings")]
    alias: Vec<String>,
    /// driver options for the network
    #[arg(long, value_name = "strings")]
    driver_opt: Vec<String>,
    /// Highest gw-priority provides the default gateway. Accepts positive and negative values
    #[arg(long, default_value_t = 0, value_name = "int")]
    gw_priority: i32,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "string")]
    ip: Option<String>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "string")]
    ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = link)]
    link: Vec<(String, String)>,
    /// Add a link-local address for the container
    #[arg(long, value_name = "strings")]
    link_local_ip: Vec<String>,
    network: String,
    container: String,
}

impl Verb for Connect {
    const NAMES: &'static [&'static str] = &["network connect"];
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let network = self.network.as_str();
        let settings = EndpointSettings {
            aliases: split(&self.alias).map(str::to_owned).collect(),
            links: self.link,
            ip: self.ip.map(|text| address(network, "IPv4", &text)).transpose()?,
            ip6: self.ip6.map(|text| address(network, "IPv6", &text)).transpose()?,
            link_local: split(&self.link_local_ip)
                .map(|text| address(network, "link-local IP", text))
                .collect::<Result<_, _>>()?,
            mac: None,
            gateway_priority: self.gw_priority,
            driver_options: split(&self.driver_opt).map(driver_option).collect::<anyhow::Result<_>>()?,
        };
        let engine = session::open(globals)?;
        engine.connect(network, &engine.container(&self.container)?, settings)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn driver_option(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| anyhow::anyhow!("invalid key/value pair format in driver options"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Each flag may hold several, joined by commas.
fn split(flags: &[String]) -> impl Iterator<Item = &str> {
    flags.iter().flat_map(|flag| flag.split(','))
}
