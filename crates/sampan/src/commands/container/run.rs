//! `run`: create, start, and take part in it.

use std::{io::IsTerminal, os::fd::AsFd, process::ExitCode};

use clap::Args;
use engine::{
    Engine,
    container::{Attach, Attached, Container, Create, Volumes},
};

use super::{options::Options, supply::Supply};
use crate::{
    cli::{Globals, Verb},
    report, session,
    terminal::{self, Conversation, Raw},
};

/// Create and run a new container from an image
#[derive(Args)]
pub struct Run {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
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
        if !self.detach && self.options.tty && self.options.interactive && !std::io::stdin().is_terminal() {
            eprintln!("the input device is not a TTY");
            return Ok(ExitCode::FAILURE);
        }
        Ok(self.create_and_start(globals).unwrap_or_else(|error| report::run_failure(&error, "run")))
    }
}

impl Run {
    fn create_and_start(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let Run { detach, sig_proxy, options, supply, image_and_command } = self;
        let mut words = image_and_command.into_iter();
        let image = words.next().unwrap_or_default();
        let (tty, interactive, rm) = (options.tty, options.interactive, options.rm);
        let request = Create { start_at_once: true, ..options.into_request(image, words.collect())? };
        let engine = session::open(globals)?;
        let (container, lock) = supply.create(&engine, globals, request)?;
        let (output, errors) = (std::io::stdout(), std::io::stderr());
        let attach = match detach {
            true => Attach::Detached,
            false => {
                Attach::Output { output: output.as_fd(), errors: errors.as_fd(), terminal: terminal::size() }
            }
        };
        // From before the container exists: a Ctrl-C is for it, not for us.
        let signals = if detach { None } else { Some(terminal::signals()?) };
        // Before the first output, which would else pass through a terminal that changes it.
        let _raw = if !detach && tty && interactive { Raw::enter()? } else { None };
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
        let code = follow(&engine, &container, attached, tty, interactive, sig_proxy, &signals)?;
        if rm {
            remove(&engine, &container)?;
        }
        Ok(ExitCode::from(code))
    }
}

/// Takes part in a container in the foreground until it ends; its exit code.
pub fn follow(
    engine: &Engine,
    container: &Container,
    mut attached: Attached,
    tty: bool,
    interactive: bool,
    sig_proxy: bool,
    signals: &sys::signals::Signals,
) -> anyhow::Result<u8> {
    let input = attached.take_input();
    let master = match (&input, tty) {
        (Some(input), true) => Some(input.try_clone()?),
        _ => None,
    };
    let forward = |number: i32| {
        if let Some(signal) = number.to_string().parse().ok().filter(|_| sig_proxy) {
            // One that has just ended needs no signal any more.
            let _ = engine.kill(container, &container.name, signal);
        }
    };
    let conversation = Conversation {
        ended: attached.as_fd(),
        input: input.filter(|_| interactive),
        terminal: master.as_ref(),
        print: false,
        forward: &forward,
    };
    conversation.hold(signals)?;
    Ok(attached.wait()?)
}

fn remove(engine: &Engine, container: &Container) -> anyhow::Result<()> {
    Ok(engine.remove(container, engine::container::Force::No, Volumes::RemoveAnonymous)?)
}
