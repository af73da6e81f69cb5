//! `save`: images into an archive.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Args)]
pub struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long)]
    output: Option<String>,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Save {
    const NAMES: &'static [&'static str] = &["image save", "save"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let Some(path) = &self.output else {
            if io::stdout().is_terminal() {
                anyhow::bail!("cowardly refusing to save to a terminal. Use the -o flag or redirect");
            }
            engine.save(&self.images, io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        };
        // Written aside: an archive is there complete or not at all.
        let partial = format!("{path}.partial");
        let written = File::create(&partial).map_err(anyhow::Error::from).and_then(|mut file| {
            engine.save(&self.images, &mut file)?;
            file.flush()?;
            Ok(fs::rename(&partial, path)?)
        });
        if written.is_err() {
            // There may be nothing to remove, if it could not be made.
            let _ = fs::remove_file(&partial);
        }
        written.map(|()| ExitCode::SUCCESS)
    }
}
