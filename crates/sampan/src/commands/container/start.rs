//! `start`: run a container that was created or has ended.

use std::{io::IsTerminal, os::fd::AsFd, process::ExitCode};

use clap::Args;
use engine::container::{Attach, Force, Part, Volumes};

use super::follow::{self, Follow, Outcome};
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
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
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
            let mut failed = Vec::new();
            let code = report::for_each(&self.containers, |name| {
                let start = || -> anyhow::Result<Option<String>> {
                    let container = engine.container(name)?;
                    if let Some(lock) = engine.lock_to_start(&container)? {
                        engine.start(&container, lock, Attach::Detached)?;
                    }
                    Ok(Some(name.to_owned()))
                };
                start().inspect_err(|_| failed.push(name.to_owned()))
            })?;
            if !failed.is_empty() {
                eprintln!("Error: failed to start containers: {}", failed.join(", "));
            }
            return Ok(code);
        }
        let [name] = self.containers.as_slice() else {
            anyhow::bail!("you cannot start and attach multiple containers at once");
        };
        let container = engine.container(name)?;
        let tty = container.config.tty;
        let input = self.interactive && container.config.open_stdin;
        if tty && self.interactive && !std::io::stdin().is_terminal() {
            anyhow::bail!("the input device is not a TTY");
        }
        let detach_keys = follow::detach_keys(globals, self.detach_keys)?;
        let signals = terminal::signals()?;
        let (output, errors) = (std::io::stdout(), std::io::stderr());
        let part = Part { input, output: Some(output.as_fd()), errors: Some(errors.as_fd()) };
        let raw = if tty && input { Raw::enter()? } else { None };
        engine.note(&container, "attach", &[]);
        let (attached, is_ours) = match engine.lock_to_start(&container)? {
            Some(lock) => (engine.start(&container, lock, Attach::Part(part, terminal::size()))?, true),
            // Nothing is left but to attach.
            None => (engine.attach(&container, part)?, false),
        };
        let follow = Follow { engine: &engine, container: &container, input, sig_proxy: true, detach_keys };
        match follow.until_parting(attached, &signals, raw)? {
            Outcome::Ended(code) => {
                if is_ours && container.config.auto_remove {
                    engine.remove(&container, Force::No, Volumes::RemoveAnonymous)?;
                }
                Ok(ExitCode::from(code))
            }
            Outcome::Detached => Ok(ExitCode::SUCCESS),
        }
    }
}
