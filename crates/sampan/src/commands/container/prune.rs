//! `container prune`: remove the containers that do not run.

use std::process::ExitCode;

use clap::Args;
use engine::container::PruneFilters;
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    commands::prune::{self, Caution, show, show_total},
    filter::{Filter, pairs},
};

/// Remove all stopped containers
#[derive(Args)]
pub struct Prune {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter")]
    filter: Vec<Filter>,
    #[command(flatten)]
    caution: Caution,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["container prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.caution.open(globals)?;
        let conditions = prune::filters(globals, &self.filter);
        let filters = PruneFilters::parse(pairs(&conditions), Timestamp::now())?;
        let pruned = self.caution.prune(
            &engine,
            "WARNING! This will remove all stopped containers.",
            |plan| plan.prune_containers(&filters),
            || engine.prune_containers(&filters),
        )?;
        if let Some(pruned) = pruned {
            show("Deleted Containers", pruned.removed.iter().map(ToString::to_string));
            show_total(pruned.bytes);
        }
        Ok(ExitCode::SUCCESS)
    }
}
