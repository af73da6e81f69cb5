//! `image inspect`: everything about images, as docker's API has it.

use std::process::ExitCode;

use clap::Args;
use engine::{Engine, EngineError};
use serde_json::{Value, json};
use types::Reference;

use crate::{
    cli::{Globals, Verb},
    commands::system::inspect::show,
    session,
};

/// Display detailed information on one or more images
#[derive(Args)]
pub struct Inspect {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["image inspect"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        show(self.format.as_deref(), &self.images, |name| Ok(Some(describe(&engine, name)?)))
    }
}

/// The image as docker's API describes it.
pub fn describe(engine: &Engine, reference: &str) -> Result<Value, EngineError> {
    let row = engine.image(reference)?;
    let image = engine.images().image(&row.manifest)?;
    let names: Vec<String> = engine
        .list_images()?
        .into_iter()
        .filter(|other| other.manifest == row.manifest)
        .flat_map(|image| image.names)
        .map(|name: Reference| name.familiar())
        .collect();
    let config = &image.config;
    Ok(json!({
        "Id": row.id,
        "RepoTags": names,
        "RepoDigests": [],
        "Parent": "",
        "Comment": "",
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Config": config.config,
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": row.size,
        "GraphDriver": { "Data": null, "Name": "overlay2" },
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
    }))
}
