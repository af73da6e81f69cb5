//! `network ls`: which networks there are.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// List networks
#[derive(Args)]
pub struct List {
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for List {
    const NAMES: &'static [&'static str] = &["network ls", "network list"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let format = Format::parse(self.format.as_deref(), &["ID", "Name", "Driver", "Scope"])?;
        let networks = session::open(globals)?.networks()?;
        let mut listed: Vec<(String, String, &str)> = networks
            .iter()
            .map(|network| (network.id.to_string(), network.name.to_string(), "bridge"))
            .collect();
        // Not networks that anybody makes, but names for having the host's or none; their ids say so.
        for (name, driver) in [("host", "host"), ("none", "null")] {
            listed.push((types::Digest::of(name.as_bytes()).hex(), name.to_owned(), driver));
        }
        listed.sort_by(|a, b| a.1.cmp(&b.1));
        let short = |id: &str| if self.no_trunc { id.to_owned() } else { human::short_id(id).to_owned() };
        if self.quiet {
            listed.iter().for_each(|(id, ..)| println!("{}", short(id)));
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Row> = listed
            .iter()
            .map(|(id, name, driver)| Row {
                fields: vec![
                    ("ID", json!(short(id))),
                    ("Name", json!(name)),
                    ("Driver", json!(driver)),
                    ("Scope", json!("local")),
                ],
                labels: None,
            })
            .collect();
        print!("{}", format.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

const FIELDS: Fields = &[("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE")];
