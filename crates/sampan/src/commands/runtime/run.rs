//! `runtime run`: create, start, and unless told otherwise wait for the end and delete.

use std::process::ExitCode;

use clap::Args;
use oci::{Container, Store, Terminal};

use super::{create::Making, foreground, log::Log};
use crate::terminal;

/// Create and run a container
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    making: Making,
    /// Leave the container to itself once it runs
    #[arg(short, long)]
    detach: bool,
    /// Do not delete the container when it has ended
    #[arg(long)]
    keep: bool,
    /// Accepted for compatibility
    #[arg(long)]
    no_subreaper: bool,
    #[arg(value_name = "container-id")]
    id: String,
}

impl Run {
    pub fn run(self, store: &Store, systemd: bool, log: &Log) -> ExitCode {
        self.carry_out(store, systemd, log)
            .unwrap_or_else(|error| log.failure(&error.context("run failed"), 1))
    }

    fn carry_out(self, store: &Store, systemd: bool, log: &Log) -> anyhow::Result<ExitCode> {
        sys::sealed::ensure()?;
        let socket = self.making.console_socket.as_ref().map(std::path::absolute).transpose()?;
        let terminal = match (socket, self.detach) {
            (Some(socket), _) => Terminal::Sent(socket),
            (None, true) => Terminal::None,
            (None, false) => Terminal::Kept,
        };
        let options = self.making.options(terminal, systemd)?;
        let (container, made) = oci::create(store, &self.id, &options)?;
        log.warn_all(&made.warnings);
        if !self.detach {
            // Before its program can look. One of the wrong size is a terminal all the same.
            let _ = foreground::fit(&made.process);
        }
        let signals = if self.detach { None } else { Some(terminal::signals()?) };
        match container.start() {
            Ok(warnings) => log.warn_all(&warnings),
            Err(error) => {
                delete(container, log);
                return Err(error.into());
            }
        }
        let Some(signals) = signals else { return Ok(ExitCode::SUCCESS) };
        let code = foreground::hold(&made.process, &signals)?;
        if !self.keep {
            delete(container, log);
        }
        Ok(ExitCode::from(code))
    }
}

fn delete(container: Container, log: &Log) {
    match container.delete(true) {
        Ok(warnings) => log.warn_all(&warnings),
        Err(error) => log.warn_all(&[error.to_string()]),
    }
}
