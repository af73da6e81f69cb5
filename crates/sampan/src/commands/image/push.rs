//! `push`: an image to a registry.

use std::process::ExitCode;

use clap::Args;
use types::{Platform, Reference};

use crate::{
    cli::{Globals, Verb},
    output::transfer::{Target, Transfer},
    session,
};

/// Upload an image to a registry
#[derive(Args)]
pub struct Push {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Push a platform-specific manifest as a single-platform image to the registry
    #[arg(long)]
    platform: Option<Platform>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    name: String,
}

impl Verb for Push {
    const NAMES: &'static [&'static str] = &["image push", "push"];
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let reference: Reference = self.name.parse()?;
        if reference.digest().is_some() {
            anyhow::bail!("cannot push a digest reference");
        }
        let (engine, client) = (session::open(globals)?, session::client(globals)?);
        let repository = format!("{}/{}", reference.registry(), reference.path());
        let references = match self.all_tags {
            false => vec![reference.clone()],
            true if self.name.ends_with(&format!(":{}", reference.tag().unwrap_or_default())) => {
                anyhow::bail!("tag can't be used with --all-tags/-a")
            }
            true => engine.names_in(&reference)?,
        };
        let show = Transfer::push(if self.quiet { Target::Nowhere } else { Target::Stdout });
        show.say(&format!("The push refers to repository [{repository}]"));
        if !self.all_tags && !self.name.ends_with(&format!(":{}", reference.tag().unwrap_or_default())) {
            show.say("Using default tag: latest");
        }
        for reference in &references {
            let pushed = engine.push(&client, reference, self.platform.as_ref(), &show)?;
            let tag = reference.tag().unwrap_or_default();
            show.say(&format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size));
        }
        if self.quiet {
            println!("{}", if self.all_tags { repository } else { reference.to_string() });
        }
        Ok(ExitCode::SUCCESS)
    }
}
