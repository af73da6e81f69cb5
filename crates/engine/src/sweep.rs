//! What interrupted commands left behind, put right by the next one that comes by.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs, io,
    path::Path,
};

use monitor::{Restart, Status};

use crate::{
    Engine,
    container::{Container, Volumes},
    error::EngineError,
    several::by_several,
};

/// A container, and what it was seen to do.
pub type Seen = (Container, Result<Status, EngineError>);

impl Engine {
    /// Starts containers again whose policy wants it, removes those that were to remove themselves and whose monitor could not, and directories whose
    /// container is no more, and takes back addresses and names in networks. Passes over what somebody works on. The
    /// answer is the containers that are left, the newest first.
    pub fn sweep(&self) -> Result<Vec<Seen>, EngineError> {
        let (mut left, mut known, mut members) = (Vec::new(), HashSet::new(), HashMap::new());
        let containers = self.containers()?;
        let seen = by_several(&containers, Container::status);
        for (container, status) in containers.into_iter().zip(seen) {
            known.insert(OsString::from(container.id.to_string()));
            if status.as_ref().is_ok_and(Status::is_running) {
                for membership in &container.config.network.memberships {
                    *members.entry(membership.network.clone()).or_default() += 1;
                }
            }
            if let Some(status) = self.sweep_container(&container, status)? {
                left.push((container, status));
            }
        }
        // First, for it may know of a directory that looks like an orphan.
        self.sweep_trash()?;
        for entry in fs::read_dir(self.root.join("containers"))? {
            let entry = entry?;
            if known.contains(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            match path.extension().is_some_and(|extension| extension == "removed") {
                true => crate::remove_tree(&path)?,
                false => self.remove_orphan(&path)?,
            }
        }
        self.sweep_networks()?;
        self.sweep_volumes()?;
        self.images().clear_up()?;
        for network in self.state.networks()? {
            let members = members.get(&network.name).copied().unwrap_or_default();
            let addresses = if network.config.ipv6.is_some() { 2 * members } else { members };
            self.release_stale(&network.id, addresses)?;
        }
        Ok(left)
    }

    /// What the container is doing that was seen with this status; `None` if it is gone.
    fn sweep_container(
        &self,
        container: &Container,
        mut status: Result<Status, EngineError>,
    ) -> Result<Option<Result<Status, EngineError>>, EngineError> {
        if status.as_ref().is_ok_and(Status::is_running) {
            return Ok(Some(status));
        }
        if status.as_ref().is_err_and(is_gone) {
            return Ok(None);
        }
        if container.config.restart != Restart::No {
            self.revive(container)?;
            status = container.status();
        }
        if !container.config.auto_remove {
            return Ok(Some(status));
        }
        let Some(lock) = self.left_behind(container)? else { return Ok(Some(status)) };
        self.remove_locked(container, lock, Volumes::RemoveAnonymous)?;
        Ok(None)
    }

    /// Removes a container's directory if no container has it and nobody is just making or removing it.
    fn remove_orphan(&self, directory: &Path) -> Result<(), EngineError> {
        // If its monitor was killed too, what that left is taken back first.
        let lock = match monitor::status(directory).and_then(|_| monitor::Lock::try_take(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            lock => lock?,
        };
        let id = directory.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        // Asked with the lock held: who makes a container holds it until the container is known.
        let known = id.map(|id| self.state.container_by_id(&id)).transpose()?.flatten().is_some();
        if lock.is_none() || known {
            return Ok(());
        }
        // As a whole and at once: who is just making it, and has no lock yet, makes it again then.
        let aside = directory.with_extension("removed");
        match fs::rename(directory, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        Ok(crate::remove_tree(&aside)?)
    }

    /// The lock of a container that has ended or should have been started, and is in nobody's hands.
    fn left_behind(&self, container: &Container) -> Result<Option<monitor::Lock>, EngineError> {
        match container.status() {
            Ok(status) if status.is_running() => Ok(None),
            Ok(Status::Created) if !container.config.start_at_once => Ok(None),
            Ok(_) => match container.try_lock() {
                // It may be gone since it was listed, or somebody else may be at it.
                Err(error) if is_gone(&error) => Ok(None),
                other => other,
            },
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether a file of a container was not there, which means that somebody has just removed the container.
fn is_gone(error: &EngineError) -> bool {
    matches!(error, EngineError::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
