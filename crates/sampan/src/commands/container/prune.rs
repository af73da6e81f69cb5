//! `container prune`: remove the containers that do not run.

use std::process::ExitCode;

use clap::Args;
use engine::container::PruneFilters;
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    confirm::confirm,
    filter::{Filter, pairs},
    output::human,
    session,
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
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["container prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let filters = PruneFilters::parse(pairs(&self.filter), Timestamp::now())?;
        if !self.force && !confirm("WARNING! This will remove all stopped containers.")? {
            return Ok(ExitCode::SUCCESS);
        }
        let pruned = engine.prune_containers(&filters)?;
        if !pruned.removed.is_empty() {
            println!("Deleted Containers:");
            pruned.removed.iter().for_each(|id| println!("{id}"));
            println!();
        }
        println!("Total reclaimed space: {}", human::size(pruned.bytes, 4));
        Ok(ExitCode::SUCCESS)
    }
}
