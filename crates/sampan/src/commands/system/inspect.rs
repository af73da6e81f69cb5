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
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect objects of the given type
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
            ("container", if self.size { sized_container } else { any_container }),
            ("image", image::inspect::describe),
            ("network", network::inspect::describe),
            ("volume", volume::inspect::describe),
        ];
        if let Some(kind) = &self.kind
            && !kinds.iter().any(|(known, _)| known == kind)
        {
            anyhow::bail!(
                "unknown type: {kind:?}: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \
                 \"plugin\", \"secret\", \"service\", \"task\", \"volume\""
            );
        }
        show(self.format.as_deref(), &self.names, |name| {
            for (kind, describe) in &kinds {
                if self.kind.as_deref().is_some_and(|wanted| wanted != *kind) {
                    continue;
                }
                match describe(&engine, name) {
                    other if self.kind.is_some() => return Ok(Some(other?)),
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

fn any_container(engine: &engine::Engine, name: &str) -> Result<Value, EngineError> {
    container::inspect::describe(engine, &engine.container(name)?)
}

fn sized_container(engine: &engine::Engine, name: &str) -> Result<Value, EngineError> {
    container::inspect::describe_with_size(engine, &engine.container(name)?)
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
    match view.show(&found) {
        // A template that printed nothing leaves an empty line.
        Ok(text) if text.is_empty() => println!(),
        Ok(text) => print!("{text}"),
        Err(error) => {
            println!();
            return Err(error);
        }
    }
    for failure in &failures {
        report::failure(failure);
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
