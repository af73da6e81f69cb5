//! `image prune`: remove the images that nobody needs.

use std::process::ExitCode;

use clap::Args;
use engine::{
    Removed,
    image::{ImageFilters, Unneeded},
};
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    commands::trash::Removing,
    confirm::confirm,
    filter::{Filter, pairs},
    output::human,
};

/// Remove unused images
#[derive(Args)]
pub struct Prune {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
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
    const NAMES: &'static [&'static str] = &["image prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.removing.open(globals)?;
        let conditions = pairs(&self.filter);
        let mut filters =
            ImageFilters::parse(&engine, conditions, ImageFilters::OF_PRUNING, Timestamp::now())?;
        let unneeded = match filters.dangling.take() {
            Some(false) => Unneeded::Unused,
            None if self.all => Unneeded::Unused,
            _ => Unneeded::Dangling,
        };
        let warning = match unneeded {
            Unneeded::Unused => UNUSED,
            Unneeded::Dangling => DANGLING,
        };
        if self.removing.dry_run {
            self.removing.finish(&engine, &engine.would_prune_images(unneeded, &filters)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.force && !confirm(warning)? {
            return Ok(ExitCode::SUCCESS);
        }
        let pruned = engine.prune_images(unneeded, &filters)?;
        self.removing.finish(&engine, &[])?;
        if !pruned.removed.is_empty() {
            println!("Deleted Images:");
            for removed in &pruned.removed {
                match removed {
                    Removed::Name(name) => println!("untagged: {}", name.familiar()),
                    Removed::Image(id) | Removed::Layer(id) => println!("deleted: {id}"),
                }
            }
            println!();
        }
        println!("Total reclaimed space: {}", human::size(pruned.bytes, 4));
        Ok(ExitCode::SUCCESS)
    }
}

const UNUSED: &str =
    "WARNING! This will remove all images without at least one container associated to them.";
const DANGLING: &str = "WARNING! This will remove all dangling images.";
