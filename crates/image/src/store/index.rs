//! `index.json`: what the store's images are called, for other tools to read.

use std::collections::HashSet;

use types::{Digest, Reference};

use super::{Store, StoreError, disk};
use crate::manifest::{Descriptor, Index, OCI_MANIFEST};

impl Store {
    /// Replaces `index.json` with these names of these manifests, so that other tools find what they can use: a
    /// manifest whose blobs are not all here, as that of an image built here, is left out. Of several manifests
    /// with one name the first counts that is not. Of two calls at once, the later one stays.
    pub fn write_index(
        &self,
        names: impl IntoIterator<Item = (Reference, Digest)>,
    ) -> Result<(), StoreError> {
        let mut manifests = Vec::new();
        let mut named = HashSet::new();
        for (name, digest) in names {
            if !named.contains(&name) && self.is_whole(&digest)? {
                manifests.push(self.named(&name, &digest)?);
                named.insert(name);
            }
        }
        let index = serde_json::to_vec(&Index::new(manifests)).expect("strings and numbers serialise");
        let lease = self.lease()?;
        let path = lease.new_path();
        disk::write_synced(&path, &index)?;
        disk::rename(&path, &self.root.join("index.json"))?;
        disk::sync_directory(&self.root)
    }

    /// Whether all blobs that a manifest names are in the store. A damaged one is not whole.
    fn is_whole(&self, manifest: &Digest) -> Result<bool, StoreError> {
        let manifest = match self.manifest(manifest) {
            Err(StoreError::Disk { path, source }) => return Err(StoreError::Disk { path, source }),
            Err(_) => return Ok(false),
            Ok(manifest) => manifest,
        };
        let mut blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
        blobs.try_fold(true, |whole, blob| Ok(whole && self.has_blob(&blob.digest)?))
    }

    /// A manifest's descriptor with its name in the annotations by which others look images up. It is the whole name in
    /// both: a tag alone, as docker's archives have it, says little among many images.
    fn named(&self, name: &Reference, digest: &Digest) -> Result<Descriptor, StoreError> {
        let mut descriptor = self.describe_manifest(digest)?;
        for annotation in [IMAGE_NAME, REFERENCE_NAME] {
            descriptor.annotations.insert(annotation.to_owned(), name.to_string().into());
        }
        Ok(descriptor)
    }

    /// A manifest's descriptor.
    pub fn describe_manifest(&self, digest: &Digest) -> Result<Descriptor, StoreError> {
        let media_type = self.manifest(digest)?.media_type;
        let path = self.blob_path(digest);
        let size = std::fs::metadata(&path).map_err(disk::error(&path))?.len();
        Ok(Descriptor::new(media_type.as_deref().unwrap_or(OCI_MANIFEST), *digest, size))
    }
}

/// The whole name of an image.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// The tag of an image, or with some tools its whole name.
pub(crate) const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";
