//! `diff`: what a container has changed of its image's files.

use std::process::ExitCode;

use clap::Args;
use engine::container::ChangeKind;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// Inspect changes to files or directories on a container's filesystem
#[derive(Args)]
pub struct Diff {
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    container: String,
}

impl Verb for Diff {
    const NAMES: &'static [&'static str] = &["container diff", "diff"];
    const USAGE: &'static str = "CONTAINER";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let changes = engine.changes(&engine.container(&self.container)?)?;
        let letter = |kind| match kind {
            ChangeKind::Modified => "C",
            ChangeKind::Added => "A",
            ChangeKind::Deleted => "D",
        };
        let Some(format) = &self.format else {
            for change in changes {
                println!("{} {}", letter(change.kind), human::visible(&change.path));
            }
            return Ok(ExitCode::SUCCESS);
        };
        let rows: Vec<Row> = changes
            .into_iter()
            .map(|change| Row {
                fields: vec![("Path", json!(change.path)), ("Type", json!(letter(change.kind)))],
                labels: None,
            })
            .collect();
        print!("{}", Format::parse(Some(format), &["Type", "Path"])?.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

const FIELDS: Fields = &[("Type", "CHANGE TYPE"), ("Path", "PATH")];
