//! `volume inspect`: everything about volumes, as docker's API has it.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use engine::{Engine, EngineError};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{Globals, Verb},
    commands::system::inspect::show,
    session,
};

/// Display detailed information on one or more volumes
#[derive(Args)]
pub struct Inspect {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(required = true)]
    volumes: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["volume inspect"];
    const USAGE: &'static str = "[OPTIONS] VOLUME [VOLUME...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        show(self.format.as_deref(), &self.volumes, |name| Ok(Some(describe(&engine, name)?)))
    }
}

/// The volume as docker's API describes it.
pub fn describe(engine: &Engine, name: &str) -> Result<Value, EngineError> {
    let volume = engine.volume(name)?;
    let none_if_empty =
        |map: &BTreeMap<String, String>| if map.is_empty() { Value::Null } else { json!(map) };
    Ok(json!({
        "CreatedAt": Timestamp::from_second(volume.created.as_second()).unwrap_or_default().to_string(),
        "Driver": "local",
        "Labels": none_if_empty(&volume.labels),
        "Mountpoint": volume.directory,
        "Name": volume.name,
        "Options": none_if_empty(&volume.options),
        "Scope": "local",
    }))
}
