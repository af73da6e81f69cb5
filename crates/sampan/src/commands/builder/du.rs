//! `buildx du`: what the build cache consists of.

use std::process::ExitCode;

use builder::cache::{Entry, Filters, Usage, usage};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    filter::{Filter, pairs},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// Disk usage
#[derive(Args)]
pub struct DiskUsage {
    /// Override the configured builder instance
    #[arg(long, value_name = "string")]
    builder: Option<String>,
    /// Provide filter values
    #[arg(long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Format the output
    #[arg(long)]
    format: Option<String>,
    /// Shorthand for "--format=pretty"
    #[arg(long)]
    verbose: bool,
}

impl Verb for DiskUsage {
    const NAMES: &'static [&'static str] = &["buildx du", "builder du"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let filters = Filters::parse(pairs(&self.filter))?;
        let is_pretty = self.verbose || self.format.as_deref() == Some("pretty");
        let format = Format::parse(self.format.as_deref().filter(|_| !is_pretty), COLUMNS)?;
        let usage = usage(&session::open(globals)?)?;
        let now = Timestamp::now();
        let mut entries: Vec<&Entry> =
            usage.entries.iter().filter(|entry| filters.select(entry, now)).collect();
        entries.sort_by_key(|entry| (entry.size, &entry.id));
        let is_table = matches!(format, Format::Table(_) | Format::TableBy(..));
        if is_pretty {
            entries.iter().for_each(|entry| print!("{}", in_full(entry, now)));
        } else {
            let rows: Vec<Row> = entries.iter().map(|entry| row(entry, is_table, now)).collect();
            print!("{}", format.show(FIELDS, &rows)?);
        }
        if is_table && self.filter.is_empty() {
            print!("{}", summary(&usage));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// In a table, what may still change is marked, and what an image needs as well.
fn row(entry: &Entry, is_table: bool, now: Timestamp) -> Row {
    let mark = |is: bool| if is_table && is { "*" } else { "" };
    Row {
        fields: vec![
            ("ID", json!(format!("{}{}", entry.id, mark(entry.kind.is_mutable())))),
            ("Parents", json!(null)),
            ("CreatedAt", json!(time(entry.created))),
            ("Mutable", json!(entry.kind.is_mutable())),
            ("Reclaimable", json!(!entry.in_use)),
            ("Shared", json!(entry.shared)),
            ("Size", json!(format!("{}{}", human::size(entry.size, 4), mark(entry.shared)))),
            ("Description", json!(entry.description)),
            ("UsageCount", json!(entry.uses)),
            ("LastUsedAt", json!(human::since(entry.last_used, now))),
            ("Type", json!(entry.kind.name())),
        ],
        labels: None,
    }
}

/// An entry as `--verbose` shows it.
pub fn in_full(entry: &Entry, now: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let name = format!("{name}:");
        text.push_str(&format!("{name:<14}{value}\n"));
    };
    line("ID", entry.id.clone());
    line("Created at", time(entry.created));
    line("Mutable", entry.kind.is_mutable().to_string());
    line("Reclaimable", (!entry.in_use).to_string());
    line("Shared", entry.shared.to_string());
    line("Size", human::size(entry.size, 4));
    if !entry.description.is_empty() {
        line("Description", human::visible(&entry.description).replace('\n', " "));
    }
    line("Usage count", entry.uses.to_string());
    line("Last used", human::since(entry.last_used, now));
    line("Type", entry.kind.name().to_owned());
    text + "\n"
}

/// Sums, aligned by tabs.
fn summary(usage: &Usage) -> String {
    let (shared, private) = (usage.shared(), usage.private());
    let mut text = String::new();
    if shared > 0 {
        text.push_str(&format!("Shared:\t\t{}\n", human::size(shared, 4)));
        text.push_str(&format!("Private:\t{}\n", human::size(private, 4)));
    }
    text.push_str(&format!("Reclaimable:\t{}\n", human::size(usage.reclaimable(), 4)));
    text + &format!("Total:\t\t{}\n", human::size(shared + private, 4))
}

/// As Go prints a time.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string()
}

const COLUMNS: &[&str] = &["ID", "Reclaimable", "Size", "LastUsedAt"];

const FIELDS: Fields = &[
    ("ID", "ID"),
    ("Parents", "PARENTS"),
    ("CreatedAt", "CREATED AT"),
    ("Mutable", "MUTABLE"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Shared", "SHARED"),
    ("Size", "SIZE"),
    ("Description", "DESCRIPTION"),
    ("UsageCount", "USAGE COUNT"),
    ("LastUsedAt", "LAST ACCESSED"),
    ("Type", "TYPE"),
];
