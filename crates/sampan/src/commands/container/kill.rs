//! `kill`: send containers a signal.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;
use types::{InvalidSignal, Signal};

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
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            let kill = || -> Result<(), EngineError> {
                let signal: Signal = self
                    .signal
                    .parse()
                    .map_err(|error: InvalidSignal| EngineError::Invalid(error.to_string()))?;
                engine.kill(&engine.container(name)?, name, signal)
            };
            match kill() {
                Err(refused @ (EngineError::NoContainer(_) | EngineError::Invalid(_))) => {
                    Err(EngineError::Invalid(format!("cannot kill container: {name}: {refused}")).into())
                }
                other => Ok(other.map(|()| Some(name.to_owned()))?),
            }
        })
    }
}
