//! `volume prune`: remove the volumes that no container uses.

use std::process::ExitCode;

use clap::Args;
use engine::volume::{VolumeFilters, Volumes};

use crate::{
    cli::{Globals, Verb},
    commands::trash::Removing,
    confirm::confirm,
    filter::{Filter, pairs},
    output::human,
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
        let filters = VolumeFilters::parse(pairs(&self.filter), VolumeFilters::OF_PRUNING)?;
        if self.all && filters.all.is_some() {
            anyhow::bail!("conflicting options: cannot specify both --all and --filter all=1");
        }
        let (volumes, warning) = match self.all || filters.all == Some(true) {
            true => (Volumes::All, ALL),
            false => (Volumes::Anonymous, ANONYMOUS),
        };
        let engine = self.removing.open(globals)?;
        if self.removing.dry_run {
            self.removing.finish(&engine, &engine.would_prune_volumes(volumes, &filters)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.force && !confirm(warning)? {
            return Ok(ExitCode::SUCCESS);
        }
        let pruned = engine.prune_volumes(volumes, &filters)?;
        self.removing.finish(&engine, &[])?;
        if !pruned.names.is_empty() {
            println!("Deleted Volumes:\n{}\n", pruned.names.join("\n"));
        }
        println!("Total reclaimed space: {}", human::size(pruned.bytes, 4));
        Ok(ExitCode::SUCCESS)
    }
}

const ANONYMOUS: &str =
    "WARNING! This will remove anonymous local volumes not used by at least one container.";
const ALL: &str = "WARNING! This will remove all local volumes not used by at least one container.";
