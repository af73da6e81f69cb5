//! `runtime create`: everything up to a container's program.

use std::path::PathBuf;

use clap::Args;
use oci::{Options, Store, Terminal};

use super::log::Log;

/// Create a container
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    making: Making,
    #[arg(value_name = "container-id")]
    id: String,
}

/// How a container is made.
#[derive(Args)]
pub struct Making {
    /// Directory with the container's config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Socket of whoever receives the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Move the root rather than pivot to it, as it takes where the host's is the kernel's first
    #[arg(long)]
    no_pivot: bool,
    /// Leave the container the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,
    /// Pass this many descriptors to the container after the standard streams
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
}

impl Making {
    pub fn options(self, terminal: Terminal, systemd: bool) -> anyhow::Result<Options> {
        Ok(Options {
            bundle: self.bundle,
            // Meant from where the caller is, not from the bundle.
            pid_file: self.pid_file.map(std::path::absolute).transpose()?,
            terminal,
            preserved: self.preserve_fds,
            pivot: !self.no_pivot,
            new_keyring: !self.no_new_keyring,
            systemd,
        })
    }
}

impl Create {
    pub fn run(self, store: &Store, systemd: bool, log: &Log) -> anyhow::Result<()> {
        sys::sealed::ensure()?;
        let socket = self.making.console_socket.as_ref().map(std::path::absolute).transpose()?;
        let options = self.making.options(socket.map_or(Terminal::None, Terminal::Sent), systemd)?;
        let (_, made) = oci::create(store, &self.id, &options)
            .map_err(|error| anyhow::Error::from(error).context("create failed"))?;
        log.warn_all(&made.warnings);
        Ok(())
    }
}
