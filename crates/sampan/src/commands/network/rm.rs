//! `network rm`: remove networks nobody is in.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Remove one or more networks
#[derive(Args)]
pub struct Remove {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    networks: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["network rm", "network remove"];
    const USAGE: &'static str = "NETWORK [NETWORK...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        report::for_each(&self.networks, |name| match engine.remove_network(name) {
            Err(EngineError::NoNetwork(_)) if self.force => Ok(None),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Some(name.to_owned())),
        })
    }
}
