//! Volumes: directories that outlive the containers that use them.
//!
//! `<root>/volumes/<name>/_data` is what a container sees. One that nobody named has 64 hex digits for a name and
//! goes with its container.

use std::{fs, path::PathBuf};

use types::Name;

use crate::{
    Engine,
    container::{Container, Mount, MountSource},
    error::EngineError,
    names,
    state::{Durability, VolumeRow},
};

/// Adds a volume for each directory that the image declares to be one and that nothing is mounted on, and gives
/// names to the volumes that have none. Returns the mounts, and the volumes that are to be made for them.
pub(crate) fn complete<'a>(
    mut mounts: Vec<Mount>,
    declared: impl Iterator<Item = &'a String>,
) -> Result<(Vec<Mount>, Vec<VolumeRow>), EngineError> {
    for destination in declared {
        if !mounts.iter().any(|mount| same_place(&mount.destination, destination)) {
            mounts.push(Mount {
                source: MountSource::Volume(String::new()),
                destination: destination.clone(),
                read_only: false,
                propagation: String::new(),
                copy_up: true,
            });
        }
    }
    let mut rows = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        if !mount.destination.starts_with('/') {
            return Err(EngineError::RelativeMount(mount.destination.clone()));
        }
        if mounts[..index].iter().any(|other| same_place(&other.destination, &mount.destination)) {
            return Err(EngineError::Invalid(format!("Duplicate mount point: {}", mount.destination)));
        }
    }
    for mount in &mut mounts {
        if let MountSource::Volume(name) = &mut mount.source {
            let anonymous = name.is_empty();
            if anonymous {
                *name = names::random_id::<()>()?.to_string();
            } else {
                name.parse::<Name>()?;
            }
            rows.push(VolumeRow { name: name.clone(), created: crate::now(), anonymous });
        }
    }
    // Parents before what lies in them.
    mounts.sort_by(|a, b| a.destination.trim_end_matches('/').cmp(b.destination.trim_end_matches('/')));
    Ok((mounts, rows))
}

fn same_place(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

impl Engine {
    /// The directory of a volume, made if this is its first use.
    pub(crate) fn volume_directory(&self, name: &str) -> Result<PathBuf, EngineError> {
        let path = self.root.join("volumes").join(name).join("_data");
        fs::create_dir_all(&path).map_err(|source| EngineError::File { path: path.clone(), source })?;
        Ok(path)
    }

    /// Removes the volumes of `container` that were made for it alone.
    pub(crate) fn remove_anonymous_volumes(&self, container: &Container) -> Result<(), EngineError> {
        for mount in &container.config.mounts {
            let MountSource::Volume(name) = &mount.source else { continue };
            let is_anonymous = self.state.volume(name)?.is_some_and(|volume| volume.anonymous);
            let used = || -> Result<bool, EngineError> {
                let others = self.containers()?.into_iter().filter(|other| other.id != container.id);
                Ok(others.into_iter().any(|other| crate::container::uses_volume(&other.config, name)))
            };
            if is_anonymous && !used()? {
                crate::remove_tree(&self.root.join("volumes").join(name))?;
                self.state.write(Durability::Lazy, |state| state.delete_volume(name))?;
            }
        }
        Ok(())
    }
}
