//! `stop`: ask containers to end, and see to it that they do.

use std::process::ExitCode;

use clap::Args;
use engine::{
    EngineError,
    container::{Container, Grace},
};
use types::{InvalidSignal, Signal};

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Stop one or more running containers
#[derive(Args)]
pub struct Stop {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int")]
    timeout: Option<i32>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Stop {
    const NAMES: &'static [&'static str] = &["container stop", "stop"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            let container = engine.container(name)?;
            let signal = signal_for(&container, self.signal.as_deref())?;
            engine.stop(&container, self.timeout.map(Grace::from_seconds), signal)?;
            Ok(Some(name.to_owned()))
        })
    }
}

/// The signal that stops a container. One that does not run gets none, so that nobody minds what it is.
pub fn signal_for(container: &Container, signal: Option<&str>) -> Result<Option<Signal>, EngineError> {
    match signal {
        Some(signal) if container.status()?.is_running() => {
            let parsed = signal.parse::<Signal>();
            parsed.map(Some).map_err(|error: InvalidSignal| EngineError::Invalid(error.to_string()))
        }
        _ => Ok(None),
    }
}
