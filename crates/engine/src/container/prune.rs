//! Removing all containers that do not run.

use jiff::Timestamp;
use types::ContainerId;

use super::{
    lifecycle::{Force, Volumes},
    status::Container,
};
use crate::{Engine, error::EngineError, moment, usage::Measure};

/// Conditions on containers, all to be met.
#[derive(Debug, Clone, Default)]
pub struct PruneFilters {
    until: Option<Timestamp>,
    /// Key, value if that matters, and whether the container is to have the label.
    labels: Vec<(String, Option<String>, bool)>,
}

/// What pruning took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedContainers {
    pub removed: Vec<ContainerId>,
    /// The disk space it gave back.
    pub bytes: u64,
}

impl PruneFilters {
    /// Understands pairs of a kind and a value. Times that are a while ago are so before `now`.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
    ) -> Result<PruneFilters, EngineError> {
        let mut filters = PruneFilters::default();
        for (kind, value) in pairs {
            match kind {
                "until" => {
                    let until = moment::parse(value, now)?;
                    filters.until = Some(filters.until.map_or(until, |other| other.min(until)));
                }
                "label" | "label!" => {
                    let (key, value) = match value.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (value, None),
                    };
                    filters.labels.push((key.to_owned(), value, kind == "label"));
                }
                _ => return Err(EngineError::Invalid(format!("invalid filter '{kind}'"))),
            }
        }
        Ok(filters)
    }

    /// Containers are to be made before this time.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    pub(crate) fn lets(&self, container: &Container) -> bool {
        let has = |key: &str, wanted: Option<&String>| {
            let mut labels = container.config.labels.iter();
            labels.any(|(name, value)| name == key && wanted.is_none_or(|wanted| wanted == value))
        };
        self.until.is_none_or(|until| container.created < until)
            && self.labels.iter().all(|(key, value, wanted)| has(key, value.as_ref()) == *wanted)
    }
}

impl Engine {
    /// Removes the containers that are meant and do not run.
    pub fn prune_containers(&self, filters: &PruneFilters) -> Result<PrunedContainers, EngineError> {
        let mut pruned = PrunedContainers::default();
        for container in self.containers()?.into_iter().filter(|container| filters.lets(container)) {
            if container.status()?.is_running() {
                continue;
            }
            let bytes = Measure::default().tree(&container.directory)?;
            match self.remove(&container, Force::No, Volumes::Keep) {
                // Somebody has started it meanwhile.
                Err(EngineError::Running(_) | EngineError::Paused(_) | EngineError::RestartingStill(_)) => {}
                removed => {
                    removed?;
                    pruned.removed.push(container.id);
                    pruned.bytes += bytes;
                }
            }
        }
        self.note_pruned("container", pruned.bytes);
        Ok(pruned)
    }
}
