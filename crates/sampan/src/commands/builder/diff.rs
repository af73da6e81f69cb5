//! `build diff`: what is different between the files of two steps, or of two builds.

use std::process::ExitCode;

use builder::{
    FileDifference, Local,
    builds::{self, VisitError, difference},
};
use clap::Args;
use serde_json::json;

use super::visit;
use crate::{
    cli::{Globals, Verb},
    output::human,
    session,
};

/// Show which files differ between two steps of recent builds, or between what two builds came to
#[derive(Args)]
pub struct Diff {
    /// Format the output: "json" for a line of JSON for each file
    #[arg(long)]
    format: Option<String>,
    #[arg(value_name = "STEP")]
    first: String,
    #[arg(value_name = "STEP")]
    second: String,
}

impl Verb for Diff {
    const NAMES: &'static [&'static str] = &["builder diff", "build diff"];
    const USAGE: &'static str = "[OPTIONS] STEP|BUILD STEP|BUILD";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let as_json = match self.format.as_deref() {
            None | Some("") => false,
            Some("json") => true,
            Some(other) => anyhow::bail!("invalid format {other:?}: only \"json\" is known"),
        };
        let engine = session::open(globals)?;
        let cache = engine.cache();
        let client =
            || session::client(globals).map_err(|error| engine::EngineError::Invalid(error.to_string()));
        let host = Local::new(engine, &client);
        let find = |name: &str| builds::find_step(&cache, name).map_err(VisitError::from);
        let differences = find(&self.first)
            .and_then(|first| Ok((first, find(&self.second)?)))
            .and_then(|(first, second)| difference(&first, &second, &host));
        match differences {
            Ok(differences) => {
                for difference in &differences {
                    match as_json {
                        true => println!("{}", line_of_json(difference)),
                        false => println!("{}", human::visible(&difference.to_string())),
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(visit::explain(&error)),
        }
    }
}

fn line_of_json(difference: &FileDifference) -> serde_json::Value {
    let path = std::path::Path::new("/").join(&difference.path);
    json!({
        "kind": difference.change.letter(),
        "path": path.to_string_lossy(),
        "differs": difference.change.aspects().iter().map(|aspect| aspect.name()).collect::<Vec<_>>(),
    })
}
