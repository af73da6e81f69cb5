//! Images in and out of files: `load`, `save` and `import`.

use std::io::{Read, Write};

use image::{archive, config::Configuration};
use types::{Digest, Platform, Reference};

use super::{check_platform, same_repository};
use crate::{Engine, error::EngineError, state::ImageRow};

/// An image that came out of an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub image: image::Image,
    /// What the archive calls it; may be nothing.
    pub names: Vec<Reference>,
    /// The names that stood for another image before, and the id of that.
    pub replaced: Vec<(Reference, Digest)>,
}

impl Engine {
    /// Adds the images of an archive, under the names it gives them. All of them must be for `platform`, if one is given.
    pub fn load(&self, source: impl Read, platform: Option<&Platform>) -> Result<Vec<Loaded>, EngineError> {
        let lease = self.images.lease()?;
        let mut all = Vec::new();
        for archive::Loaded { image, names } in archive::load(&lease, source, platform)? {
            let name = names.first().map_or_else(|| image.id.to_string(), Reference::familiar);
            check_platform(&name, &image, platform)?;
            let mut replaced = Vec::new();
            for name in &names {
                let before = self.state.image_by_name(name)?.filter(|before| before.id != image.id);
                replaced.extend(before.map(|before| (name.clone(), before.id)));
            }
            all.push(Loaded { image, names, replaced });
        }
        for Loaded { image, names, .. } in &all {
            self.record_image(&lease, image, names)?;
            let id = image.id.to_string();
            self.note_image(&image.config.config.labels, "load", &id, &id);
        }
        Ok(all)
    }

    /// Writes images and the names they were asked for by to one archive. All of them must be for `platform`, if one is
    /// given.
    pub fn save(
        &self,
        references: &[String],
        platform: Option<&Platform>,
        target: impl Write,
    ) -> Result<(), EngineError> {
        // Holds what is being written: a lease keeps it from being collected meanwhile.
        let lease = self.images.lease()?;
        let mut images: Vec<(image::store::Image, Vec<Reference>)> = Vec::new();
        for reference in references {
            for (row, name) in self.images_to_save(reference)? {
                // An archive knows no digests.
                let name = name.filter(|name| name.digest().is_none());
                match images.iter_mut().find(|(image, _)| image.manifest == row.manifest) {
                    Some((_, names)) => names.extend(name.filter(|name| !names.contains(name))),
                    None => {
                        let image =
                            self.unless_removed(&row.manifest, || Ok(lease.publish(&row.manifest)?))?;
                        let image = image.ok_or_else(|| EngineError::NoImage(reference.clone()))?;
                        check_platform(reference, &image, platform)?;
                        images.push((image, name.into_iter().collect()));
                    }
                }
            }
        }
        archive::save(&self.images, &images, target)?;
        for (image, _) in &images {
            let id = image.id.to_string();
            self.note_image(&image.config.config.labels, "save", &id, &id);
        }
        Ok(())
    }

    /// The image that `reference` means, or all those of a repository if it is only the name of one.
    fn images_to_save(&self, reference: &str) -> Result<Vec<(ImageRow, Option<Reference>)>, EngineError> {
        let is_repository = !reference.rsplit('/').next().unwrap_or_default().contains([':', '@']);
        if is_repository && let Ok(name) = reference.parse::<Reference>() {
            let tags = self.state.tags()?.into_iter().filter(|tag| same_repository(&tag.name, &name));
            let found: Vec<_> = tags
                .map(|tag| Ok((self.state.image_by_manifest(&tag.manifest)?, Some(tag.name))))
                .collect::<Result<_, EngineError>>()?;
            let found: Vec<_> = found.into_iter().filter_map(|(row, name)| Some((row?, name))).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(vec![self.image_and_name(reference)?])
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
        let (id, labels) = (image.id.to_string(), &image.config.config.labels);
        name.into_iter().for_each(|name| self.note_image(labels, "tag", &id, &name.familiar()));
        self.note_image(labels, "import", &id, &id);
        Ok(image.id)
    }
}
