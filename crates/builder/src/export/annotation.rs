//! `--annotation`: what the documents around an image say of it.

use image::{Image, Lease, StoreError};
use serde_json::{Map, Value};
use types::Platform;

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub place: Place,
    /// The platform whose manifest it is for; all of them if there is none.
    pub platform: Option<Platform>,
    pub key: String,
    pub value: String,
}

/// Which document has it. See the image specification's annotations.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    #[default]
    Manifest,
    /// The index's entry for the manifest.
    ManifestDescriptor,
    Index,
    /// What describes the index in an image layout's `index.json`.
    IndexDescriptor,
}

/// All annotations of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations(pub Vec<Annotation>);

impl Annotations {
    /// Those of one document; of manifests, of that for `platform`.
    pub fn of(&self, place: Place, platform: &Platform) -> Map<String, Value> {
        let matching = self.0.iter().filter(|annotation| {
            annotation.place == place && annotation.platform.as_ref().is_none_or(|wanted| wanted == platform)
        });
        matching.map(|annotation| (annotation.key.clone(), annotation.value.clone().into())).collect()
    }

    /// The image with the annotations of its manifest.
    pub fn put(&self, image: Image, lease: &Lease) -> Result<Image, StoreError> {
        let own = self.of(Place::Manifest, &image.config.platform());
        if own.is_empty() {
            return Ok(image);
        }
        let blobs = image.layers.iter().map(|layer| layer.blob.clone()).collect();
        lease.write_manifest(&image, blobs, |manifest| manifest.annotations = own)
    }

    /// Whether any is for an index or what describes it.
    pub fn need_index(&self) -> bool {
        self.0.iter().any(|annotation| matches!(annotation.place, Place::Index | Place::IndexDescriptor))
    }
}
