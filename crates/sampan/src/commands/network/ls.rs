//! `network ls`: which networks there are.

use std::process::ExitCode;

use clap::Args;
use engine::network::NetworkFilters;
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

/// List networks
#[derive(Args)]
pub struct List {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<Filter>,
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
        let filters =
            NetworkFilters::parse(pairs(&self.filter), NetworkFilters::OF_LISTINGS, Timestamp::now())?;
        let listed = session::open(globals)?.list_networks(&filters)?;
        let short = |id: &str| if self.no_trunc { id.to_owned() } else { human::short_id(id).to_owned() };
        if self.quiet {
            listed.iter().for_each(|network| println!("{}", short(&network.id)));
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Row> = listed
            .iter()
            .map(|network| Row {
                fields: vec![
                    ("ID", json!(short(&network.id))),
                    ("Name", json!(network.name)),
                    ("Driver", json!(network.driver)),
                    ("Scope", json!(network.scope)),
                    ("IPv4", json!("true")),
                    ("IPv6", json!(network.ipv6.to_string())),
                    ("Internal", json!(network.internal.to_string())),
                    ("Labels", json!(labels(&network.labels))),
                    ("CreatedAt", json!(human::local_time(network.created))),
                ],
                labels: Some(network.labels.iter().cloned().collect()),
            })
            .collect();
        print!("{}", format.show(FIELDS, &rows)?);
        Ok(ExitCode::SUCCESS)
    }
}

fn labels(labels: &[(String, String)]) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

const FIELDS: Fields = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];
