//! What interrupted commands left behind, put right by the next one that comes by.

use std::{fs, io};

use monitor::Status;

use crate::{
    Engine,
    container::{Container, Volumes},
    error::EngineError,
};

impl Engine {
    /// Removes containers that were to remove themselves and whose monitor could not, and directories whose
    /// container is no more, and takes back addresses and names in networks. Passes over what somebody works on.
    pub fn sweep(&self) -> Result<(), EngineError> {
        for container in self.containers()?.into_iter().filter(|container| container.config.auto_remove) {
            if let Some(lock) = self.left_behind(&container)? {
                self.remove_locked(&container, lock, Volumes::RemoveAnonymous)?;
            }
        }
        for entry in fs::read_dir(self.root.join("containers"))? {
            let path = entry?.path();
            let removed = path.extension().is_some_and(|extension| extension == "removed");
            let orphan = || {
                let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                let known = id.map(|id| self.state.container_by_id(&id)).transpose()?.flatten().is_some();
                match monitor::Lock::try_take(&path) {
                    // Somebody else removes it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    lock => Ok::<_, EngineError>(!known && lock?.is_some()),
                }
            };
            if removed || orphan()? {
                crate::remove_tree(&path)?;
            }
        }
        self.images().clear_up()?;
        self.state.networks()?.iter().try_for_each(|network| self.release_stale(&network.id))
    }

    /// The lock of a container that has ended, was to remove itself, and is in nobody's hands.
    fn left_behind(&self, container: &Container) -> Result<Option<monitor::Lock>, EngineError> {
        match container.status() {
            Ok(Status::Running(_)) => Ok(None),
            Ok(_) => match container.try_lock() {
                // It may be gone since it was listed, or somebody else may be at it.
                Err(EngineError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other,
            },
            Err(error) => Err(error),
        }
    }
}
