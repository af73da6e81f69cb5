//! `system prune`: remove all that is of no use to anything.

use std::{process::ExitCode, time::Duration};

use builder::cache::{self, Filters as CacheFilters, Limits, Pruning};
use clap::Args;
use engine::{
    Engine,
    container::PruneFilters,
    image::{ImageFilters, Unneeded},
    network::NetworkFilters,
    plan::Plan,
    volume::{VolumeFilters, Volumes},
};
use jiff::Timestamp;

use crate::{
    cli::{Globals, Verb},
    commands::prune::{self, Caution, image_lines, show, show_total},
    filter::{Filter, pairs},
};

/// Remove unused data
#[derive(Args)]
pub struct Prune {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<key>=<value>")
    #[arg(long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    caution: Caution,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["system prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.volumes && self.filter.iter().any(|filter| filter.kind == "until") {
            anyhow::bail!("ERROR: The \"until\" filter is not supported with \"--volumes\"");
        }
        let conditions = prune::filters(globals, &self.filter);
        let engine = self.caution.open(globals)?;
        let meant = Meant::parse(&engine, &conditions, &self)?;
        let pruned = self.caution.prune(
            &engine,
            &warning(&self, &conditions),
            |plan| meant.plan(&engine, plan),
            || meant.remove(&engine),
        )?;
        pruned.into_iter().for_each(show_total);
        Ok(ExitCode::SUCCESS)
    }
}

/// What is to go, of each kind.
struct Meant {
    containers: PruneFilters,
    networks: NetworkFilters,
    /// None, unless it was asked for.
    volumes: Option<VolumeFilters>,
    images: (Unneeded, ImageFilters),
    cache: Option<Pruning>,
}

impl Meant {
    fn parse(engine: &Engine, conditions: &[Filter], options: &Prune) -> anyhow::Result<Meant> {
        let now = Timestamp::now();
        let containers = PruneFilters::parse(pairs(conditions), now)?;
        let networks = NetworkFilters::parse(pairs(conditions), NetworkFilters::OF_PRUNING, now)?;
        let volumes =
            options.volumes.then(|| VolumeFilters::parse(pairs(conditions), VolumeFilters::OF_PRUNING));
        let images = ImageFilters::parse(engine, pairs(conditions), ImageFilters::OF_PRUNING, now)?;
        let unneeded = if options.all { Unneeded::Unused } else { Unneeded::Dangling };
        let unused_for = containers.until().map(|until| now.duration_since(until));
        let filters = CacheFilters::unused(unused_for.map_or(Duration::ZERO, |for_so_long| {
            // Of a time to come: everything.
            Duration::try_from(for_so_long).unwrap_or_default()
        }));
        // Nothing in the cache has a label.
        let is_meant = !conditions.iter().any(|filter| filter.kind == "label");
        let cache = is_meant.then(|| Pruning { all: options.all, filters, limits: Limits::default() });
        Ok(Meant { containers, networks, volumes: volumes.transpose()?, images: (unneeded, images), cache })
    }

    /// Finds what would go.
    fn plan(&self, engine: &Engine, plan: &mut Plan<'_>) -> anyhow::Result<()> {
        plan.prune_containers(&self.containers)?;
        plan.prune_networks(&self.networks)?;
        if let Some(filters) = &self.volumes {
            plan.prune_volumes(Volumes::Anonymous, filters)?;
        }
        let (unneeded, filters) = &self.images;
        plan.prune_images(*unneeded, filters)?;
        if let Some(pruning) = &self.cache {
            for (entry, bytes) in cache::plan(engine, pruning, plan.needed_by_images()?)? {
                plan.add("build cache", entry.id, bytes);
            }
        }
        Ok(())
    }

    /// Removes it, telling so on the way; the disk space that is free then, in bytes.
    fn remove(&self, engine: &Engine) -> anyhow::Result<u64> {
        let containers = engine.prune_containers(&self.containers)?;
        show("Deleted Containers", containers.removed.iter().map(ToString::to_string));
        show("Deleted Networks", engine.prune_networks(&self.networks)?);
        let mut bytes = containers.bytes;
        if let Some(filters) = &self.volumes {
            let volumes = engine.prune_volumes(Volumes::Anonymous, filters)?;
            bytes += volumes.bytes;
            show("Deleted Volumes", volumes.names);
        }
        let (unneeded, filters) = &self.images;
        let images = engine.prune_images(*unneeded, filters)?;
        bytes += images.bytes;
        show("Deleted Images", image_lines(&images.removed));
        if let Some(pruning) = &self.cache {
            let pruned = cache::prune(engine, pruning)?;
            bytes += pruned.bytes;
            show("Deleted build cache objects", pruned.entries.into_iter().map(|entry| entry.id));
        }
        Ok(bytes)
    }
}

/// What is said before anything goes.
fn warning(options: &Prune, conditions: &[Filter]) -> String {
    let mut warning = "WARNING! This will remove:\n".to_owned();
    let mut add = |line: &str| warning.push_str(&format!("  - {line}\n"));
    add("all stopped containers");
    add("all networks not used by at least one container");
    if options.volumes {
        add("all anonymous volumes not used by at least one container");
    }
    match options.all {
        true => add("all images without at least one container associated to them"),
        false => add("all dangling images"),
    }
    add(if options.all { "all build cache" } else { "unused build cache" });
    if !conditions.is_empty() {
        let mut conditions: Vec<String> =
            conditions.iter().map(|one| format!("{}={}", one.kind, one.value)).collect();
        conditions.sort();
        warning.push_str("\n  Items to be pruned will be filtered with:\n");
        conditions.iter().for_each(|one| warning.push_str(&format!("  - {one}\n")));
    }
    warning
}
