//! `network prune`: remove the networks nobody is in.

use std::process::ExitCode;

use clap::Args;
use engine::network::NetworkFilters;
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    commands::prune::{self, Caution, show},
    filter::{Filter, pairs},
};

/// Remove all unused networks
#[derive(Args)]
pub struct Prune {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter")]
    filter: Vec<Filter>,
    #[command(flatten)]
    caution: Caution,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["network prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.caution.open(globals)?;
        let conditions = prune::filters(globals, &self.filter);
        let filters =
            NetworkFilters::parse(pairs(&conditions), NetworkFilters::OF_PRUNING, Timestamp::now())?;
        let pruned = self.caution.prune(
            &engine,
            WARNING,
            |plan| plan.prune_networks(&filters),
            || engine.prune_networks(&filters),
        )?;
        if let Some(removed) = pruned {
            show("Deleted Networks", removed);
        }
        Ok(ExitCode::SUCCESS)
    }
}

const WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.";
