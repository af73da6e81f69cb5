//! `runtime delete`: what is left of a container goes.

use clap::Args;
use oci::{OciError, Store};

use super::log::Log;

/// Delete what a container holds
#[derive(Args)]
pub struct Delete {
    /// Kill the container first if it runs
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "container-id")]
    id: String,
}

impl Delete {
    pub fn run(self, store: &Store, log: &Log) -> anyhow::Result<()> {
        match store.container(&self.id).and_then(|container| container.delete(self.force)) {
            Ok(warnings) => log.warn_all(&warnings),
            Err(OciError::NotFound) if self.force => store.remove_remains(&self.id)?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
