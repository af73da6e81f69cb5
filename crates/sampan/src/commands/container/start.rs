//! `start`: run a container that was created or has ended.

use std::{os::fd::AsFd, process::ExitCode};

use clap::Args;
use engine::container::Attach;

use super::run::follow;
use crate::{
    cli::{Globals, Verb},
    report, session,
    terminal::{self, Raw},
};

/// Start one or more stopped containers
#[derive(Args)]
pub struct Start {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Start {
    const NAMES: &'static [&'static str] = &["container start", "start"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        if !self.attach && !self.interactive {
            return report::for_each(&self.containers, |name| {
                let container = engine.container(name)?;
                if let Some(lock) = engine.lock_to_start(&container)? {
                    engine.start(&container, lock, Attach::Detached)?;
                }
                Ok(Some(name.to_owned()))
            });
        }
        let [name] = self.containers.as_slice() else {
            anyhow::bail!("you cannot start and attach multiple containers at once");
        };
        let container = engine.container(name)?;
        let lock = engine.lock_to_start(&container)?;
        let lock = lock.ok_or_else(|| anyhow::anyhow!("container {name} is already running"))?;
        let signals = terminal::signals()?;
        let (output, errors) = (std::io::stdout(), std::io::stderr());
        let attach =
            Attach::Output { output: output.as_fd(), errors: errors.as_fd(), terminal: terminal::size() };
        let tty = container.config.tty;
        let _raw = if tty && self.interactive { Raw::enter()? } else { None };
        let attached = engine.start(&container, lock, attach)?;
        let code = follow(&engine, &container, attached, tty, self.interactive, true, &signals)?;
        Ok(ExitCode::from(code))
    }
}
