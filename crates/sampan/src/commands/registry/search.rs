//! `search`: images in a registry, by a word of their names.

use std::process::ExitCode;

use clap::Args;
use distribution::Found;
use engine::EngineError;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// Search a registry for images
#[derive(Args)]
pub struct Search {
    /// Filter output based on conditions provided
    #[arg(short, long)]
    filter: Vec<String>,
    /// Pretty-print search using a Go template
    #[arg(long)]
    format: Option<String>,
    /// Max number of search results
    #[arg(long, default_value_t = 25)]
    limit: usize,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    term: String,
}

impl Verb for Search {
    const NAMES: &'static [&'static str] = &["search"];
    const USAGE: &'static str = "[OPTIONS] TERM";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let filters =
            self.filter.iter().map(|text| Filter::parse(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let format = Format::parse(self.format.as_deref(), COLUMNS)?;
        let (registry, term) = split_registry(&self.term);
        let found =
            session::client(globals)?.search(registry, term, self.limit).map_err(EngineError::from)?;
        let passing = found.into_iter().filter(|found| filters.iter().all(|filter| filter.lets_pass(found)));
        let rows: Vec<Row> = passing.map(|found| row(found, self.no_trunc)).collect();
        print!("{}", format.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// Which registry to ask for what: `registry.example.org/web` asks another than the default one.
fn split_registry(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", term),
    }
}

fn row(found: Found, whole: bool) -> Row {
    let description = found.description.replace(['\n', '\r'], " ");
    let description = if whole { description } else { human::ellipsis(&description, DESCRIPTION_WIDTH) };
    Row {
        fields: vec![
            ("Name", json!(found.name)),
            ("Description", json!(description)),
            ("StarCount", json!(found.stars.to_string())),
            ("IsOfficial", json!(if found.official { "[OK]" } else { "" })),
        ],
        labels: None,
    }
}

/// A condition of `--filter`.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    IsOfficial(bool),
    Stars(u64),
}

impl Filter {
    fn parse(text: &str) -> anyhow::Result<Filter> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| anyhow::anyhow!("invalid argument {text:?} for \"-f, --filter\" flag: bad format of filter (expected name=value)"))?;
        let filter = match key {
            "is-official" => value.parse().ok().map(Filter::IsOfficial),
            "stars" => value.parse().ok().map(Filter::Stars),
            _ => anyhow::bail!("invalid filter '{key}'"),
        };
        filter.ok_or_else(|| anyhow::anyhow!("invalid filter '{key}={value}'"))
    }

    fn lets_pass(&self, found: &Found) -> bool {
        match self {
            Filter::IsOfficial(wanted) => found.official == *wanted,
            Filter::Stars(least) => found.stars >= *least,
        }
    }
}

const COLUMNS: &[&str] = &["Name", "Description", "StarCount", "IsOfficial"];

const FIELDS: Fields =
    &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL")];

const DESCRIPTION_WIDTH: usize = 45;
