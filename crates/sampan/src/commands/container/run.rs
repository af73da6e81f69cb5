//! `run`: create, start, and take part in it.

use std::{io::IsTerminal, os::fd::AsFd, process::ExitCode};

use clap::Args;
use engine::{
    Engine,
    container::{Attach, Container, Create, Part, Streams, Volumes},
};

use super::{
    follow::{self, Follow, Outcome},
    options::Options,
    supply::Supply,
};
use crate::{
    cli::{Globals, Verb},
    report, session,
    terminal::{self, Raw},
};

/// Create and run a new container from an image
#[derive(Args)]
pub struct Run {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Proxy received signals to the process
    #[arg(long, default_value_t = true)]
    sig_proxy: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    supply: Supply,
    #[arg(value_names = ["IMAGE", "COMMAND"], required = true, trailing_var_arg = true)]
    image_and_command: Vec<String>,
}

impl Verb for Run {
    const NAMES: &'static [&'static str] = &["container run", "run"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let reads = self.options.streams().input;
        if !self.detach && self.options.tty && reads && !std::io::stdin().is_terminal() {
            eprintln!("the input device is not a TTY");
            return Ok(ExitCode::FAILURE);
        }
        if self.detach && !self.options.attach.is_empty() {
            anyhow::bail!("conflicting options: cannot specify both --attach and --detach");
        }
        Ok(self.create_and_start(globals).unwrap_or_else(|error| report::run_failure(&error)))
    }
}

impl Run {
    fn create_and_start(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let Run { detach, detach_keys, sig_proxy, options, supply, image_and_command } = self;
        let mut words = image_and_command.into_iter();
        let image = words.next().unwrap_or_default();
        let (tty, rm) = (options.tty, options.rm);
        let mut request = Create { start_at_once: true, ..options.into_request(image, words.collect())? };
        if detach {
            request.attach = Streams::default();
            request.stdin_once = false;
        }
        let Streams { input, output, errors } = request.attach;
        let detach_keys = follow::detach_keys(globals, detach_keys)?;
        let engine = session::open(globals)?;
        let (container, lock) = supply.create(&engine, globals, request)?;
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let attach = match detach {
            true => Attach::Detached,
            false => {
                let part = Part {
                    input: input && container.config.open_stdin,
                    output: output.then(|| stdout.as_fd()),
                    errors: errors.then(|| stderr.as_fd()),
                };
                Attach::Part(part, terminal::size())
            }
        };
        // From before the container exists: a Ctrl-C is for it, not for us.
        let signals = if detach { None } else { Some(terminal::signals()?) };
        // Before the first output, which would else pass through a terminal that changes it.
        let raw = if input && tty { Raw::enter()? } else { None };
        if !detach {
            engine.note(&container, "attach", &[]);
        }
        let attached = match engine.start(&container, lock, attach) {
            Ok(attached) => attached,
            Err(error) => {
                if rm {
                    remove(&engine, &container)?;
                }
                return Err(error.into());
            }
        };
        let Some(signals) = signals else {
            println!("{}", container.id);
            return Ok(ExitCode::SUCCESS);
        };
        if !output && !errors {
            // Nothing of what it says is wanted, so it is not waited for.
            follow::feed(attached, &signals)?;
            drop(raw);
            println!("{}", container.id);
            return Ok(ExitCode::SUCCESS);
        }
        let follow = Follow { engine: &engine, container: &container, input, sig_proxy, detach_keys };
        match follow.until_parting(attached, &signals, raw)? {
            Outcome::Ended(code) => {
                if rm {
                    remove(&engine, &container)?;
                }
                Ok(ExitCode::from(code))
            }
            Outcome::Detached => Ok(ExitCode::SUCCESS),
        }
    }
}

fn remove(engine: &Engine, container: &Container) -> anyhow::Result<()> {
    Ok(engine.remove(container, engine::container::Force::No, Volumes::RemoveAnonymous)?)
}
