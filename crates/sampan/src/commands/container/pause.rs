//! `pause`: make containers stand still.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Pause all processes within one or more containers
#[derive(Args)]
pub struct Pause {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Pause {
    const NAMES: &'static [&'static str] = &["container pause", "pause"];
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            engine.pause(&engine.container(name)?)?;
            Ok(Some(name.to_owned()))
        })
    }
}
