//! `restart`: stop and start again.

use std::process::ExitCode;

use clap::Args;
use engine::container::{Attach, Grace};

use super::stop::signal_for;
use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Restart one or more containers
#[derive(Args)]
pub struct Restart {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int")]
    timeout: Option<i32>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Restart {
    const NAMES: &'static [&'static str] = &["container restart", "restart"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            let container = engine.container(name)?;
            let signal = signal_for(&container, self.signal.as_deref())?;
            engine.stop(&container, self.timeout.map(Grace::from_seconds), signal)?;
            if let Some(lock) = engine.lock_to_start(&container)? {
                engine.start(&container, lock, Attach::Detached)?;
            }
            engine.note(&container, "restart", &[]);
            Ok(Some(name.to_owned()))
        })
    }
}
