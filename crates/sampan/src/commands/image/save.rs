//! `save`: images into an archive.

use std::process::ExitCode;

use clap::Args;
use types::Platform;

use crate::{
    cli::{Globals, Verb},
    destination, session,
};

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Args)]
pub struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long)]
    output: Option<String>,
    /// Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long)]
    platform: Option<Platform>,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Save {
    const NAMES: &'static [&'static str] = &["image save", "save"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        destination::write(self.output.as_deref(), "save image", |target| {
            Ok(session::open(globals)?.save(&self.images, self.platform.as_ref(), target)?)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
