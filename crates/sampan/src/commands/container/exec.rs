//! `exec`: one more process in a running container.

use std::{
    io::{self, IsTerminal},
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
};

use clap::Args;
use engine::{
    EngineError, FailureKind,
    container::{Exec as Request, ExecIo},
};
use monitor::TerminalSize;
use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
};

use super::{
    follow,
    options::{environment, variable},
};
use crate::{
    cli::{Globals, Verb},
    report, session,
    terminal::{self, Conversation, Parting, Raw},
};

/// Execute a command in a running container
#[derive(Args)]
pub struct Exec {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = variable)]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long)]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long)]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long)]
    workdir: Option<String>,
    #[arg(num_args = 2.., required = true, trailing_var_arg = true)]
    container_and_command: Vec<String>,
}

impl Verb for Exec {
    const NAMES: &'static [&'static str] = &["container exec", "exec"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER COMMAND [ARG...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        session::enter(globals)?;
        // A process in the container must not reach the engine's program through the one that is to join it.
        sys::sealed::ensure()?;
        let mut words = self.container_and_command.into_iter();
        let name = words.next().unwrap_or_default();
        if !self.detach && self.tty && self.interactive && !io::stdin().is_terminal() {
            eprintln!("the input device is not a TTY");
            return Ok(ExitCode::FAILURE);
        }
        let detach_keys = follow::detach_keys(globals, self.detach_keys)?;
        let engine = session::open(globals)?;
        let container = engine.container(&name)?;
        let request = Request {
            arguments: words.collect(),
            env: environment(&self.env_file, self.env)?,
            working_directory: self.workdir,
            user: self.user,
            privileged: self.privileged,
            tty: self.tty,
        };
        if self.detach {
            let terminal = self.tty.then(terminal_size);
            return Ok(match engine.exec_detached(&container, request, terminal) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => not_started(error, true),
            });
        }
        let (streams, input) = streams(self.tty, self.interactive)?;
        let signals = terminal::signals()?;
        // Before the first output, which would else pass through a terminal that changes it.
        let raw = if self.tty && self.interactive { Raw::enter()? } else { None };
        let mut execution = match engine.exec(&container, request, streams) {
            Ok(execution) => execution,
            Err(error) => {
                drop(raw);
                return Ok(not_started(error, false));
            }
        };
        let master = execution.terminal.take();
        let input = match (&master, self.interactive) {
            (Some(master), true) => Some(master.try_clone()?),
            _ => input,
        };
        let process = execution.as_fd();
        let forward = |number: i32| {
            // docker's exec passes nothing on; a process on a terminal gets what is typed there. One that has no
            // terminal would otherwise survive whoever asked for it.
            if number != Signal::HUP.as_raw() {
                let _ = sys::process::signal(process, number);
            }
        };
        let conversation = Conversation {
            ended: process,
            input,
            input_ended: &|| Ok(()),
            terminal: master.as_ref(),
            print: true,
            forward: Some(&forward),
            resized: None,
            detach: self.tty.then_some(detach_keys),
        };
        if conversation.hold(&signals)? == Parting::Detached
            && let Some(master) = &master
        {
            drop(raw);
            engine.leave_alone(&container, &execution, Some(master.as_fd()))?;
            execution.note_detached();
            anyhow::bail!("read escape sequence");
        }
        Ok(ExitCode::from(execution.wait()?))
    }
}

/// Says why the process did not start, where docker says it: nobody who reads its output can tell who wrote that.
fn not_started(error: EngineError, detached: bool) -> ExitCode {
    let (message, kind) = match error {
        EngineError::Start(failure) if failure.kind != FailureKind::Setup => (failure.message, failure.kind),
        error => return report::failure(&error.into()),
    };
    let text = format!("OCI runtime exec failed: exec failed: unable to start container process: {message}");
    if detached {
        return report::failure(&EngineError::Invalid(text).into());
    }
    println!("{text}");
    ExitCode::from(kind.exit_code())
}

fn terminal_size() -> TerminalSize {
    terminal::size().unwrap_or(TerminalSize { columns: 80, rows: 24 })
}

/// Where the process's streams lead, and our end of its input if there is one.
fn streams(tty: bool, interactive: bool) -> io::Result<(ExecIo, Option<OwnedFd>)> {
    if tty {
        return Ok((ExecIo::Terminal(terminal_size()), None));
    }
    let (output, errors) =
        (io::stdout().as_fd().try_clone_to_owned()?, io::stderr().as_fd().try_clone_to_owned()?);
    match interactive {
        false => {
            let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
            Ok((ExecIo::Descriptors([null, output, errors]), None))
        }
        true => {
            // Not our own input: it may be a terminal, which a container could type on.
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            Ok((ExecIo::Descriptors([read, output, errors]), Some(write)))
        }
    }
}
