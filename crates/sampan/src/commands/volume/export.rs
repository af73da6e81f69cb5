//! `volume export`: a volume's files as an archive.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    destination, session,
};

/// Export the files of a volume as a tar archive (streamed to STDOUT by default)
#[derive(Args)]
pub struct Export {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<String>,
    volume: String,
}

impl Verb for Export {
    const NAMES: &'static [&'static str] = &["volume export"];
    const USAGE: &'static str = "[OPTIONS] VOLUME";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        destination::write(self.output.as_deref(), "export volume", |target| {
            Ok(session::open(globals)?.export_volume(&self.volume, target)?)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
