//! What the processes of RUN get: their network, and what else `build` grants or limits.

use builder::{Build as Request, Network};
use clap::Args;

/// How RUN's processes run.
#[derive(Args)]
pub struct Processes {
    /// Set the networking mode for the RUN instructions during build
    #[arg(long, default_value = "default")]
    network: String,
}

impl Processes {
    pub fn add_to(&self, request: &mut Request) -> anyhow::Result<()> {
        request.network = network(&self.network)?;
        Ok(())
    }
}

fn network(mode: &str) -> anyhow::Result<Network> {
    Ok(match mode {
        "default" => Network::Default,
        "none" => Network::None,
        "host" => Network::Host,
        other => anyhow::bail!("failed to build: network mode {other:?} not supported by sampan"),
    })
}
