//! `image inspect`: everything about images, as docker's API has it.

use std::process::ExitCode;

use clap::Args;
use distribution::Client;
use engine::{
    Engine, EngineError,
    transfer::{Remote, inspect},
};
use serde_json::{Value, json};
use types::{Platform, Reference};

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
    /// Inspect a specific platform of the multi-platform image. If the image or the server is not multi-platform capable,
    /// the command will error out if the platform does not match.
    /// 'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)
    #[arg(long)]
    platform: Option<Platform>,
    /// Ask the registry, without pulling the image
    #[arg(long)]
    remote: bool,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["image inspect"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.remote {
            let client = session::client(globals)?;
            let platform = self.platform.unwrap_or_else(Platform::host);
            return show(self.format.as_deref(), &self.images, |name| {
                Ok(Some(describe_remote(&client, &name.parse()?, &platform)?))
            });
        }
        let engine = session::open(globals)?;
        show(self.format.as_deref(), &self.images, |name| {
            engine.image_for(name, self.platform.as_ref())?;
            Ok(Some(describe(&engine, name)?))
        })
    }
}

/// The image as docker's API describes it.
pub fn describe(engine: &Engine, reference: &str) -> Result<Value, EngineError> {
    let (row, image) = engine.stored_image(reference)?;
    let names = engine.names_of(&row.manifest)?;
    let (digests, tags): (Vec<&Reference>, Vec<&Reference>) =
        names.iter().partition(|name| name.digest().is_some());
    let familiar = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect::<Vec<_>>();
    let config = &image.config;
    let last = config.history.last();
    Ok(json!({
        "Id": row.id,
        "RepoTags": familiar(tags),
        "RepoDigests": familiar(digests),
        "Parent": "",
        "Comment": last.map_or("", |step| &step.comment),
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": row.size,
        "GraphDriver": { "Data": null, "Name": "overlay2" },
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
        "Config": config.config,
    }))
}

/// The image as its registry describes it, in the words of docker's API as far as they go: its size is that of what
/// would be sent.
fn describe_remote(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
) -> Result<Value, EngineError> {
    let Remote { digest, id, config, layers, platforms } = inspect(client, reference, platform)?;
    let tags: Vec<String> = reference.tag().map(|_| reference.familiar()).into_iter().collect();
    Ok(json!({
        "Id": id,
        "RepoTags": tags,
        "RepoDigests": [format!("{}@{digest}", reference.familiar_name())],
        "Created": config.created,
        "Author": config.author,
        "Config": config.config,
        "Architecture": config.architecture,
        "Os": config.os,
        "Platforms": platforms,
        "Size": layers.iter().map(|layer| layer.size).sum::<u64>(),
        "Layers": layers.iter().map(|layer| layer.digest).collect::<Vec<_>>(),
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
    }))
}
