//! `stop`: ask containers to end, and see to it that they do.

use std::process::ExitCode;

use clap::Args;
use engine::container::Grace;
use types::Signal;

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
        let signal = self.signal.map(|signal| signal.parse::<Signal>()).transpose()?;
        let engine = session::open(globals)?;
        report::for_each(&self.containers, |name| {
            engine.stop(&engine.container(name)?, self.timeout.map(Grace::from_seconds), signal)?;
            Ok(Some(name.to_owned()))
        })
    }
}
