//! `rm`: remove containers.

use std::process::ExitCode;

use clap::Args;
use engine::{
    EngineError,
    container::{Force, Volumes},
};

use crate::{
    cli::{Globals, Verb},
    commands::trash::{Removing, show_plan},
    report,
};

/// Remove one or more containers
#[derive(Args)]
pub struct Remove {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    #[command(flatten)]
    removing: Removing,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["container rm", "container remove", "rm"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.removing.open(globals)?;
        let force = if self.force { Force::Yes } else { Force::No };
        let volumes = if self.volumes { Volumes::RemoveAnonymous } else { Volumes::Keep };
        let mut plan = engine.plan();
        let mut remove = |name: &str| {
            let container = engine.container(name)?;
            if self.link {
                let why = "cannot remove the default link name of the container";
                return Err(EngineError::Invalid(format!("Conflict, {why}")));
            }
            if self.removing.dry_run {
                plan.remove_container(name, force, volumes)?;
                return Ok(None);
            }
            engine.remove(&container, force, volumes)?;
            Ok(Some(name.to_owned()))
        };
        let code = report::for_each(&self.containers, |name| match remove(name) {
            Err(error @ EngineError::NoContainer(_)) if self.force && !self.link => {
                // What is to be gone is gone: said, but no failure.
                report::failure(&error.into());
                Ok(None)
            }
            removed => Ok(removed?),
        })?;
        if self.removing.dry_run {
            show_plan(plan.items());
            return Ok(code);
        }
        self.removing.finish(&engine)?;
        Ok(code)
    }
}
