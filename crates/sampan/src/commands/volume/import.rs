//! `volume import`: a volume with the files of an archive.

use std::{
    fs::File,
    io::{self, Read},
    process::ExitCode,
};

use clap::Args;
use engine::volume::Replace;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Import the files of a tar archive into a volume, which is made if it does not exist
#[derive(Args)]
pub struct Import {
    /// Replace the files that the volume holds
    #[arg(short, long)]
    force: bool,
    volume: String,
    file: Option<String>,
}

impl Verb for Import {
    const NAMES: &'static [&'static str] = &["volume import"];
    const USAGE: &'static str = "[OPTIONS] VOLUME [file|-]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let source: Box<dyn Read> = match self.file.as_deref() {
            None | Some("-") => Box::new(io::stdin().lock()),
            Some(path) => {
                Box::new(File::open(path).map_err(|error| anyhow::anyhow!("open {path}: {error}"))?)
            }
        };
        let replace = if self.force { Replace::Yes } else { Replace::No };
        session::open(globals)?.import_volume(&self.volume, source, replace)?;
        Ok(ExitCode::SUCCESS)
    }
}
