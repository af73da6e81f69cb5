//! `context export`: a context in a file, for another machine.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    contexts::{self, Contexts, DEFAULT},
};

/// Export a context to a tar archive FILE or a tar stream on STDOUT.
#[derive(Args)]
pub struct Export {
    context: String,
    file: Option<String>,
}

impl Verb for Export {
    const NAMES: &'static [&'static str] = &["context export"];
    const USAGE: &'static str = "[OPTIONS] CONTEXT [FILE|-]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let name = &self.context;
        if name != DEFAULT {
            contexts::check_name(name)?;
        }
        let (context, material) = (contexts.get(name)?, contexts.material(name)?);
        let path = self.file.unwrap_or_else(|| format!("{name}.dockercontext"));
        if path == "-" {
            if io::stdout().is_terminal() {
                anyhow::bail!("cowardly refusing to export to a terminal, specify a file path");
            }
            context.export(&material, io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        }
        // With certificates in it, perhaps, and in nothing's place.
        let mut file = match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                anyhow::bail!("open {path}: file exists")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                anyhow::bail!("open {path}: no such file or directory")
            }
            file => file?,
        };
        context.export(&material, &mut file)?;
        file.flush()?;
        eprintln!("Written file {path:?}");
        Ok(ExitCode::SUCCESS)
    }
}
