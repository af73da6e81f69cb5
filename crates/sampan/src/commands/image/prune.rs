//! `image prune`: remove the images that nobody needs.

use std::process::ExitCode;

use clap::Args;
use engine::image::{ImageFilters, Unneeded};
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    commands::prune::{self, Caution, image_lines, show, show_total},
    filter::{Filter, pairs},
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
    #[command(flatten)]
    caution: Caution,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["image prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.caution.open(globals)?;
        let conditions = prune::filters(globals, &self.filter);
        let mut filters =
            ImageFilters::parse(&engine, pairs(&conditions), ImageFilters::OF_PRUNING, Timestamp::now())?;
        let unneeded = match filters.dangling.take() {
            Some(false) => Unneeded::Unused,
            None if self.all => Unneeded::Unused,
            _ => Unneeded::Dangling,
        };
        let warning = match unneeded {
            Unneeded::Unused => UNUSED,
            Unneeded::Dangling => DANGLING,
        };
        let pruned = self.caution.prune(
            &engine,
            warning,
            |plan| plan.prune_images(unneeded, &filters),
            || engine.prune_images(unneeded, &filters),
        )?;
        if let Some(pruned) = pruned {
            show("Deleted Images", image_lines(&pruned.removed));
            show_total(pruned.bytes);
        }
        Ok(ExitCode::SUCCESS)
    }
}

const UNUSED: &str =
    "WARNING! This will remove all images without at least one container associated to them.";
const DANGLING: &str = "WARNING! This will remove all dangling images.";
