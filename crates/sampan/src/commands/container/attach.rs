//! `attach`: take part in a container that runs.

use std::{
    io::{self, IsTerminal},
    os::fd::{AsFd, BorrowedFd},
    process::ExitCode,
};

use clap::Args;
use engine::container::Part;
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use super::follow::{self, Follow, Outcome};
use crate::{
    cli::{Globals, Verb},
    session,
    terminal::{self, Raw},
};

/// Attach local standard input, output, and error streams to a running container
#[derive(Args)]
pub struct Attach {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, default_value_t = true)]
    sig_proxy: bool,
    container: String,
}

impl Verb for Attach {
    const NAMES: &'static [&'static str] = &["container attach", "attach"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let container = engine.container(&self.container)?;
        match container.status()?.word() {
            "running" => {}
            "paused" => anyhow::bail!("You cannot attach to a paused container, unpause it first"),
            "restarting" => {
                anyhow::bail!("You cannot attach to a restarting container, wait until it is running")
            }
            _ => anyhow::bail!("You cannot attach to a stopped container, start it first"),
        }
        let tty = container.config.tty;
        if tty && !self.no_stdin && !io::stdin().is_terminal() {
            anyhow::bail!("the input device is not a TTY");
        }
        let detach_keys = follow::detach_keys(globals, self.detach_keys)?;
        let input = !self.no_stdin && container.config.open_stdin;
        let signals = terminal::signals()?;
        let (output, errors) = (io::stdout(), io::stderr());
        let raw = if input && tty { Raw::enter()? } else { None };
        let part = Part { input, output: Some(output.as_fd()), errors: Some(errors.as_fd()) };
        let attached = engine.attach(&container, part)?;
        engine.note(&container, "attach", &[]);
        if tty && let Some(terminal) = attached.terminal() {
            show_again(terminal)?;
        }
        let follow =
            Follow { engine: &engine, container: &container, input, sig_proxy: self.sig_proxy, detach_keys };
        match follow.until_parting(attached, &signals, raw)? {
            Outcome::Ended(code) => Ok(ExitCode::from(code)),
            Outcome::Detached => anyhow::bail!("read escape sequence"),
        }
    }
}

/// Gives a container's terminal our size, by way of another: a program that learns of a new size shows itself anew,
/// where it would leave an empty screen to somebody who has just come.
fn show_again(terminal: BorrowedFd<'_>) -> io::Result<()> {
    let Ok(size) = tcgetwinsize(rustix::stdio::stdout()) else { return Ok(()) };
    let larger = |length: u16| length.saturating_add(1);
    tcsetwinsize(terminal, Winsize { ws_row: larger(size.ws_row), ws_col: larger(size.ws_col), ..size })?;
    Ok(tcsetwinsize(terminal, size)?)
}
