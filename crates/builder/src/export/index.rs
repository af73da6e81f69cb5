//! An index: the images of several platforms as one.

use image::{
    Image,
    manifest::{DescribedPlatform, Descriptor, Index, OCI_INDEX},
};
use serde_json::Map;
use types::Platform;

use super::{ExportError, Place, Results};

impl Results<'_> {
    /// Writes the index of `images`.
    pub fn index(&self, images: &[Image]) -> Result<Descriptor, ExportError> {
        let store = self.lease.store();
        let entries = images.iter().map(|image| {
            let platform = image.config.platform();
            let mut entry = store.describe_manifest(&image.manifest)?;
            entry.annotations = self.annotations.of(Place::ManifestDescriptor, &platform);
            entry.platform = Some(described(platform));
            Ok::<_, ExportError>(entry)
        });
        let mut index = Index::new(entries.collect::<Result<_, _>>()?);
        let here = Platform::host();
        index.annotations = self.annotations.of(Place::Index, &here);
        let bytes = serde_json::to_vec(&index).expect("strings and numbers serialise");
        let digest = self.lease.put_blob(&bytes)?;
        let annotations = self.annotations.of(Place::IndexDescriptor, &here);
        Ok(Descriptor { annotations, ..Descriptor::new(OCI_INDEX, digest, bytes.len() as u64) })
    }
}

fn described(platform: Platform) -> DescribedPlatform {
    let Platform { os, architecture, variant } = platform;
    DescribedPlatform { architecture, os, variant, other: Map::new() }
}
