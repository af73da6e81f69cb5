//! `context show`: which engine is meant.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    contexts,
};

/// Print the name of the current context
#[derive(Args)]
pub struct Show {}

impl Verb for Show {
    const NAMES: &'static [&'static str] = &["context show"];
    const USAGE: &'static str = "";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        println!("{}", contexts::current(globals));
        Ok(ExitCode::SUCCESS)
    }
}
