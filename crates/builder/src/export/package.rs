//! An image as it leaves this machine: its layers compressed, its documents in one family's words.

use image::{
    Encoding, Image,
    manifest::{
        DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD, DOCKER_MANIFEST, Descriptor,
        Manifest, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD,
    },
};

use super::{ExportError, Family, Place, Results};

/// How an image leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Of layers that were built here. Those of the base stay as they came.
    pub encoding: Encoding,
    /// Whose media types the documents use: `oci-mediatypes`.
    pub media_types: Family,
}

impl Default for Package {
    fn default() -> Package {
        Package { encoding: Encoding::Gzip, media_types: Family::Oci }
    }
}

/// Images ready to leave, and what stands for all of them.
pub struct Packed {
    pub images: Vec<Image>,
    /// What they are together: the one manifest, or the index.
    pub descriptor: Descriptor,
    /// The index, if there are several.
    pub index: Option<Descriptor>,
}

impl Results<'_> {
    /// Compresses layers, and writes manifests that name what came of it.
    pub fn package(&self, package: Package) -> Result<Packed, ExportError> {
        let images = self.images.iter().map(|image| self.package_one(image, package));
        self.packed(images.collect::<Result<_, _>>()?)
    }

    /// [`Results::package`] for a registry. Compression with gzip is left to whoever pushes, who does it only for what
    /// the registry does not have, and while something else is sent.
    pub fn package_to_push(&self, package: Package) -> Result<Packed, ExportError> {
        match package {
            Package { encoding: Encoding::Plain, .. } => Err(ExportError::PushPlain),
            Package { encoding: Encoding::Gzip, media_types: Family::Oci } if self.images.len() == 1 => {
                self.packed(self.images.to_vec())
            }
            package => self.package(package),
        }
    }

    /// These images and what stands for them.
    pub fn packed(&self, images: Vec<Image>) -> Result<Packed, ExportError> {
        if let [image] = images.as_slice() {
            if self.annotations.need_index() {
                return Err(ExportError::NoIndex);
            }
            let descriptor = self.lease.store().describe_manifest(&image.manifest)?;
            return Ok(Packed { descriptor, index: None, images });
        }
        let index = self.index(&images)?;
        Ok(Packed { images, descriptor: index.clone(), index: Some(index) })
    }

    fn package_one(&self, image: &Image, package: Package) -> Result<Image, ExportError> {
        let blobs = image.layers.iter().map(|layer| {
            let blob = self.lease.compress_as(layer, package.encoding, &|_| ())?;
            Ok::<_, ExportError>(match package.media_types {
                Family::Oci => blob,
                Family::Docker => Descriptor { media_type: in_dockers_words(&blob.media_type), ..blob },
            })
        });
        let annotations = self.annotations.of(Place::Manifest, &image.config.platform());
        Ok(self.lease.write_manifest(
            image,
            blobs.collect::<Result<_, _>>()?,
            |manifest: &mut Manifest| {
                manifest.annotations = annotations;
                if package.media_types == Family::Docker {
                    manifest.media_type = Some(DOCKER_MANIFEST.to_owned());
                    manifest.config.media_type = DOCKER_CONFIG.to_owned();
                }
            },
        )?)
    }
}

fn in_dockers_words(media_type: &str) -> String {
    let docker = match media_type {
        OCI_LAYER => DOCKER_LAYER,
        OCI_LAYER_GZIP => DOCKER_LAYER_GZIP,
        OCI_LAYER_ZSTD => DOCKER_LAYER_ZSTD,
        other => other,
    };
    docker.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_has_words_for_what_it_knows() {
        assert_eq!(in_dockers_words(OCI_LAYER_GZIP), "application/vnd.docker.image.rootfs.diff.tar.gzip");
        assert_eq!(in_dockers_words(DOCKER_LAYER), DOCKER_LAYER);
    }
}
