//! `context ls`: which engines have a name.

use std::{env, process::ExitCode};

use clap::Args;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    contexts::{self, Contexts, DEFAULT, DEFAULTS},
    output::{
        format::{Fields, Format, Row},
        human,
    },
};

/// List contexts
#[derive(Args)]
pub struct List {
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Only show context names
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for List {
    const NAMES: &'static [&'static str] = &["context ls", "context list"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let mut all = contexts.list()?;
        let current = contexts::current(globals);
        let mut missing = String::new();
        if !all.iter().any(|context| context.name == current) {
            missing = contexts.get(&current).err().map(|error| error.to_string()).unwrap_or_default();
            all.push(contexts::Context { name: current.clone(), ..Default::default() });
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        if self.quiet {
            all.iter().for_each(|context| println!("{}", context.name));
            return Ok(ExitCode::SUCCESS);
        }
        let format =
            Format::parse(self.format.as_deref(), &["Name", "Description", "DockerEndpoint", "Error"])?;
        let marks = matches!(format, Format::Table(_));
        let rows: Vec<Row> = all
            .iter()
            .map(|context| {
                let is_current = context.name == current;
                let mark = if marks && is_current { " *" } else { "" };
                let description = if context.name == DEFAULT { DEFAULTS } else { context.description() };
                let error = if is_current { human::ellipsis(&missing, LONGEST_ERROR) } else { String::new() };
                Row {
                    fields: vec![
                        ("Current", json!(is_current)),
                        ("Description", json!(description)),
                        ("DockerEndpoint", json!(context.host().unwrap_or_default())),
                        ("Error", json!(error)),
                        ("Name", json!(format!("{}{mark}", context.name))),
                    ],
                    labels: None,
                }
            })
            .collect();
        print!("{}", format.show(FIELDS, &rows)?);
        if env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty()) {
            eprintln!(
                "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the \
                 global --context flag, or unset DOCKER_HOST environment variable."
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// docker cuts what is longer.
const LONGEST_ERROR: usize = 45;
const FIELDS: Fields = &[
    ("Current", "CURRENT"),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
    ("Name", "NAME"),
];
