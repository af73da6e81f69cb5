//! `volume prune`: remove the volumes that no container uses.

use std::process::ExitCode;

use clap::Args;
use engine::volume::{VolumeFilters, Volumes};

use crate::{
    cli::{Globals, Verb},
    commands::prune::{self, Caution, show, show_total},
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
    #[command(flatten)]
    caution: Caution,
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
        let engine = self.caution.open(globals)?;
        let pruned = self.caution.prune(
            &engine,
            warning,
            |plan| plan.prune_volumes(volumes, &filters),
            || engine.prune_volumes(volumes, &filters),
        )?;
        if let Some(pruned) = pruned {
            show("Deleted Volumes", pruned.names);
            show_total(pruned.bytes);
        }
        Ok(ExitCode::SUCCESS)
    }
}

const ANONYMOUS: &str =
    "WARNING! This will remove anonymous local volumes not used by at least one container.";
const ALL: &str = "WARNING! This will remove all local volumes not used by at least one container.";
