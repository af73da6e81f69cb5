//! Which volumes are meant: the conditions of `volume ls --filter` and `volume prune --filter`.

use super::Volume;
use crate::{
    Engine,
    error::EngineError,
    image::filter::{Label, boolean, invalid},
};

/// Conditions on volumes. Labels are all to be met, of names and drivers one is enough.
#[derive(Debug, Clone, Default)]
pub struct VolumeFilters {
    /// Whether no container is to use the volume, or some.
    dangling: Option<bool>,
    drivers: Vec<String>,
    labels: Vec<Label>,
    names: Vec<String>,
    /// Whether pruning is to take named volumes too.
    pub all: Option<bool>,
}

/// Which volumes pruning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    Anonymous,
    All,
}

impl VolumeFilters {
    pub const OF_LISTINGS: &'static [&'static str] = &["dangling", "driver", "label", "name"];
    pub const OF_PRUNING: &'static [&'static str] = &["label", "label!", "all"];

    /// Understands pairs of a kind, which must be one of `kinds`, and a value.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        kinds: &[&str],
    ) -> Result<VolumeFilters, EngineError> {
        let mut filters = VolumeFilters::default();
        for (kind, value) in pairs {
            match kind {
                _ if !kinds.contains(&kind) => return Err(invalid(kind)),
                "dangling" => filters.dangling = Some(boolean(kind, value)?),
                "driver" => filters.drivers.push(value.to_owned()),
                "label" => filters.labels.push(Label::new(value, true)),
                "label!" => filters.labels.push(Label::new(value, false)),
                "name" => filters.names.push(value.to_owned()),
                "all" => filters.all = Some(boolean(kind, value)?),
                _ => return Err(invalid(kind)),
            }
        }
        Ok(filters)
    }

    fn selects(&self, volume: &Volume) -> bool {
        (self.names.is_empty() || self.names.iter().any(|part| volume.name.contains(part.as_str())))
            && (self.drivers.is_empty() || self.drivers.iter().any(|driver| driver == "local"))
            && self.labels.iter().all(|label| label.is_met(|key| volume.labels.get(key)))
    }
}

impl Engine {
    /// The volumes that are meant, by name.
    pub fn select_volumes(&self, filters: &VolumeFilters) -> Result<Vec<Volume>, EngineError> {
        let mut volumes = self.volumes()?;
        volumes.retain(|volume| filters.selects(volume));
        if let Some(dangling) = filters.dangling {
            let containers = self.containers()?;
            volumes.retain(|volume| {
                let is_used =
                    containers.iter().any(|user| crate::container::uses_volume(&user.config, &volume.name));
                is_used != dangling
            });
        }
        Ok(volumes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn volumes_are_selected_by_parts_of_names_and_by_labels() {
        let volume = Volume {
            name: "shop-data".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            anonymous: false,
            labels: [("tier".to_owned(), "db".to_owned())].into(),
            options: Default::default(),
            directory: PathBuf::new(),
        };
        for (conditions, expected) in [
            (&[("name", "shop")][..], true),
            (&[("name", "web"), ("name", "data")], true),
            (&[("name", "web")], false),
            (&[("label", "tier")], true),
            (&[("label", "tier=db"), ("name", "shop")], true),
            (&[("label", "tier=web")], false),
            (&[("driver", "local")], true),
            (&[("driver", "nfs")], false),
        ] {
            let filters = VolumeFilters::parse(conditions.iter().copied(), VolumeFilters::OF_LISTINGS);
            assert_eq!(filters.unwrap().selects(&volume), expected, "{conditions:?}");
        }
        let refused = |kind, value| {
            VolumeFilters::parse([(kind, value)], VolumeFilters::OF_LISTINGS).unwrap_err().to_string()
        };
        assert_eq!(refused("size", "1"), "invalid filter 'size'");
        assert_eq!(refused("dangling", "maybe"), "invalid filter 'dangling=[maybe]'");
    }
}
