//! `context import`: a context of another machine.

use std::{
    fs::File,
    io::{self, Read},
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    contexts::{self, Context, Contexts},
};

/// Import a context from a tar or zip file
#[derive(Args)]
pub struct Import {
    context: String,
    file: String,
}

impl Verb for Import {
    const NAMES: &'static [&'static str] = &["context import"];
    const USAGE: &'static str = "CONTEXT FILE|-";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let (name, path) = (&self.context, &self.file);
        contexts::check_name(name)?;
        if contexts.has(name) {
            anyhow::bail!("context {name:?} already exists");
        }
        let mut source: Box<dyn Read> = match path.as_str() {
            "-" => Box::new(io::stdin().lock()),
            _ => match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    anyhow::bail!("open {path}: no such file or directory")
                }
                file => Box::new(file?),
            },
        };
        let mut beginning = Vec::new();
        source.by_ref().take(ZIP.len() as u64).read_to_end(&mut beginning)?;
        if beginning == ZIP {
            anyhow::bail!("{path} is a zip archive; only tar archives can be imported");
        }
        let (context, material) = Context::import(name, beginning.as_slice().chain(source))?;
        contexts.put(&context, Some(&material))?;
        println!("{name}");
        eprintln!("Successfully imported context {name:?}");
        Ok(ExitCode::SUCCESS)
    }
}

/// How zip archives begin.
const ZIP: &[u8] = b"PK\x03\x04";
