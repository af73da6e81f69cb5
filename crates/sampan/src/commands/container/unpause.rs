//! `unpause`: let paused containers go on.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Unpause all processes within one or more containers
#[derive(Args)]
pub struct Unpause {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Unpause {
    const NAMES: &'static [&'static str] = &["container unpause", "unpause"];
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            engine.unpause(&engine.container(name)?)?;
            Ok(Some(name.to_owned()))
        })
    }
}
