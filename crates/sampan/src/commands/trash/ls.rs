//! `trash ls`: what was removed and can be had back.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// List what was removed and can be restored
#[derive(Args)]
pub struct List {
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for List {
    const NAMES: &'static [&'static str] = &["trash ls", "trash list"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let format = Format::parse(self.format.as_deref(), &["ID", "Kind", "Name", "Removed", "Size"])?;
        let items = session::open(globals)?.trash()?;
        if self.quiet {
            items.iter().for_each(|item| println!("{}", human::short_id(&item.id)));
            return Ok(ExitCode::SUCCESS);
        }
        let now = Timestamp::now();
        let rows: Vec<Row> = items
            .iter()
            .map(|item| Row {
                fields: vec![
                    ("ID", json!(human::short_id(&item.id))),
                    ("Kind", json!(item.kind)),
                    ("Name", json!(item.name)),
                    ("Removed", json!(human::since(item.deleted, now))),
                    ("RemovedAt", json!(human::local_time(item.deleted))),
                    ("Size", json!(human::size(item.bytes, 4))),
                ],
                labels: None,
            })
            .collect();
        print!("{}", format.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

const FIELDS: Fields = &[
    ("ID", "ID"),
    ("Kind", "KIND"),
    ("Name", "NAME"),
    ("Removed", "REMOVED"),
    ("RemovedAt", "REMOVED AT"),
    ("Size", "SIZE"),
];
