//! The disk space of images, which share much of what they consist of.

use std::collections::{HashMap, HashSet};

use image::{Image, store};
use types::Digest;

use super::Part;
use crate::{Engine, error::EngineError, image::ImageSummary};

/// An image, and the disk space of its manifest, configuration and layers: blobs and unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    pub image: ImageSummary,
    /// What other images need as well, or the cache of builds.
    pub shared: u64,
    /// What removing the image gives back.
    pub unique: u64,
    /// How many containers are made from it.
    pub containers: usize,
}

impl ImageUsage {
    /// All of it.
    pub fn size(&self) -> u64 {
        self.shared + self.unique
    }
}

impl Engine {
    pub(super) fn images_usage(&self) -> Result<Part<ImageUsage>, EngineError> {
        let usage = self.images.usage()?;
        let (summaries, containers) = (self.list_images()?, self.containers()?);
        let mut items = Vec::new();
        let mut stored: Vec<Image> = Vec::new();
        for image in summaries {
            let Some(found) =
                self.unless_removed(&image.manifest, || Ok(self.images.image(&image.manifest)?))?
            else {
                continue;
            };
            stored.push(found);
            let containers = containers.iter().filter(|user| user.config.image_id == image.id).count();
            items.push(ImageUsage { image, shared: 0, unique: 0, containers });
        }
        let kept: HashSet<Digest> = self.kept()?.into_iter().collect();
        for (item, share) in items.iter_mut().zip(usage.shares(&stored, &kept)) {
            (item.shared, item.unique) = (share.shared, share.unique);
        }
        let mut users: HashMap<Digest, usize> = HashMap::new();
        for digest in items.iter().flat_map(|item| further_documents(&item.image)) {
            *users.entry(digest).or_default() += 1;
        }
        let mut in_use = HashSet::new();
        for item in &mut items {
            for digest in further_documents(&item.image) {
                let sum = if users[&digest] > 1 { &mut item.shared } else { &mut item.unique };
                *sum += usage.blobs.get(&digest).unwrap_or(&0);
                if item.containers > 0 {
                    in_use.insert(digest);
                }
            }
        }
        let in_use: u64 = in_use.iter().filter_map(|digest| usage.blobs.get(digest)).sum();
        let cached: u64 = self.cached_space()?.values().sum();
        let reclaimable = self.unneeded(&usage, stored, &kept)?.saturating_sub(in_use);
        Ok(Part { items, size: usage.total().saturating_sub(cached), reclaimable })
    }

    /// What no container needs of what makes up images, and the cache of builds does not keep. The image of a container may not be in the records any more.
    fn unneeded(
        &self,
        usage: &store::Usage,
        mut images: Vec<Image>,
        kept: &HashSet<Digest>,
    ) -> Result<u64, EngineError> {
        let containers = self.containers()?;
        images.retain(|image| containers.iter().any(|user| user.config.image_id == image.id));
        for container in &containers {
            if !images.iter().any(|image| image.manifest == container.manifest) {
                images.push(self.images.image(&container.manifest)?);
            }
        }
        Ok(usage.unneeded(&images, kept))
    }
}

/// What registries know the image by besides its own manifest: indexes that it is in, and the manifest of its layers
/// compressed.
fn further_documents(image: &ImageSummary) -> HashSet<Digest> {
    let digests = image.digests.iter().filter_map(|name| name.digest());
    digests.filter(|digest| *digest != image.manifest).collect()
}
