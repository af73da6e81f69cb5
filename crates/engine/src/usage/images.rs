//! The disk space of images, which share much of what they consist of.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use types::Digest;

use super::{Part, space::Measure};
use crate::{Engine, error::EngineError, image::ImageSummary};

/// An image, and the disk space of its manifest, configuration and layers: blobs and unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    pub image: ImageSummary,
    pub size: u64,
    /// Of that, what other images need as well.
    pub shared: u64,
    /// How many containers are made from it.
    pub containers: usize,
}

impl ImageUsage {
    /// What removing the image gives back.
    pub fn unique(&self) -> u64 {
        self.size - self.shared
    }
}

impl Engine {
    pub(super) fn images_usage(&self) -> Result<Part<ImageUsage>, EngineError> {
        let mut measure = Measure::default();
        let mut sizes: HashMap<PathBuf, u64> = HashMap::new();
        for directory in [BLOBS, LAYERS] {
            for (_, path) in self.entries(directory)? {
                let size = measure.tree(&path)?;
                sizes.insert(path, size);
            }
        }
        let counted: u64 = sizes.values().sum();
        let mut others = 0;
        for part in PARTS {
            others += measure.tree(&self.root.join(part))?;
        }

        let containers = self.containers()?;
        let mut images = Vec::new();
        let mut users: HashMap<PathBuf, usize> = HashMap::new();
        let mut in_use = HashSet::new();
        for image in self.list_images()? {
            let containers =
                containers.iter().filter(|container| container.config.image_id == image.id).count();
            let needs = self.needs(&image)?;
            for path in &needs {
                *users.entry(path.clone()).or_default() += 1;
            }
            if containers > 0 {
                in_use.extend(needs.iter().cloned());
            }
            images.push((image, needs, containers));
        }
        // The image of a container may have been removed from the records.
        for container in &containers {
            in_use.extend(self.files_of(&container.manifest)?);
        }

        let size_of = |path: &PathBuf| sizes.get(path).copied().unwrap_or(0);
        let items = images.into_iter().map(|(image, needs, containers)| ImageUsage {
            image,
            size: needs.iter().map(size_of).sum(),
            shared: needs.iter().filter(|path| users[*path] > 1).map(size_of).sum(),
            containers,
        });
        let items = items.collect();
        let reclaimable =
            sizes.iter().filter(|(path, _)| !in_use.contains(*path)).map(|(_, size)| size).sum();
        Ok(Part { items, size: counted + others, reclaimable })
    }

    /// The files and directories that an image consists of, and those by which registries know it.
    fn needs(&self, image: &ImageSummary) -> Result<HashSet<PathBuf>, EngineError> {
        let mut needs = self.files_of(&image.manifest)?;
        for digest in image.digests.iter().filter_map(|name| name.digest()) {
            needs.extend(self.files_of(&digest)?);
        }
        Ok(needs)
    }

    /// The files and directories of the image of `manifest`. An image that cannot be read has at least what could be.
    fn files_of(&self, manifest: &Digest) -> Result<HashSet<PathBuf>, EngineError> {
        let blob = |digest: &Digest| self.root.join(BLOBS).join(digest.hex());
        let mut files = HashSet::from([blob(manifest)]);
        if let Ok(manifest) = self.images.manifest(manifest) {
            files.insert(blob(&manifest.config.digest));
            files.extend(manifest.layers.iter().map(|layer| blob(&layer.digest)));
        }
        if let Ok(image) = self.images.image(manifest)
            && let Ok(trees) = self.images.layer_directories(&image)
        {
            files.extend(trees.iter().filter_map(|tree| tree.parent()).map(PathBuf::from));
        }
        Ok(files)
    }
}

const BLOBS: &str = "blobs/sha256";
const LAYERS: &str = "layers";
/// What is the store's below the root.
const PARTS: &[&str] = &["blobs", "layers", "leases", "partial", "index.json", "oci-layout"];
