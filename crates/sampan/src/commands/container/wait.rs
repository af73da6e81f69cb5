//! `wait`: wait for containers to end.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Block until one or more containers stop, then print their exit codes
#[derive(Args)]
pub struct Wait {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Wait {
    const NAMES: &'static [&'static str] = &["container wait", "wait"];
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            Ok(Some(engine.wait(&engine.container(name)?)?.to_string()))
        })
    }
}
