//! `volume ls`: which volumes there are.

use std::process::ExitCode;

use clap::Args;
use engine::volume::VolumeFilters;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    filter::{Filter, pairs},
    output::{
        format::{Fields, Format, Row},
        natural,
    },
    session,
};

/// List volumes
#[derive(Args)]
pub struct List {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for List {
    const NAMES: &'static [&'static str] = &["volume ls", "volume list"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let columns: &[&str] = if self.quiet { &["Name"] } else { &["Driver", "Name"] };
        let format = Format::parse(self.format.as_deref(), columns)?;
        let filters = VolumeFilters::parse(pairs(&self.filter), VolumeFilters::OF_LISTINGS)?;
        let mut volumes = session::open(globals)?.select_volumes(&filters)?;
        volumes.sort_by(|a, b| natural::compare(&a.name, &b.name));
        if self.quiet && self.format.is_none() {
            volumes.iter().for_each(|volume| println!("{}", volume.name));
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Row> = volumes
            .into_iter()
            .map(|volume| {
                let labels: Vec<String> =
                    volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                Row {
                    fields: vec![
                        ("Availability", json!("N/A")),
                        ("Driver", json!("local")),
                        ("Group", json!("N/A")),
                        ("Labels", json!(labels.join(","))),
                        ("Links", json!("N/A")),
                        ("Mountpoint", json!(volume.directory)),
                        ("Name", json!(volume.name)),
                        ("Scope", json!("local")),
                        ("Size", json!("N/A")),
                        ("Status", json!("N/A")),
                    ],
                    labels: Some(volume.labels),
                }
            })
            .collect();
        print!("{}", format.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

const FIELDS: Fields = &[
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];
