//! `runtime kill`: a signal for a container.

use clap::Args;
use oci::{OciError, Status, Store};
use types::Signal;

/// Send a signal to a container's first process
#[derive(Args)]
pub struct Kill {
    /// Send it to all processes of the container
    #[arg(short, long)]
    all: bool,
    #[arg(value_name = "container-id")]
    id: String,
    #[arg(default_value = "SIGTERM")]
    signal: String,
}

impl Kill {
    pub fn run(self, store: &Store) -> anyhow::Result<()> {
        let container = store.container(&self.id)?;
        if self.signal == "0" {
            // It is sent to nobody, and tells whether there is somebody.
            return match container.status()? {
                Status::Stopped if !self.all => Err(OciError::NotRunning.into()),
                _ => Ok(()),
            };
        }
        let signal: Result<Signal, _> = self.signal.parse();
        let signal = signal.map_err(|_| anyhow::anyhow!("unknown signal {:?}", self.signal))?;
        Ok(container.kill(signal, self.all)?)
    }
}
