//! `runtime kill`: a signal for a container.

use clap::Args;
use oci::Store;
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
        let signal: Result<Signal, _> = self.signal.parse();
        let signal = signal.map_err(|_| anyhow::anyhow!("unknown signal {:?}", self.signal))?;
        Ok(store.container(&self.id)?.kill(signal, self.all)?)
    }
}
