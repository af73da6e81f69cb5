//! Images by name: finding, naming, listing, removing. What they consist of is the store's matter.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use image::{
    archive::{self, Loaded},
    config::Configuration,
    store::{Lease, Live},
};
use monitor::Status;
use types::{Digest, Reference};

use crate::{
    Engine,
    error::EngineError,
    state::{Durability, ImageRow, State},
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
}

/// One thing that removing an image took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    Name(Reference),
    /// The image itself, by its id.
    Image(Digest),
    /// A layer nothing else needs, by its diff id.
    Layer(Digest),
}

impl Engine {
    /// The image with this name, id, or first digits of an id.
    pub fn image(&self, reference: &str) -> Result<ImageRow, EngineError> {
        self.image_and_name(reference).map(|(row, _)| row)
    }

    /// The image `reference` means, and the name if it is by a name that it means it.
    fn image_and_name(&self, reference: &str) -> Result<(ImageRow, Option<Reference>), EngineError> {
        let name = reference.parse::<Reference>();
        if let Ok(name) = &name
            && let Some(row) = self.state.image_by_name(name)?
        {
            return Ok((row, Some(name.clone())));
        }
        let digits = reference.strip_prefix("sha256:").unwrap_or(reference);
        let is_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut rows =
            if is_hex && !digits.is_empty() { self.state.images_by_prefix(digits)? } else { Vec::new() };
        rows.dedup_by_key(|row| row.id);
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok((row, None)),
            (Some(_), false) => Err(EngineError::AmbiguousId(reference.to_owned())),
            (None, _) => match name {
                Ok(name) => Err(EngineError::NoImage(name.familiar())),
                Err(invalid) => Err(EngineError::Invalid(invalid.to_string())),
            },
        }
    }

    /// Records an image that `lease` holds, under `names`. What the names stood for before keeps existing.
    pub fn record_image(
        &self,
        lease: &Lease,
        image: &image::store::Image,
        names: &[Reference],
    ) -> Result<(), EngineError> {
        let created = image.config.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let row = ImageRow {
            manifest: image.manifest,
            id: image.id,
            created: created.map_or(0, |at| at.as_nanosecond() as i64),
            size: lease.store().size(image)?,
        };
        self.state.write(Durability::Synced, |state| {
            state.insert_image(&row)?;
            names.iter().try_for_each(|name| state.set_tag(name, &row.manifest))
        })?;
        self.write_index()
    }

    /// Adds the images of an archive, under the names it gives them.
    pub fn load(&self, source: impl Read) -> Result<Vec<Loaded>, EngineError> {
        let lease = self.images.lease()?;
        let loaded = archive::load(&lease, source)?;
        for Loaded { image, names } in &loaded {
            self.record_image(&lease, image, names)?;
        }
        Ok(loaded)
    }

    /// Writes images and the names they were asked for by to one archive.
    pub fn save(&self, references: &[String], target: impl Write) -> Result<(), EngineError> {
        // Holds what is being written: a lease keeps it from being collected meanwhile.
        let lease = self.images.lease()?;
        let mut images: Vec<(image::store::Image, Vec<Reference>)> = Vec::new();
        for reference in references {
            let (row, name) = self.image_and_name(reference)?;
            match images.iter_mut().find(|(image, _)| image.manifest == row.manifest) {
                Some((_, names)) => names.extend(name),
                None => images.push((lease.publish(&row.manifest)?, name.into_iter().collect())),
            }
        }
        Ok(archive::save(&self.images, &images, target)?)
    }

    /// Makes an image of the files in an archive.
    pub fn import(
        &self,
        source: impl Read,
        config: Configuration,
        name: Option<&Reference>,
    ) -> Result<Digest, EngineError> {
        let lease = self.images.lease()?;
        let image = archive::import(&lease, source, config)?;
        self.record_image(&lease, &image, name.map(std::slice::from_ref).unwrap_or_default())?;
        Ok(image.id)
    }

    /// Gives an image one more name.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), EngineError> {
        if target.digest().is_some() {
            return Err(EngineError::Invalid("refusing to create a tag with a digest reference".into()));
        }
        self.state.write(Durability::Synced, |state| {
            // Looked up inside, so that nobody removes it meanwhile.
            let row = self.image(source)?;
            state.set_tag(target, &row.manifest)
        })?;
        self.write_index()
    }

    /// All images with their names, the newest first.
    pub fn list_images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let mut names: BTreeMap<Digest, Vec<Reference>> = BTreeMap::new();
        for tag in self.state.tags()? {
            names.entry(tag.manifest).or_default().push(tag.name);
        }
        let rows = self.state.images()?.into_iter();
        Ok(rows
            .map(|row| ImageSummary {
                id: row.id,
                manifest: row.manifest,
                created: crate::timestamp(row.created),
                size: row.size,
                names: names.remove(&row.manifest).unwrap_or_default(),
            })
            .collect())
    }

    /// Takes a name from an image, or all names from one given by its id; an image without names is deleted.
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Vec<Removed>, EngineError> {
        let mut removed = Vec::new();
        let gone = self.state.write(Durability::Synced, |state| {
            let (row, name) = self.image_and_name(reference)?;
            let all: Vec<_> = state.tags()?.into_iter().filter(|tag| tag.manifest == row.manifest).collect();
            let given = match name {
                Some(name) => vec![name],
                None if all.len() > 1 && !force => return Err(in_several_repositories(&row)),
                None => all.iter().map(|tag| tag.name.clone()).collect(),
            };
            if given.len() < all.len() {
                return untag(state, given, &mut removed).map(|()| None);
            }
            self.refuse_if_used(&row, reference, force)?;
            untag(state, given, &mut removed)?;
            state.delete_image(&row.manifest)?;
            removed.push(Removed::Image(row.id));
            Ok(Some(row))
        })?;
        if gone.is_some() {
            let freed = self.images.collect(|| self.live())?;
            removed.extend(freed.layers.into_iter().map(Removed::Layer));
        }
        self.write_index()?;
        Ok(removed)
    }

    fn refuse_if_used(&self, row: &ImageRow, reference: &str, force: bool) -> Result<(), EngineError> {
        for container in self.containers_of(&row.manifest)? {
            let short = container.id.short();
            let by_name =
                reference.parse::<Reference>().ok().filter(|_| !row.id.hex().starts_with(reference));
            if let Some(name) = by_name.filter(|_| !force) {
                return Err(EngineError::ReferenceInUse {
                    reference: name.familiar(),
                    container: short,
                    image: row.id.short(),
                });
            }
            if matches!(container.status()?, Status::Running(_)) {
                let why = format!("image is being used by running container {short}");
                return Err(EngineError::ImageInUse { image: row.id.short(), forceable: false, why });
            }
            if !force {
                let why = format!("image is being used by stopped container {short}");
                return Err(EngineError::ImageInUse { image: row.id.short(), forceable: true, why });
            }
        }
        Ok(())
    }

    /// What the store must keep: every image that is recorded or that a container is made from. Layers that only
    /// the build cache knows go with the images they were made for; the cache then finds them missing.
    pub fn live(&self) -> Result<Live, EngineError> {
        let mut manifests: Vec<Digest> = self.state.images()?.into_iter().map(|row| row.manifest).collect();
        manifests.extend(self.state.containers()?.into_iter().map(|row| row.image));
        Ok(Live { manifests, ..Live::default() })
    }

    /// Brings the layout's index.json, which other tools read, up to date.
    fn write_index(&self) -> Result<(), EngineError> {
        let names = self.state.tags()?.into_iter().map(|tag| (tag.name, tag.manifest));
        Ok(self.images.write_index(names)?)
    }
}

fn untag(state: &State, names: Vec<Reference>, removed: &mut Vec<Removed>) -> Result<(), EngineError> {
    for name in names {
        if state.delete_tag(&name)? {
            removed.push(Removed::Name(name));
        }
    }
    Ok(())
}

fn in_several_repositories(row: &ImageRow) -> EngineError {
    let why = "image is referenced in multiple repositories".to_owned();
    EngineError::ImageInUse { image: row.id.short(), forceable: true, why }
}
