//! `rm`: remove containers.

use std::process::ExitCode;

use clap::Args;
use engine::{
    EngineError,
    container::{Force, Volumes},
};

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Remove one or more containers
#[derive(Args)]
pub struct Remove {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["container rm", "container remove", "rm"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let force = if self.force { Force::Yes } else { Force::No };
        let volumes = if self.volumes { Volumes::RemoveAnonymous } else { Volumes::Keep };
        report::for_each(&self.containers, |name| {
            match engine.container(name) {
                Err(EngineError::NoContainer(_)) if self.force => return Ok(None),
                container => engine.remove(&container?, force, volumes)?,
            }
            Ok(Some(name.to_owned()))
        })
    }
}
