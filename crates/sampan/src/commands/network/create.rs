//! `network create`: a network whose containers find each other by name.

use std::{net::IpAddr, process::ExitCode};

use clap::{ArgAction, Args};
use engine::network::{Driver, NetworkRequest};

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Create a network
#[derive(Args)]
pub struct Create {
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "map")]
    aux_address: Vec<String>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string")]
    config_from: Option<String>,
    /// Create a configuration only network
    #[arg(long)]
    config_only: bool,
    /// Driver to manage the Network
    #[arg(short, long, default_value = "bridge", value_name = "string")]
    driver: String,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings")]
    gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long)]
    ingress: bool,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings")]
    ip_range: Vec<String>,
    /// IP Address Management Driver
    #[arg(long, default_value = "default", value_name = "string")]
    ipam_driver: String,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "map")]
    ipam_opt: Vec<String>,
    /// Enable or disable IPv4 address assignment
    #[arg(long, default_value_t = true)]
    ipv4: bool,
    /// Enable or disable IPv6 address assignment
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv6: Option<bool>,
    /// Set metadata on a network
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// Control the network's scope
    #[arg(long, value_name = "string")]
    scope: Option<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings")]
    subnet: Vec<String>,
    network: String,
}

impl Verb for Create {
    const NAMES: &'static [&'static str] = &["network create"];
    const USAGE: &'static str = "[OPTIONS] NETWORK";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if !self.ipv4 {
            anyhow::bail!("Error response from daemon: a network without IPv4 is not supported");
        }
        let address = |text: &str| -> anyhow::Result<IpAddr> {
            text.parse().map_err(|_| anyhow::anyhow!("no matching subnet for gateway {text}"))
        };
        let gateways = words(&self.gateway).map(address).collect::<anyhow::Result<_>>()?;
        let mut auxiliary = Vec::new();
        for text in &self.aux_address {
            let (name, address) = pair(text);
            let parsed = address
                .parse()
                .map_err(|_| anyhow::anyhow!("no matching subnet for aux-address {address}"))?;
            auxiliary.push((name, parsed));
        }
        let request = NetworkRequest {
            name: self.network,
            // Of what is only a configuration, none is asked for anything.
            driver: if self.config_only { Driver::default() } else { self.driver.parse()? },
            subnets: words(&self.subnet).map(str::to_owned).collect(),
            gateways,
            ranges: words(&self.ip_range).map(str::to_owned).collect(),
            auxiliary,
            internal: self.internal,
            attachable: self.attachable,
            ingress: self.ingress,
            scope: self.scope.filter(|scope| !scope.is_empty()),
            ipv6: self.ipv6,
            options: self.opt.iter().map(|option| pair(option)).collect(),
            ipam_driver: self.ipam_driver,
            ipam_options: self.ipam_opt.iter().map(|option| pair(option)).collect(),
            labels: self.label.iter().map(|label| pair(label)).collect(),
            like: self.config_from.filter(|name| !name.is_empty()),
        };
        let engine = session::open(globals)?;
        let id = match self.config_only {
            true => engine.create_network_template(request)?.id,
            false => engine.create_network(request)?.id,
        };
        println!("{id}");
        Ok(ExitCode::SUCCESS)
    }
}

/// Each flag may hold several, joined by commas.
fn words(flags: &[String]) -> impl Iterator<Item = &str> {
    flags.iter().flat_map(|flag| flag.split(','))
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}
