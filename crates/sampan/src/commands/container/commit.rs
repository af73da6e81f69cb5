//! `commit`: an image of what a container has made of its own.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;
use types::Reference;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Create a new image from a container's changes
#[derive(Args)]
pub struct Commit {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long)]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long)]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long)]
    message: Option<String>,
    /// Disable pausing container during commit
    #[arg(long)]
    no_pause: bool,
    /// Pause container during commit
    #[arg(short, long, default_value = "true")]
    pause: bool,
    container: String,
    reference: Option<String>,
}

impl Verb for Commit {
    const NAMES: &'static [&'static str] = &["container commit", "commit"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let name = self.reference.as_deref().filter(|name| !name.is_empty());
        let name = name.map(str::parse::<Reference>).transpose()?;
        let engine = session::open(globals)?;
        let container = engine.container(&self.container)?;
        let commit = engine::container::Commit {
            author: self.author.unwrap_or_default(),
            message: self.message.unwrap_or_default(),
            pause: self.pause && !self.no_pause,
        };
        let id = engine.commit(&container, commit, name.as_ref(), |config| {
            builder::change(&config, &self.change).map_err(|problem| EngineError::Invalid(problem.message))
        })?;
        println!("{id}");
        Ok(ExitCode::SUCCESS)
    }
}
