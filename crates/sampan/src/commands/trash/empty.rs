//! `trash empty`: remove for good what was removed.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    confirm::confirm,
    output::human,
    session,
};

/// Remove everything in the trash for good
#[derive(Args)]
pub struct Empty {
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Verb for Empty {
    const NAMES: &'static [&'static str] = &["trash empty"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if !self.force && !confirm("WARNING! This will remove everything in the trash for good.")? {
            return Ok(ExitCode::SUCCESS);
        }
        let freed = session::open(globals)?.empty_trash()?;
        println!("Total reclaimed space: {}", human::size(freed, 4));
        Ok(ExitCode::SUCCESS)
    }
}
