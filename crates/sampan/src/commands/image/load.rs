//! `load`: images out of an archive.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Load an image from a tar archive or STDIN
#[derive(Args)]
pub struct Load {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long)]
    input: Option<String>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for Load {
    const NAMES: &'static [&'static str] = &["image load", "load"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let source: Box<dyn Read> = match &self.input {
            Some(path) => {
                Box::new(File::open(path).map_err(|error| anyhow::anyhow!("open {path}: {error}"))?)
            }
            None if io::stdin().is_terminal() => {
                anyhow::bail!("requested load from stdin, but stdin is empty")
            }
            None => Box::new(io::stdin().lock()),
        };
        for loaded in session::open(globals)?.load(source)? {
            for name in &loaded.names {
                println!("Loaded image: {}", name.familiar());
            }
            if loaded.names.is_empty() {
                println!("Loaded image ID: {}", loaded.image.id);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
