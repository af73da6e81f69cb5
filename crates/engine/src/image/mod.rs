//! Images by name: finding, naming, listing, removing. What they consist of is the store's matter.

mod archive;
pub(crate) mod filter;
mod history;
mod kept;
mod prune;
mod remove;
mod tree;
mod verify;

use std::collections::BTreeMap;

use image::store::{Lease, Live};
use types::{Digest, Platform, Reference};

pub(crate) use self::remove::Going;
pub use self::{
    archive::Loaded,
    filter::ImageFilters,
    history::HistoryEntry,
    prune::{Pruned, Unneeded},
    remove::Removed,
    tree::{LayerSummary, Layered, Node, shared_sizes, trees},
};
use crate::{
    Engine,
    container::MountSource,
    error::EngineError,
    plan::Gone,
    state::{DigestRow, Durability, ImageRow},
};

/// An image as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    pub id: Digest,
    pub manifest: Digest,
    pub created: jiff::Timestamp,
    pub size: u64,
    /// Empty for an image that lost its last name.
    pub names: Vec<Reference>,
    /// By which digests registries know it, as names of the form `repository@sha256:…`.
    pub digests: Vec<Reference>,
}

impl Engine {
    /// The image with this name, id, or first digits of an id.
    pub fn image(&self, reference: &str) -> Result<ImageRow, EngineError> {
        self.image_and_name(reference).map(|(row, _)| row)
    }

    /// [`Engine::image`], which must be for `platform` if one is given.
    pub fn image_for(&self, reference: &str, platform: Option<&Platform>) -> Result<ImageRow, EngineError> {
        if platform.is_none() {
            return self.image(reference);
        }
        let (row, image) = self.stored_image(reference)?;
        check_platform(reference, &image, platform)?;
        Ok(row)
    }

    /// [`Engine::image`] and what is stored of it.
    pub fn stored_image(&self, reference: &str) -> Result<(ImageRow, image::Image), EngineError> {
        loop {
            let row = self.image(reference)?;
            // One that is removed meanwhile is looked up again: its name may mean another by now.
            if let Some(image) =
                self.unless_removed(&row.manifest, || Ok(self.images.image(&row.manifest)?))?
            {
                return Ok((row, image));
            }
        }
    }

    /// What `read` finds of the image of `manifest`; `None` if it fails because somebody removed the image meanwhile.
    pub(crate) fn unless_removed<T>(
        &self,
        manifest: &Digest,
        read: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        match read() {
            Ok(found) => Ok(Some(found)),
            Err(_) if self.state.image_by_manifest(manifest)?.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The image `reference` means, and the name if it is by a name that it means it.
    pub(crate) fn image_and_name(
        &self,
        reference: &str,
    ) -> Result<(ImageRow, Option<Reference>), EngineError> {
        let name = reference.parse::<Reference>();
        if let Ok(name) = &name
            && let Some(found) = self.image_named(name)?
        {
            return Ok(found);
        }
        let digits = reference.strip_prefix("sha256:").unwrap_or(reference);
        let is_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut rows =
            if is_hex && !digits.is_empty() { self.state.images_by_prefix(digits)? } else { Vec::new() };
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok((row, None)),
            (Some(_), false) => Err(EngineError::AmbiguousId(reference.to_owned())),
            (None, _) => match name {
                Ok(name) => Err(EngineError::NoImage(name.familiar())),
                Err(invalid) => Err(EngineError::Invalid(invalid.to_string())),
            },
        }
    }

    /// The image that `name` stands for, and the very name that does. Where there is a digest, a tag beside it says
    /// nothing.
    fn image_named(&self, name: &Reference) -> Result<Option<(ImageRow, Option<Reference>)>, EngineError> {
        let Some(digest) = name.digest() else {
            return Ok(self.state.image_by_name(name)?.map(|row| (row, Some(name.clone()))));
        };
        if let Some(row) = self.state.image_by_digest(name, &digest)? {
            return Ok(Some((row, Some(without_tag(name, &digest)))));
        }
        // The registry may have been asked for an index that this manifest is in.
        let Some(row) = self.state.image_by_manifest(&digest)? else { return Ok(None) };
        let mut known = self.state.names_of(&row.manifest)?.into_iter();
        Ok(known.any(|known| same_repository(&known, name)).then_some((row, None)))
    }

    /// Records an image that `lease` holds, under `names`. What the names stood for before keeps existing.
    pub fn record_image(
        &self,
        lease: &Lease,
        image: &image::store::Image,
        names: &[Reference],
    ) -> Result<(), EngineError> {
        let created = image.config.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        self.record_image_of(lease, image, names, created.map_or(0, |at| at.as_nanosecond() as i64))
    }

    /// [`Engine::record_image`] for one that was built here, just now. What it says itself of when it was made is the
    /// same wherever it is built; those who list images or prune old ones want to know when this was.
    pub fn record_built_image(
        &self,
        lease: &Lease,
        image: &image::store::Image,
        names: &[Reference],
    ) -> Result<(), EngineError> {
        self.record_image_of(lease, image, names, crate::now())?;
        let (id, labels) = (image.id.to_string(), &image.config.config.labels);
        self.note_image(labels, "create", &id, &id);
        names.iter().for_each(|name| self.note_image(labels, "tag", &id, &name.familiar()));
        Ok(())
    }

    fn record_image_of(
        &self,
        lease: &Lease,
        image: &image::store::Image,
        names: &[Reference],
        created: i64,
    ) -> Result<(), EngineError> {
        let size = lease.store().size(image)?;
        let row = ImageRow { manifest: image.manifest, id: image.id, created, size };
        self.state.write(Durability::Synced, |state| {
            state.insert_image(&row)?;
            names.iter().try_for_each(|name| state.set_tag(name, &row.manifest))
        })?;
        self.write_index()
    }

    /// Remembers that the registry of `repository` knows the image of `manifest` there by `digest`: that of the manifest,
    /// of an index that it is in, or of the manifest of its layers compressed.
    pub fn record_digest(
        &self,
        repository: &Reference,
        digest: &Digest,
        manifest: &Digest,
    ) -> Result<(), EngineError> {
        self.state.write(Durability::Synced, |state| match state.image_by_manifest(manifest)? {
            Some(_) => state.set_digest(repository, digest, manifest),
            // Removed again already.
            None => Ok(()),
        })
    }

    /// All that the image of `manifest` is called: its tags, then the digests by which registries know it.
    pub fn names_of(&self, manifest: &Digest) -> Result<Vec<Reference>, EngineError> {
        self.state.names_of(manifest)
    }

    /// By which digests registries know the image of `manifest`, as names of the form `repository@sha256:…`.
    pub fn digests_of(&self, manifest: &Digest) -> Result<Vec<Reference>, EngineError> {
        Ok(self.state.digests_of(manifest)?.iter().map(DigestRow::name).collect())
    }

    /// Gives an image one more name.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), EngineError> {
        if target.digest().is_some() {
            return Err(EngineError::Invalid("refusing to create a tag with a digest reference".into()));
        }
        let row = self.state.write(Durability::Synced, |state| {
            // Looked up inside, so that nobody removes it meanwhile.
            let row = self.image(source)?;
            state.set_tag(target, &row.manifest)?;
            Ok(row)
        })?;
        self.note_image(&self.labels_of(&row.manifest), "tag", &row.id.to_string(), &target.familiar());
        self.write_index()
    }

    /// The labels of an image; of one that cannot be read, none.
    pub(crate) fn labels_of(&self, manifest: &Digest) -> BTreeMap<String, String> {
        self.images.image(manifest).map(|image| image.config.config.labels).unwrap_or_default()
    }

    /// All images with their names, the newest first.
    pub fn list_images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let mut names: BTreeMap<Digest, Vec<Reference>> = BTreeMap::new();
        for tag in self.state.tags()? {
            names.entry(tag.manifest).or_default().push(tag.name);
        }
        let mut digests: BTreeMap<Digest, Vec<Reference>> = BTreeMap::new();
        for digest in self.state.digests()? {
            digests.entry(digest.image).or_default().push(digest.name());
        }
        let rows = self.state.images()?.into_iter();
        Ok(rows
            .map(|row| ImageSummary {
                id: row.id,
                manifest: row.manifest,
                created: crate::timestamp(row.created),
                size: row.size,
                names: names.remove(&row.manifest).unwrap_or_default(),
                digests: digests.remove(&row.manifest).unwrap_or_default(),
            })
            .collect())
    }

    /// Every image that is recorded or that a container is made from, and what registries know these by.
    pub(crate) fn live_images(&self) -> Result<Live, EngineError> {
        self.live_images_but(&Gone::default())
    }

    /// The same as if what is `gone` were not there.
    pub(crate) fn live_images_but(&self, gone: &Gone) -> Result<Live, EngineError> {
        let mut live = Live::default();
        let images = self.state.images()?.into_iter().map(|row| row.manifest);
        live.manifests.extend(images.filter(|manifest| !gone.images.contains(manifest)));
        for container in self.state.containers()? {
            if gone.containers.contains(&container.id) {
                continue;
            }
            live.manifests.push(container.image);
            let mounted = container.config.mounts.into_iter().filter_map(|mount| match mount.source {
                MountSource::Image { manifest, .. } => manifest,
                _ => None,
            });
            live.manifests.extend(mounted);
        }
        for row in self.state.digests()? {
            if !gone.names.is_empty() && gone.names.contains(&row.name()) {
                continue;
            }
            let digest = row.digest;
            match self.images.manifest(&digest) {
                // Its blobs are what was sent, layers compressed: sent again, they need not be made again.
                Ok(_) => live.manifests.push(digest),
                Err(_) => live.blobs.push(digest),
            }
        }
        Ok(live)
    }

    /// Brings the layout's index.json, which other tools read, up to date. An image that was built here is found by
    /// the manifest that was pushed.
    pub(crate) fn write_index(&self) -> Result<(), EngineError> {
        let digests = self.state.digests()?;
        let names = self.state.tags()?.into_iter().flat_map(|tag| {
            let pushed = digests.iter().filter(move |row| row.image == tag.manifest).map(|row| row.digest);
            [tag.manifest].into_iter().chain(pushed).map(move |manifest| (tag.name.clone(), manifest))
        });
        Ok(self.images.write_index(names)?)
    }
}

/// Fails if `image`, which goes by `name`, is not for the platform that is wanted.
fn check_platform(name: &str, image: &image::Image, platform: Option<&Platform>) -> Result<(), EngineError> {
    let Some(wanted) = platform else { return Ok(()) };
    let has = image.config.platform();
    let is_variant = wanted.variant.is_none() || wanted.variant == has.variant;
    if (&has.os, &has.architecture) == (&wanted.os, &wanted.architecture) && is_variant {
        return Ok(());
    }
    let (name, wanted) = (name.to_owned(), Box::new(wanted.clone()));
    Err(EngineError::OtherPlatform { name, has: Box::new(has), wanted })
}

/// Whether two names are of the same repository.
fn same_repository(one: &Reference, other: &Reference) -> bool {
    (one.registry(), one.path()) == (other.registry(), other.path())
}

fn without_tag(name: &Reference, digest: &Digest) -> Reference {
    let text = format!("{}/{}@{digest}", name.registry(), name.path());
    text.parse().expect("a valid name stays valid without its tag")
}

#[cfg(test)]
mod tests;
