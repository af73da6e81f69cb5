//! `context inspect`: everything about contexts.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    cli::{Globals, Verb},
    commands::system::inspect::show,
    contexts::{self, Contexts, DEFAULT},
};

/// Display detailed information on one or more contexts
#[derive(Args)]
pub struct Inspect {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    contexts: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["context inspect"];
    const USAGE: &'static str = "[OPTIONS] [CONTEXT] [CONTEXT...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let names = match self.contexts.is_empty() {
            true => vec![contexts::current(globals)],
            false => self.contexts,
        };
        let is_template = !matches!(self.format.as_deref(), None | Some("" | "json"));
        show(self.format.as_deref(), &names, |name| {
            let mut described = describe(&contexts, name)?;
            if is_template {
                // In docker's templates, this is all that is in its file.
                described["Metadata"] = serde_json::to_value(contexts.get(name)?)?;
            }
            Ok(Some(described))
        })
    }
}

/// A context as docker describes it.
fn describe(contexts: &Contexts, name: &str) -> anyhow::Result<Value> {
    let mut material: Map<String, Value> = Map::new();
    for (endpoint, file, _) in contexts.material(name)? {
        let files = material.entry(endpoint).or_insert_with(|| json!([]));
        files.as_array_mut().expect("made one above").push(json!(file));
    }
    let (metadata, tls) = match name {
        DEFAULT => (IN_MEMORY.into(), IN_MEMORY.into()),
        _ => (contexts.metadata_directory(name), contexts.material_directory(name)),
    };
    let mut described = serde_json::to_value(contexts.get(name)?)?;
    described["TLSMaterial"] = Value::Object(material);
    described["Storage"] = json!({ "MetadataPath": metadata, "TLSPath": tls });
    Ok(described)
}

const IN_MEMORY: &str = "<IN MEMORY>";
