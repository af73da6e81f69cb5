//! How much disk everything takes, and how much of it could be had back.
//!
//! All sizes are of disk space, in bytes, as `du` counts it: blocks, directories included, a file of several names once.
//! Those of the parts, and of the build cache, which builders know about, add up to what `du` says of the root, but for the
//! database and what dies with the boot.

mod images;
mod space;

use std::{fs, io, path::PathBuf};

pub use self::{images::ImageUsage, space::Measure};
use crate::{Engine, container::Container, error::EngineError, trash::TrashItem};

/// The disk space of everything below an engine's root but the build cache.
#[derive(Debug, Clone)]
pub struct Usage {
    pub images: Part<ImageUsage>,
    pub containers: Part<ContainerUsage>,
    pub volumes: Part<VolumeUsage>,
    /// What was removed and waits. Images there are counted among the images.
    pub trash: Part<TrashItem>,
}

/// The disk space of things of one kind.
#[derive(Debug, Clone)]
pub struct Part<T> {
    pub items: Vec<T>,
    /// Of all items, and of the directories they are in.
    pub size: u64,
    /// What removing everything that is not in use would give back.
    pub reclaimable: u64,
}

/// A container's files: what it wrote, its log, its configuration.
#[derive(Debug, Clone)]
pub struct ContainerUsage {
    pub container: Container,
    pub is_running: bool,
    /// How many volumes it uses.
    pub volumes: usize,
    pub size: u64,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUsage {
    pub name: String,
    /// How many containers use it.
    pub links: usize,
    pub size: u64,
}

impl Engine {
    /// Measures everything. Takes as long as `du` does, and counts what is removed meanwhile or not.
    pub fn usage(&self) -> Result<Usage, EngineError> {
        Ok(Usage {
            images: self.images_usage()?,
            containers: self.containers_usage()?,
            volumes: self.volumes_usage()?,
            trash: self.trash_usage()?,
        })
    }

    fn trash_usage(&self) -> Result<Part<TrashItem>, EngineError> {
        let size = Measure::default().tree(&self.root.join("trash"))?;
        Ok(Part { items: self.trash()?, size, reclaimable: size })
    }

    fn containers_usage(&self) -> Result<Part<ContainerUsage>, EngineError> {
        let mut measure = Measure::default();
        let mut items = Vec::new();
        for container in self.containers()? {
            let status = match container.status() {
                // It was removed after it had been listed.
                Err(EngineError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                status => status?,
            };
            items.push(ContainerUsage {
                is_running: status.is_running(),
                volumes: container.config.mounts.iter().filter(|mount| mount.is_volume()).count(),
                size: measure.tree(&container.directory)?,
                container,
            });
        }
        let counted: u64 = items.iter().map(|item| item.size).sum();
        let reclaimable = items.iter().filter(|item| !item.is_running).map(|item| item.size).sum();
        let others =
            measure.tree(&self.root.join("containers"))? + measure.tree(&self.root.join("mount-points"))?;
        Ok(Part { items, size: counted + others, reclaimable })
    }

    fn volumes_usage(&self) -> Result<Part<VolumeUsage>, EngineError> {
        let mut measure = Measure::default();
        let containers = self.containers()?;
        let mut items = Vec::new();
        for (name, path) in self.entries("volumes")? {
            let links = containers
                .iter()
                .filter(|container| crate::container::uses_volume(&container.config, &name))
                .count();
            items.push(VolumeUsage { links, size: measure.tree(&path)?, name });
        }
        let counted: u64 = items.iter().map(|item| item.size).sum();
        let reclaimable = items.iter().filter(|item| item.links == 0).map(|item| item.size).sum();
        Ok(Part { items, size: counted + measure.tree(&self.root.join("volumes"))?, reclaimable })
    }

    /// What is in a directory below the root, in order; nothing, if there is no such directory.
    fn entries(&self, directory: &str) -> Result<Vec<(String, PathBuf)>, EngineError> {
        let path = self.root.join(directory);
        let read = || -> io::Result<Vec<(String, PathBuf)>> {
            let mut entries = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // What is on its way in or out has no name yet, or none any more.
                if !name.starts_with('.') {
                    entries.push((name, entry.path()));
                }
            }
            entries.sort();
            Ok(entries)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|source| EngineError::File { path, source }),
        }
    }
}
