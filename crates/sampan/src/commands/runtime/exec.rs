//! `runtime exec`: one more process in a container.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use oci::{Guest, Store, Terminal};

use super::{foreground, log::Log};
use crate::terminal;

/// Execute a new process in a container
#[derive(Args)]
pub struct Exec {
    /// Socket of whoever receives the process's terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give the process a terminal
    #[arg(short, long)]
    tty: bool,
    /// User and group by number: UID[:GID]
    #[arg(short, long, value_parser = user)]
    user: Option<(u32, Option<u32>)>,
    /// Further groups by number
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// File with the process section of a specification
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Leave the process to itself once it runs
    #[arg(short, long)]
    detach: bool,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Forbid the process to gain privileges
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// Pass this many descriptors to the process after the standard streams
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Allow it in a paused container
    #[arg(long)]
    ignore_paused: bool,
    #[arg(value_name = "container-id")]
    id: String,
    /// What to run
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub fn run(self, store: &Store, log: &Log) -> ExitCode {
        // As other runtimes have it, who cannot tell this from the process's own code anyway.
        self.carry_out(store, log).unwrap_or_else(|error| log.failure(&error.context("exec failed"), 255))
    }

    fn carry_out(self, store: &Store, log: &Log) -> anyhow::Result<ExitCode> {
        sys::sealed::ensure()?;
        let terminal = match (self.console_socket, self.detach) {
            (Some(socket), _) => Terminal::Sent(socket),
            (None, true) => Terminal::None,
            (None, false) => Terminal::Kept,
        };
        let process = match &self.process {
            Some(path) => {
                let text = fs::read(path).context(path.display().to_string())?;
                let (process, warnings) = oci::parse_process(&text)?;
                log.warn_all(&warnings);
                Some(process)
            }
            None => None,
        };
        let (capabilities, unknown) = oci::capabilities(self.cap);
        log.warn_all(&unknown);
        let guest = Guest {
            process,
            args: self.command,
            cwd: self.cwd,
            env: self.env,
            user: self.user,
            additional_gids: self.additional_gids,
            terminal: self.tty,
            no_new_privileges: self.no_new_privs,
            capabilities,
            apparmor_profile: self.apparmor,
            selinux_label: self.process_label,
        };
        let container = store.container(&self.id)?;
        let signals = if self.detach { None } else { Some(terminal::signals()?) };
        let made =
            oci::exec(&container, guest, &terminal, self.preserve_fds, self.ignore_paused, self.pid_file)?;
        log.warn_all(&made.warnings);
        let Some(signals) = signals else { return Ok(ExitCode::SUCCESS) };
        foreground::fit(&made.process)?;
        Ok(ExitCode::from(foreground::hold(&made.process, &signals)?))
    }
}

fn user(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |text: &str| text.parse().map_err(|_| format!("parsing {text} as int for uid failed"));
    match text.split_once(':') {
        Some((user, group)) => Ok((number(user)?, Some(number(group)?))),
        None => Ok((number(text)?, None)),
    }
}
