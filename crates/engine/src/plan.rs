//! Dry runs: what removing would take away and what that would free, without removing anything.
//!
//! A plan takes what it has found to go for gone, as a command that removes several things finds those before it gone: an
//! image that two containers are made from is free when both are, and what two images share counts with the second.

use std::collections::HashSet;

use image::Live;
use types::{ContainerId, Digest, NetworkId, Reference};

use crate::{
    Engine, Status,
    container::{Container, Force, MountSource, PruneFilters, Volumes, uses_volume},
    error::EngineError,
    image::{Going, ImageFilters, ImageSummary, Unneeded},
    network::{NetworkFilters, Predefined},
    trash::TrashItem,
    usage::Measure,
    volume::{self, VolumeFilters},
};

/// What is found to go, in the order in which it would.
#[derive(Debug)]
pub struct Plan<'a> {
    engine: &'a Engine,
    items: Vec<TrashItem>,
    gone: Gone,
    /// What is counted once is not counted again.
    measure: Measure,
}

/// What is not to be reckoned with any more.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub containers: HashSet<ContainerId>,
    pub networks: HashSet<NetworkId>,
    pub volumes: HashSet<String>,
    /// Tags and digests of images.
    pub names: HashSet<Reference>,
    /// By their manifests.
    pub images: HashSet<Digest>,
}

impl Engine {
    /// A plan in which nothing goes yet.
    pub fn plan(&self) -> Plan<'_> {
        Plan { engine: self, items: Vec::new(), gone: Gone::default(), measure: Measure::default() }
    }
}

impl Plan<'_> {
    /// All that goes so far.
    pub fn items(&self) -> &[TrashItem] {
        &self.items
    }

    /// [`Engine::remove`].
    pub fn remove_container(
        &mut self,
        reference: &str,
        force: Force,
        volumes: Volumes,
    ) -> Result<(), EngineError> {
        let container = self.engine.container(reference)?;
        if self.gone.containers.contains(&container.id) {
            return Err(EngineError::NoContainer(reference.to_owned()));
        }
        match (container.status()?, force) {
            (Status::Running(_), Force::No) => return Err(EngineError::Running(container.name)),
            (Status::Restarting(_), Force::No) => return Err(EngineError::RestartingStill(container.name)),
            (Status::Paused(_), Force::No) => return Err(EngineError::Paused(container.name)),
            _ => {}
        }
        self.add_container(&container)?;
        for mount in container.config.mounts.iter().filter(|_| volumes == Volumes::RemoveAnonymous) {
            let MountSource::Volume(name) = &mount.source else { continue };
            let is_anonymous =
                !mount.named && self.engine.state.volume(name)?.is_some_and(|volume| volume.anonymous);
            if is_anonymous && self.volume_users(name)?.is_empty() {
                self.add_volume(name)?;
            }
        }
        Ok(())
    }

    /// [`Engine::remove_network`].
    pub fn remove_network(&mut self, reference: &str) -> Result<(), EngineError> {
        let template = match Predefined::find(reference) {
            None => self.engine.network_template(reference)?,
            Some(_) => None,
        };
        let (id, name) = match template {
            Some(template) => {
                self.engine.check_template_unused(&template)?;
                (template.id, template.name)
            }
            None => {
                let network = self.engine.removable_network(reference)?;
                (network.id, network.name)
            }
        };
        if !self.gone.networks.insert(id) {
            return Err(EngineError::NoNetwork(reference.to_owned()));
        }
        self.items.push(TrashItem::planned("network", name.to_string(), 0));
        Ok(())
    }

    /// [`Engine::remove_volume`].
    pub fn remove_volume(&mut self, name: &str) -> Result<(), EngineError> {
        let volume = self.engine.volume(name)?;
        if self.gone.volumes.contains(&volume.name) {
            return Err(EngineError::NoVolume(name.to_owned()));
        }
        match self.volume_users(name)? {
            users if users.is_empty() => self.add_volume(&volume.name),
            users => Err(EngineError::VolumeInUse { name: name.to_owned(), users }),
        }
    }

    /// [`Engine::remove_image`].
    pub fn remove_image(&mut self, reference: &str, force: bool) -> Result<(), EngineError> {
        let (row, name) = self.engine.image_and_name(reference)?;
        let is_gone = name.as_ref().is_some_and(|name| self.gone.names.contains(name));
        if is_gone || self.gone.images.contains(&row.manifest) {
            let reference = name.map_or_else(|| reference.to_owned(), |name| name.familiar());
            return Err(EngineError::NoImage(reference));
        }
        let mut known = self.engine.names_of(&row.manifest)?;
        known.retain(|name| !self.gone.names.contains(name));
        let Going { names, image } = self.engine.going(&row, reference, name, known, force)?;
        let needed = self.needed()?;
        for name in names {
            self.items.push(TrashItem::planned("image", name.familiar(), 0));
            self.gone.names.insert(name);
        }
        if image {
            self.add_image(row.id.to_string(), row.manifest, &needed)?;
        }
        Ok(())
    }

    /// [`Engine::prune_containers`].
    pub fn prune_containers(&mut self, filters: &PruneFilters) -> Result<(), EngineError> {
        for container in self.containers()?.into_iter().filter(|container| filters.lets(container)) {
            if !container.status()?.is_running() {
                self.add_container(&container)?;
            }
        }
        Ok(())
    }

    /// [`Engine::prune_networks`].
    pub fn prune_networks(&mut self, filters: &NetworkFilters) -> Result<(), EngineError> {
        for network in self.engine.unneeded_networks(filters)? {
            self.remove_network(&network.id)?;
        }
        Ok(())
    }

    /// [`Engine::prune_volumes`].
    pub fn prune_volumes(
        &mut self,
        volumes: volume::Volumes,
        filters: &VolumeFilters,
    ) -> Result<(), EngineError> {
        for volume in self.engine.unneeded_volumes(volumes, filters, &self.containers()?)? {
            if !self.gone.volumes.contains(&volume.name) {
                self.add_volume(&volume.name)?;
            }
        }
        Ok(())
    }

    /// [`Engine::prune_images`].
    pub fn prune_images(&mut self, unneeded: Unneeded, filters: &ImageFilters) -> Result<(), EngineError> {
        let mut needed = self.needed()?;
        for image in self.engine.unneeded_images(unneeded, filters, &self.containers()?)? {
            let ImageSummary { id, manifest, names, digests, .. } = image;
            let name = names.first().map_or_else(|| id.to_string(), Reference::familiar);
            self.gone.names.extend([names, digests].concat());
            needed = self.add_image(name, manifest, &needed)?;
        }
        Ok(())
    }

    /// Adds what somebody else knows how to remove, such as the cache of builds.
    pub fn add(&mut self, kind: &'static str, name: String, bytes: u64) {
        self.items.push(TrashItem::planned(kind, name, bytes));
    }

    /// What images and containers still need of the store; see [`Engine::needed_by_images`].
    pub fn needed_by_images(&self) -> Result<HashSet<Digest>, EngineError> {
        Ok(self.engine.images.needed(&self.live_images()?)?)
    }

    fn add_container(&mut self, container: &Container) -> Result<(), EngineError> {
        let bytes = self.measure.tree(&container.directory)?;
        self.items.push(TrashItem::planned("container", container.name.to_string(), bytes));
        self.gone.containers.insert(container.id);
        Ok(())
    }

    fn add_volume(&mut self, name: &str) -> Result<(), EngineError> {
        let bytes = self.measure.tree(&self.engine.volume_place(name))?;
        self.items.push(TrashItem::planned("volume", name.to_owned(), bytes));
        self.gone.volumes.insert(name.to_owned());
        Ok(())
    }

    /// Adds an image whose names are gone, with what nothing needs any more of what was `needed` before. Returns what still
    /// is.
    fn add_image(
        &mut self,
        name: String,
        manifest: Digest,
        needed: &HashSet<Digest>,
    ) -> Result<HashSet<Digest>, EngineError> {
        self.gone.images.insert(manifest);
        let left = self.needed()?;
        let mut bytes = 0;
        for digest in needed.difference(&left) {
            bytes += self.engine.images.space(digest)?;
        }
        self.items.push(TrashItem::planned("image", name, bytes));
        Ok(left)
    }

    /// What the store would have to keep, but for the trash.
    fn needed(&self) -> Result<HashSet<Digest>, EngineError> {
        Ok(self.engine.images.needed(&Live { layers: self.engine.kept()?, ..self.live_images()? })?)
    }

    fn live_images(&self) -> Result<Live, EngineError> {
        self.engine.live_images_but(&self.gone)
    }

    /// The containers that are left.
    fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let mut containers = self.engine.containers()?;
        containers.retain(|container| !self.gone.containers.contains(&container.id));
        Ok(containers)
    }

    fn volume_users(&self, name: &str) -> Result<Vec<ContainerId>, EngineError> {
        let users = self.containers()?.into_iter();
        let users = users.filter(|container| uses_volume(&container.config, name));
        Ok(users.map(|container| container.id).collect())
    }
}
