//! `container prune`: remove the containers that do not run.

use std::process::ExitCode;

use clap::Args;
use engine::container::PruneFilters;
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    commands::{
        prune::{self, show, show_total},
        trash::{Removing, show_plan},
    },
    confirm::confirm,
    filter::{Filter, pairs},
};

/// Remove all stopped containers
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
    const NAMES: &'static [&'static str] = &["container prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.removing.open(globals)?;
        let conditions = prune::filters(globals, &self.filter);
        let filters = PruneFilters::parse(pairs(&conditions), Timestamp::now())?;
        if self.removing.dry_run {
            let mut plan = engine.plan();
            plan.prune_containers(&filters)?;
            show_plan(plan.items());
            return Ok(ExitCode::SUCCESS);
        }
        if !self.force && !confirm("WARNING! This will remove all stopped containers.")? {
            return Ok(ExitCode::SUCCESS);
        }
        let pruned = engine.prune_containers(&filters)?;
        self.removing.finish(&engine)?;
        show("Deleted Containers", pruned.removed.iter().map(ToString::to_string));
        show_total(pruned.bytes);
        Ok(ExitCode::SUCCESS)
    }
}
