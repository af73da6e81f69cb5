//! `volume create`: a directory that containers can share and that outlives them.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use engine::volume::NewVolume;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Create a volume
#[derive(Args)]
pub struct Create {
    /// Specify volume driver name
    #[arg(short, long, default_value = "local", value_name = "string")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Specify volume name
    #[arg(long, hide = true)]
    name: Option<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    volume: Option<String>,
}

impl Verb for Create {
    const NAMES: &'static [&'static str] = &["volume create"];
    const USAGE: &'static str = "[OPTIONS] [VOLUME]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.name.is_some() && self.volume.is_some() {
            anyhow::bail!(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
            );
        }
        let created = session::open(globals)?.create_volume(NewVolume {
            name: self.volume.or(self.name),
            driver: self.driver,
            labels: map(&self.label),
            options: map(&self.opt),
        })?;
        println!("{}", created.name);
        Ok(ExitCode::SUCCESS)
    }
}

/// `key=value` pairs; a key alone has an empty value.
pub fn map(pairs: &[String]) -> BTreeMap<String, String> {
    let split = |pair: &String| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.to_owned(), value.to_owned())
    };
    pairs.iter().map(split).collect()
}
