//! `build shell`: a shell in the place of a step of a recent build.

use std::process::ExitCode;

use builder::{Local, builds};
use clap::Args;
use engine::EngineError;

use super::visit;
use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Open a shell where a step of a recent build ended, or failed; nothing it changes is kept
#[derive(Args)]
pub struct Shell {
    #[arg(value_names = ["STEP", "COMMAND"], required = true, trailing_var_arg = true)]
    step_and_command: Vec<String>,
}

impl Verb for Shell {
    const NAMES: &'static [&'static str] = &["builder shell", "build shell"];
    const USAGE: &'static str = "STEP [COMMAND] [ARG...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let mut words = self.step_and_command.into_iter();
        let step = words.next().unwrap_or_default();
        let engine = session::open(globals)?;
        let cache = engine.cache();
        let found = match builds::find_step(&cache, &step) {
            Ok(found) => found,
            Err(error) => return Ok(visit::explain(&error.into())),
        };
        let client =
            || session::client(globals).map_err(|error| EngineError::Invalid(report::chain(error.as_ref())));
        let host = Local::new(engine, &client);
        visit::talk(&found, words.collect(), cache, &host)
    }
}
