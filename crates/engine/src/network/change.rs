//! Networks that are being made or removed. A bridge on the host and a row in the database cannot come or go at once, so what
//! is under way is written down first: whoever finds it without its maker takes the bridge down, unless there is a row.
//!
//! ```text
//!   <run>/networks/<id>/change      the row, while the network is made or removed
//! ```

use std::{fs, io, path::Path};

use network::HostLock;

use super::Network;
use crate::{Engine, error::EngineError, state::NetworkRow};

impl Engine {
    /// Makes or removes a network by `work`, with the host's lock held. What was written down goes when the work has succeeded,
    /// or has failed and left nothing.
    pub(super) fn change_network(
        &self,
        network: &Network,
        _lock: &HostLock,
        work: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let directory = self.network_directory(&network.id);
        let change = directory.join(CHANGE);
        let failed = |source| EngineError::File { path: change.clone(), source };
        let row = serde_json::to_vec(&network.row()).map_err(|error| failed(error.into()))?;
        match fs::create_dir_all(&directory).and_then(|()| fs::write(&change, row)) {
            // Things can be removed from a full disk. If this is interrupted there, a bridge is left.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {}
            written => written.map_err(failed)?,
        }
        let outcome = work();
        if let Err(source) = remove(&change) {
            return outcome.and(Err(failed(source)));
        }
        outcome
    }

    /// Takes down what is left of networks whose making or removal was interrupted.
    pub(crate) fn sweep_networks(&self) -> Result<(), EngineError> {
        let entries = match fs::read_dir(self.run.join("networks")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let change = entry?.path().join(CHANGE);
            if change.try_exists()? {
                self.finish_change(&change)?;
            }
        }
        Ok(())
    }

    fn finish_change(&self, change: &Path) -> Result<(), EngineError> {
        // Whoever is at it has the lock.
        let _lock = HostLock::acquire()?;
        let text = match fs::read(change) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        // One that is torn was written by somebody who came no further.
        if let Ok(row) = serde_json::from_slice::<NetworkRow>(&text)
            && !self.state.networks()?.iter().any(|other| other.id == row.id)
        {
            let network = Network::of(row);
            self.take_down(&network)?;
            return Ok(crate::remove_tree(&self.network_directory(&network.id))?);
        }
        Ok(remove(change)?)
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

const CHANGE: &str = "change";
