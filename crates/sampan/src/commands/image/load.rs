//! `load`: images out of an archive.

use std::{
    io::{self, IsTerminal, Read},
    process::ExitCode,
};

use clap::Args;
use types::Platform;

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
    /// Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long)]
    platform: Option<Platform>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for Load {
    const NAMES: &'static [&'static str] = &["image load", "load"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        // As docker has it, quiet is without progress; what was loaded is told all the same.
        let _ = self.quiet;
        let source: Box<dyn Read> = match &self.input {
            Some(path) => Box::new(super::open(path)?),
            None if io::stdin().is_terminal() => {
                anyhow::bail!("requested load from stdin, but stdin is empty")
            }
            None => Box::new(io::stdin().lock()),
        };
        for loaded in session::open(globals)?.load(source, self.platform.as_ref())? {
            for (name, id) in &loaded.replaced {
                println!(
                    "The image {} already exists, renaming the old one with ID {id} to empty string",
                    name.familiar()
                );
            }
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
