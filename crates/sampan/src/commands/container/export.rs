//! `export`: a container's files as an archive.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    destination, session,
};

/// Export a container's filesystem as a tar archive
#[derive(Args)]
pub struct Export {
    /// Write to a file, instead of STDOUT
    #[arg(short, long)]
    output: Option<String>,
    container: String,
}

impl Verb for Export {
    const NAMES: &'static [&'static str] = &["container export", "export"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        destination::write(self.output.as_deref(), "export container", |target| {
            let engine = session::open(globals)?;
            Ok(engine.export(&engine.container(&self.container)?, target)?)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
