//! `volume prune`: remove the volumes that no container uses.

use std::process::ExitCode;

use clap::Args;
use engine::volume::{VolumeFilters, Volumes};

use crate::{
    cli::{Globals, Verb},
    commands::{
        prune::{self, show, show_total},
        trash::{Removing, show_plan},
    },
    confirm::confirm,
    filter::{Filter, pairs},
};

/// Remove unused local volumes
#[derive(Args)]
pub struct Prune {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    removing: Removing,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["volume prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let conditions = prune::filters(globals, &self.filter);
        let filters = VolumeFilters::parse(pairs(&conditions), VolumeFilters::OF_PRUNING)?;
        if self.all && filters.all.is_some() {
            anyhow::bail!("conflicting options: cannot specify both --all and --filter all=1");
        }
        let (volumes, warning) = match self.all || filters.all == Some(true) {
            true => (Volumes::All, ALL),
            false => (Volumes::Anonymous, ANONYMOUS),
        };
        let engine = self.removing.open(globals)?;
        if self.removing.dry_run {
            let mut plan = engine.plan();
            plan.prune_volumes(volumes, &filters)?;
            show_plan(plan.items());
            return Ok(ExitCode::SUCCESS);
        }
        if !self.force && !confirm(warning)? {
            return Ok(ExitCode::SUCCESS);
        }
        let pruned = engine.prune_volumes(volumes, &filters)?;
        self.removing.finish(&engine)?;
        show("Deleted Volumes", pruned.names);
        show_total(pruned.bytes);
        Ok(ExitCode::SUCCESS)
    }
}

const ANONYMOUS: &str =
    "WARNING! This will remove anonymous local volumes not used by at least one container.";
const ALL: &str = "WARNING! This will remove all local volumes not used by at least one container.";
