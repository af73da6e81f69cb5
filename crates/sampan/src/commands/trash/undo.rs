//! `undo`: have back what the last command removed.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Bring back what the last command removed
#[derive(Args)]
pub struct Undo {}

impl Verb for Undo {
    const NAMES: &'static [&'static str] = &["undo"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        engine.sweep()?;
        let (back, failures) = engine.undo()?;
        for item in back {
            println!("{} {}", item.kind, item.name);
        }
        let code = if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        for failure in failures {
            report::failure(&failure.into());
        }
        Ok(code)
    }
}
