//! `kill`: send containers a signal.

use std::process::ExitCode;

use clap::Args;
use types::Signal;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Kill one or more running containers
#[derive(Args)]
pub struct Kill {
    /// Signal to send to the container
    #[arg(short, long, default_value = "KILL")]
    signal: String,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Kill {
    const NAMES: &'static [&'static str] = &["container kill", "kill"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let signal: Signal = self.signal.parse()?;
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            engine.kill(&engine.container(name)?, name, signal)?;
            Ok(Some(name.to_owned()))
        })
    }
}
