//! What interrupted commands left behind, put right by the next one that comes by.

use std::{collections::HashSet, ffi::OsString, fs, io, path::Path};

use monitor::Status;

use crate::{
    Engine,
    container::{Container, Volumes},
    error::EngineError,
};

impl Engine {
    /// Starts containers again whose policy wants it, removes those that were to remove themselves and whose monitor could not, and directories whose
    /// container is no more, and takes back addresses and names in networks. Passes over what somebody works on. The
    /// answer is the containers that are left, the newest first.
    pub fn sweep(&self) -> Result<Vec<Container>, EngineError> {
        let (mut containers, mut known) = (Vec::new(), HashSet::new());
        for container in self.containers()? {
            known.insert(OsString::from(container.id.to_string()));
            if self.sweep_container(&container)? {
                containers.push(container);
            }
        }
        // First, for it may know of a directory that looks like an orphan.
        self.sweep_trash()?;
        for entry in fs::read_dir(self.root.join("containers"))? {
            let entry = entry?;
            let path = entry.path();
            match path.extension().is_some_and(|extension| extension == "removed") {
                true => crate::remove_tree(&path)?,
                false if known.contains(&entry.file_name()) => {}
                false => self.remove_orphan(&path)?,
            }
        }
        self.sweep_volumes()?;
        self.images().clear_up()?;
        self.state.networks()?.iter().try_for_each(|network| self.release_stale(&network.id))?;
        Ok(containers)
    }

    /// Whether the container is left.
    fn sweep_container(&self, container: &Container) -> Result<bool, EngineError> {
        self.revive(container)?;
        if !container.config.auto_remove {
            return Ok(true);
        }
        let Some(lock) = self.left_behind(container)? else { return Ok(true) };
        self.remove_locked(container, lock, Volumes::RemoveAnonymous)?;
        Ok(false)
    }

    /// Removes a container's directory if no container has it and nobody is just making or removing it.
    fn remove_orphan(&self, directory: &Path) -> Result<(), EngineError> {
        let lock = match monitor::Lock::try_take(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            lock => lock?,
        };
        let id = directory.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        // Asked with the lock held: who makes a container holds it until the container is known.
        let known = id.map(|id| self.state.container_by_id(&id)).transpose()?.flatten().is_some();
        if lock.is_none() || known {
            return Ok(());
        }
        Ok(crate::remove_tree(directory)?)
    }

    /// The lock of a container that has ended or should have been started, and is in nobody's hands.
    fn left_behind(&self, container: &Container) -> Result<Option<monitor::Lock>, EngineError> {
        match container.status() {
            Ok(status) if status.is_running() => Ok(None),
            Ok(Status::Created) if !container.config.start_at_once => Ok(None),
            Ok(_) => match container.try_lock() {
                // It may be gone since it was listed, or somebody else may be at it.
                Err(EngineError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other,
            },
            Err(error) => Err(error),
        }
    }
}
