//! `network prune`: remove the networks nobody is in.

use std::process::ExitCode;

use clap::Args;
use engine::network::NetworkFilters;
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    confirm::confirm,
    filter::{Filter, pairs},
    session,
};

/// Remove all unused networks
#[derive(Args)]
pub struct Prune {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["network prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let filters =
            NetworkFilters::parse(pairs(&self.filter), NetworkFilters::OF_PRUNING, Timestamp::now())?;
        if !self.force && !confirm(WARNING)? {
            return Ok(ExitCode::SUCCESS);
        }
        let removed = engine.prune_networks(&filters)?;
        if !removed.is_empty() {
            println!("Deleted Networks:");
            removed.iter().for_each(|name| println!("{name}"));
            println!();
        }
        Ok(ExitCode::SUCCESS)
    }
}

const WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.";
