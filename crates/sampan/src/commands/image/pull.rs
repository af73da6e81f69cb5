//! `pull`: an image from a registry.

use std::process::ExitCode;

use clap::Args;
use distribution::{Client, Selector};
use engine::{Engine, EngineError};
use types::{Platform, Reference};

use crate::{
    cli::{Globals, Verb},
    output::transfer::{Target, Transfer},
    session,
};

/// Download an image from a registry
#[derive(Args)]
pub struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long)]
    platform: Option<Platform>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    name: String,
}

impl Verb for Pull {
    const NAMES: &'static [&'static str] = &["image pull", "pull"];
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG|@DIGEST]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let reference: Reference = self.name.parse()?;
        let platform = self.platform.unwrap_or_else(Platform::host);
        let target = if self.quiet { Target::Nowhere } else { Target::Stdout };
        let (engine, client) = (session::open(globals)?, session::client(globals)?);
        if !self.all_tags {
            if !self.quiet && is_tag_left_out(&self.name, &reference) {
                println!("Using default tag: latest");
            }
            pull(&engine, &client, &reference, &platform, target)?;
        } else if is_tag_left_out(&self.name, &reference) {
            let repository = client.repository(reference.registry(), reference.path());
            for tag in repository.tags().map_err(EngineError::from)? {
                let tagged: Reference = format!("{}:{tag}", reference.familiar_name()).parse()?;
                pull(&engine, &client, &tagged, &platform, target)?;
            }
        } else {
            anyhow::bail!("tag can't be used with --all-tags/-a");
        }
        println!("{}", full_name(&reference, self.all_tags));
        Ok(ExitCode::SUCCESS)
    }
}

/// Pulls one image, showing on `target` what happens.
pub fn pull(
    engine: &Engine,
    client: &Client,
    reference: &Reference,
    platform: &Platform,
    target: Target,
) -> Result<(), EngineError> {
    let asked_for = match Selector::from(reference) {
        Selector::Tag(tag) => tag,
        Selector::Digest(digest) => format!("{}@{digest}", full_name(reference, true)),
    };
    let show = Transfer::pull(target, format!("{asked_for}: Pulling from {}", reference.path()));
    let pulled = engine.pull(client, reference, platform, &show)?;
    show.say(&format!("Digest: {}", pulled.digest));
    show.say(&match pulled.newer {
        true => format!("Status: Downloaded newer image for {}", reference.familiar()),
        false => format!("Status: Image is up to date for {}", reference.familiar()),
    });
    Ok(())
}

/// What the user did not write is `latest`.
fn is_tag_left_out(name: &str, reference: &Reference) -> bool {
    reference.tag() == Some("latest") && reference.digest().is_none() && !name.ends_with(":latest")
}

/// The name with its registry, with the tag or digest or without.
fn full_name(reference: &Reference, repository_only: bool) -> String {
    match repository_only {
        true => format!("{}/{}", reference.registry(), reference.path()),
        false => reference.to_string(),
    }
}
