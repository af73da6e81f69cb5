//! `trash restore`: have things back that were removed.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Restore what was removed, by its name or ID
#[derive(Args)]
pub struct Restore {
    #[arg(required = true)]
    things: Vec<String>,
}

impl Verb for Restore {
    const NAMES: &'static [&'static str] = &["trash restore"];
    const USAGE: &'static str = "NAME|ID [NAME|ID...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        engine.sweep()?;
        report::for_each(&self.things, |thing| Ok(Some(engine.restore(thing)?.name)))
    }
}
