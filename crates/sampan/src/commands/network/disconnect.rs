//! `network disconnect`: take a container out of a network.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Disconnect a container from a network
#[derive(Args)]
pub struct Disconnect {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    force: bool,
    network: String,
    container: String,
}

impl Verb for Disconnect {
    const NAMES: &'static [&'static str] = &["network disconnect"];
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        // There is nothing that only force could take away: whoever is in a network is a container that is known.
        let Disconnect { force: _, network, container } = self;
        engine.disconnect(&network, &engine.container(&container)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
