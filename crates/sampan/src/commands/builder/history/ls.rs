//! `buildx history ls`: which builds there were.

use std::process::ExitCode;

use builder::builds::{self, Build};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::{counts, duration, status};
use crate::{
    cli::{Globals, Verb},
    filter::{Filter, pairs},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// List build records
#[derive(Args)]
pub struct List {
    /// Override the configured builder instance
    #[arg(long, value_name = "string")]
    builder: Option<String>,
    /// Provide filter values (e.g., "status=error")
    #[arg(long, value_name = "stringArray")]
    filter: Vec<Filter>,
    /// Format the output
    #[arg(long, default_value = "table")]
    format: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
}

impl Verb for List {
    const NAMES: &'static [&'static str] = &["buildx history ls"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let format = Format::parse(Some(&self.format), COLUMNS)?;
        for (kind, _) in pairs(&self.filter) {
            anyhow::ensure!(matches!(kind, "ref" | "name" | "status"), "invalid filter {kind:?}");
        }
        let builds = builds::list(&session::open(globals)?.cache())?;
        let now = Timestamp::now();
        let listed = builds.iter().filter(|build| pairs(&self.filter).all(|pair| is_meant(build, pair)));
        let rows: Vec<Row> = listed.map(|build| self.row(build, now)).collect();
        print!("{}", format.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn row(&self, build: &Build, now: Timestamp) -> Row {
        let name = if self.no_trunc { build.name.clone() } else { human::ellipsis(&build.name, WIDEST_NAME) };
        let (total, done, cached) = counts(build);
        Row {
            fields: vec![
                ("Ref", json!(build.id)),
                ("Name", json!(name)),
                ("Status", json!(status(build))),
                ("CreatedAt", json!(human::since(build.started, now))),
                ("Duration", json!(duration(build.duration(now)))),
                ("TotalSteps", json!(total)),
                ("CompletedSteps", json!(done)),
                ("CachedSteps", json!(cached)),
            ],
            labels: None,
        }
    }
}

fn is_meant(build: &Build, (kind, value): (&str, &str)) -> bool {
    match kind {
        "ref" => build.id.starts_with(value),
        "name" => build.name.contains(value),
        _ => status(build).eq_ignore_ascii_case(value),
    }
}

const COLUMNS: &[&str] = &["Ref", "Name", "Status", "CreatedAt", "Duration"];

const FIELDS: Fields = &[
    ("Ref", "BUILD ID"),
    ("Name", "NAME"),
    ("Status", "STATUS"),
    ("CreatedAt", "CREATED AT"),
    ("Duration", "DURATION"),
    ("TotalSteps", "STEPS"),
    ("CompletedSteps", "DONE"),
    ("CachedSteps", "CACHED"),
];

/// In columns of a terminal.
const WIDEST_NAME: usize = 36;
