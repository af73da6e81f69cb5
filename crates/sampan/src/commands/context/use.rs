//! `context use`: which engine is meant from now on.

use std::{env, process::ExitCode};

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    contexts::{self, Contexts, DEFAULT},
};

/// Set the current docker context
#[derive(Args)]
pub struct Use {
    context: String,
}

impl Verb for Use {
    const NAMES: &'static [&'static str] = &["context use"];
    const USAGE: &'static str = "CONTEXT";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let name = &self.context;
        if name != DEFAULT {
            contexts::check_name(name)?;
            contexts.get(name)?;
        }
        contexts.make_current(name)?;
        println!("{name}");
        eprintln!("Current context is now {name:?}");
        if name != DEFAULT && env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty()) {
            eprintln!(
                "Warning: DOCKER_HOST environment variable overrides the active context. To use {name:?}, either set the \
                 global --context flag, or unset DOCKER_HOST environment variable."
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
