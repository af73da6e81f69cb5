//! `builder prune` and `buildx prune`: remove from the build cache, and tell so in docker's words or in buildx's.

use std::process::ExitCode;

use builder::cache::{self, Entry, Filters, Limits, Pruned, Pruning, prune};
use clap::Args;
use jiff::Timestamp;
use types::Bytes;

use super::du::in_full;
use crate::{
    cli::{Globals, Verb},
    commands::{
        prune::{show, show_total},
        trash::show_plan,
    },
    confirm::ask,
    filter::{Filter, pairs},
    output::human,
    session,
};

/// Remove build cache
#[derive(Args)]
pub struct Prune {
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    choice: Choice,
    /// Amount of disk space to keep for cache
    #[arg(long, value_name = "bytes")]
    keep_storage: Option<Bytes>,
}

/// Remove build cache
#[derive(Args)]
pub struct BuildxPrune {
    /// Include internal/frontend images
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    choice: Choice,
    /// Amount of disk space to keep for cache
    #[arg(long, value_name = "bytes", hide = true)]
    keep_storage: Option<Bytes>,
    /// Provide a more verbose output
    #[arg(long)]
    verbose: bool,
}

/// What both have to choose by.
#[derive(Args)]
struct Choice {
    /// Override the configured builder instance
    #[arg(long, value_name = "string")]
    builder: Option<String>,
    /// Say what would be removed, without removing it
    #[arg(long)]
    dry_run: bool,
    /// Provide filter values (e.g. "until=24h")
    #[arg(long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Maximum amount of disk space allowed to keep for cache
    #[arg(long, value_name = "bytes")]
    max_used_space: Option<Bytes>,
    /// Target amount of free disk space after pruning
    #[arg(long, value_name = "bytes")]
    min_free_space: Option<Bytes>,
    /// Amount of disk space always allowed to keep for cache
    #[arg(long, value_name = "bytes")]
    reserved_space: Option<Bytes>,
}

impl Verb for Prune {
    const NAMES: &'static [&'static str] = &["builder prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let Some(pruned) = self.choice.prune(self.all, self.keep_storage, globals)? else {
            return Ok(ExitCode::SUCCESS);
        };
        show("Deleted build cache objects", pruned.entries.into_iter().map(|entry| entry.id));
        show_total(pruned.bytes);
        Ok(ExitCode::SUCCESS)
    }
}

impl Verb for BuildxPrune {
    const NAMES: &'static [&'static str] = &["buildx prune"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.keep_storage.is_some() {
            eprintln!(
                "Flag --keep-storage has been deprecated, keep-storage flag has been changed to reserved-space"
            );
        }
        let Some(pruned) = self.choice.prune(self.all, self.keep_storage, globals)? else {
            return Ok(ExitCode::SUCCESS);
        };
        let now = Timestamp::now();
        match self.verbose {
            true => pruned.entries.iter().for_each(|entry| print!("{}", in_full(entry, now))),
            false if pruned.entries.is_empty() => {}
            false => {
                println!("ID\t\t\t\t\t\tRECLAIMABLE\tSIZE\t\tLAST ACCESSED");
                pruned.entries.iter().for_each(|entry| println!("{}", line(entry, now)));
            }
        }
        println!("Total:\t{}", human::size(pruned.bytes, 4));
        Ok(ExitCode::SUCCESS)
    }
}

impl Choice {
    /// Asks, unless that is forced, and removes; `None` if the answer is no, or it was only to say what would go.
    fn prune(
        &self,
        all: bool,
        keep_storage: Option<Bytes>,
        globals: &Globals,
    ) -> anyhow::Result<Option<Pruned>> {
        let filters = Filters::parse(pairs(&self.filter))?;
        let bytes = |bytes: Option<Bytes>| bytes.map_or(0, |bytes| bytes.0);
        let limits = Limits {
            reserved: bytes(self.reserved_space.or(keep_storage)),
            max_used: bytes(self.max_used_space),
            min_free: bytes(self.min_free_space),
        };
        let pruning = Pruning { all, filters, limits };
        if self.dry_run {
            let engine = session::open(globals)?;
            let mut plan = engine.plan();
            for (entry, bytes) in cache::plan(&engine, &pruning, engine.needed_by_images()?)? {
                plan.add("build cache", entry.id, bytes);
            }
            show_plan(plan.items());
            return Ok(None);
        }
        if !self.force && !ask(if all { ALL } else { DANGLING })? {
            return Ok(None);
        }
        Ok(Some(prune(&session::open(globals)?, &pruning)?))
    }
}

/// As buildx shows it, aligned by tabs.
fn line(entry: &Entry, now: Timestamp) -> String {
    let mark = |is: bool| if is { "*" } else { "" };
    let id = format!("{}{}", entry.id, mark(entry.kind.is_mutable()));
    let size = format!("{}{}", human::size(entry.size, 4), mark(entry.shared));
    let used = human::since(entry.last_used, now);
    format!("{id:<40}\t{:<5}\t\t{size:<10}\t{used}", !entry.in_use)
}

const ALL: &str = "WARNING! This will remove all build cache. Are you sure you want to continue?";
const DANGLING: &str =
    "WARNING! This will remove all dangling build cache. Are you sure you want to continue?";
