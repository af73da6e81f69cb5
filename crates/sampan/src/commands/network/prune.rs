//! `network prune`: remove the networks nobody is in.

use std::process::ExitCode;

use clap::Args;
use engine::network::NetworkFilters;
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    commands::{
        prune::{self, show},
        trash::{Removing, show_plan},
    },
    confirm::confirm,
    filter::{Filter, pairs},
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
    #[command(flatten)]
    removing: Removing,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["network prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.removing.open(globals)?;
        let conditions = prune::filters(globals, &self.filter);
        let filters =
            NetworkFilters::parse(pairs(&conditions), NetworkFilters::OF_PRUNING, Timestamp::now())?;
        if self.removing.dry_run {
            let mut plan = engine.plan();
            plan.prune_networks(&filters)?;
            show_plan(plan.items());
            return Ok(ExitCode::SUCCESS);
        }
        if !self.force && !confirm(WARNING)? {
            return Ok(ExitCode::SUCCESS);
        }
        let removed = engine.prune_networks(&filters)?;
        self.removing.finish(&engine)?;
        show("Deleted Networks", removed);
        Ok(ExitCode::SUCCESS)
    }
}

const WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.";
