//! `inspect`: everything about anything, whatever kind it is of.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;
use serde_json::Value;

use crate::{
    cli::{Globals, Verb},
    commands::{container, image, network, volume},
    output::json::View,
    report, session,
};

/// Return low-level information on sampan's objects
#[derive(Args)]
pub struct Inspect {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    /// Return JSON for specified type
    #[arg(long = "type", value_name = "string")]
    kind: Option<String>,
    #[arg(required = true)]
    names: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["inspect"];
    const USAGE: &'static str = "[OPTIONS] NAME|ID [NAME|ID...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        type Describe = fn(&engine::Engine, &str) -> Result<Value, EngineError>;
        let kinds: [(&str, Describe); 4] = [
            ("container", |engine, name| container::inspect::describe(engine, &engine.container(name)?)),
            ("image", image::inspect::describe),
            ("network", network::inspect::describe),
            ("volume", volume::inspect::describe),
        ];
        if let Some(kind) = &self.kind
            && !kinds.iter().any(|(known, _)| known == kind)
        {
            anyhow::bail!("{kind:?} is not a valid value for --type");
        }
        show(self.format.as_deref(), &self.names, |name| {
            for (kind, describe) in &kinds {
                if self.kind.as_deref().is_some_and(|wanted| wanted != *kind) {
                    continue;
                }
                match describe(&engine, name) {
                    Err(
                        EngineError::NoContainer(_)
                        | EngineError::NoImage(_)
                        | EngineError::NoNetwork(_)
                        | EngineError::NoVolume(_),
                    ) => {}
                    // A name that cannot be an image's may be something else's.
                    Err(EngineError::Invalid(_)) => {}
                    other => return Ok(Some(other?)),
                }
            }
            Ok(None)
        })
    }
}

/// Prints what `describe` says of each of `names`, then what is not there.
pub fn show(
    format: Option<&str>,
    names: &[String],
    describe: impl Fn(&str) -> anyhow::Result<Option<Value>>,
) -> anyhow::Result<ExitCode> {
    let view = match View::parse(format) {
        Ok(view) => view,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(64));
        }
    };
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match describe(name) {
            Ok(Some(document)) => found.push(document),
            Ok(None) => failures.push(anyhow::anyhow!("Error: No such object: {name}")),
            Err(error) => failures.push(error),
        }
    }
    print!("{}", view.show(&found)?);
    for failure in &failures {
        report::failure(failure);
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
