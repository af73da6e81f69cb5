//! Finding containers, and what they are doing.

use std::{
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use monitor::{Lock, Status, health::Health};
use runtime::cgroup::Cgroup;
use types::{ContainerId, Digest, Name};

use super::config::Config;
use crate::{Engine, error::EngineError, state::ContainerRow};

/// A container as it was created, and where its files are.
#[derive(Debug, Clone)]
pub struct Container {
    pub id: ContainerId,
    pub name: Name,
    pub created: Timestamp,
    /// The manifest of its image.
    pub manifest: Digest,
    pub config: Config,
    pub directory: PathBuf,
}

impl Container {
    fn new(root: &Path, row: ContainerRow) -> Container {
        Container {
            directory: root.join("containers").join(row.id.to_string()),
            id: row.id,
            name: row.name,
            created: crate::timestamp(row.created),
            manifest: row.image,
            config: row.config,
        }
    }

    /// What the container is doing now; see [`monitor::status`].
    pub fn status(&self) -> Result<Status, EngineError> {
        monitor::status(&self.directory).map_err(|error| self.file_error(error))
    }

    /// What is known of its health; `None` if nobody looks after that.
    pub fn health(&self) -> Result<Option<Health>, EngineError> {
        match &self.config.health {
            Some(check) if check.arguments(None).is_some() => {
                Health::read(&self.directory).map_err(|error| self.file_error(error))
            }
            _ => Ok(None),
        }
    }

    /// The cgroup of its processes, while it runs.
    pub(crate) fn cgroup(&self) -> Result<Option<Cgroup>, EngineError> {
        monitor::cgroup(&self.directory).map_err(|error| self.file_error(error))
    }

    /// Takes the right to decide about the container's process, if nobody has it.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>, EngineError> {
        Lock::try_take(&self.directory).map_err(|error| self.file_error(error))
    }

    /// Takes the right to decide about the container's process; `None` if that runs.
    ///
    /// Waits for those who are starting the container, removing it, or just looking: none of them takes long.
    pub(crate) fn lock_unless_running(&self) -> Result<Option<Lock>, EngineError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_lock()? {
                // The monitor may have been killed since the last look: what it left is taken back first.
                Some(lock) => {
                    let taken_back = monitor::take_back(&self.directory, &lock);
                    return taken_back.map(|_| Some(lock)).map_err(|error| self.file_error(error));
                }
                None if !self.status()?.is_running() && Instant::now() < deadline => thread::sleep(PAUSE),
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn file_error(&self, source: io::Error) -> EngineError {
        EngineError::File { path: self.directory.clone(), source }
    }
}

impl Engine {
    /// The container with this name, id, or first digits of an id. One that was lost and should run does so again.
    pub fn container(&self, reference: &str) -> Result<Container, EngineError> {
        let container = self.recorded_container(reference)?;
        self.revive(&container)?;
        Ok(container)
    }

    fn recorded_container(&self, reference: &str) -> Result<Container, EngineError> {
        let missing = || EngineError::NoContainer(reference.to_owned());
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Ok(id) = reference.parse::<ContainerId>() {
            return self.state.container_by_id(&id)?.map(|row| self.of_row(row)).ok_or_else(missing);
        }
        if let Some(row) = self.state.container_by_name(name)? {
            return Ok(self.of_row(row));
        }
        if reference.is_empty() || !reference.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(missing());
        }
        let mut rows = self.state.containers_by_prefix(reference)?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(self.of_row(row)),
            (Some(_), false) => Err(EngineError::AmbiguousId(reference.to_owned())),
            (None, _) => Err(missing()),
        }
    }

    /// All containers, the newest first.
    pub fn containers(&self) -> Result<Vec<Container>, EngineError> {
        Ok(self.state.containers()?.into_iter().map(|row| self.of_row(row)).collect())
    }

    /// The containers that are made from the image with this id. Not by its manifest: that changes when the same image comes
    /// with layers compressed otherwise.
    pub fn containers_of(&self, image: &Digest) -> Result<Vec<Container>, EngineError> {
        Ok(self.containers()?.into_iter().filter(|container| container.config.image_id == *image).collect())
    }

    pub(crate) fn of_row(&self, row: ContainerRow) -> Container {
        Container::new(&self.root, row)
    }
}

/// How long a container may take to start before it counts as running.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what another process is about to change.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
