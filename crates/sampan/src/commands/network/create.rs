//! `network create`: a network whose containers find each other by name.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Create a network
#[derive(Args)]
pub struct Create {
    /// Driver to manage the Network
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Set metadata on a network
    #[arg(long)]
    label: Vec<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "string")]
    subnet: Option<String>,
    network: String,
}

impl Verb for Create {
    const NAMES: &'static [&'static str] = &["network create"];
    const USAGE: &'static str = "[OPTIONS] NETWORK";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.driver != "bridge" {
            anyhow::bail!("Error response from daemon: plugin {:?} not found", self.driver);
        }
        let subnet = self.subnet.map(|subnet| {
            subnet.parse().map_err(|_| {
                anyhow::anyhow!(
                    "invalid subnet {subnet}: expected an address and a prefix length, such as 10.1.0.0/24"
                )
            })
        });
        let labels = self.label.iter().map(|label| {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            (key.to_owned(), value.to_owned())
        });
        let name =
            self.network.parse().map_err(|error| anyhow::anyhow!("Error response from daemon: {error}"))?;
        let network = session::open(globals)?.create_network(
            name,
            subnet.transpose()?,
            self.internal,
            labels.collect(),
        )?;
        println!("{}", network.id);
        Ok(ExitCode::SUCCESS)
    }
}
