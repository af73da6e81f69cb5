//! What a registry says of an image, which stays there.

use std::io::Read;

use distribution::{Client, Selector};
use image::{
    Configuration, StoreError,
    manifest::{CONFIGURATION_LIMIT, Descriptor, Document, InvalidDocument, Resolved, json},
};
use types::{Digest, Platform, Reference};

use super::pull::{registry_error, resolve};
use crate::error::EngineError;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Remote {
    /// What the registry calls it: the digest of its index if it is for several platforms, else of its manifest.
    pub digest: Digest,
    /// The digest of its configuration: what its id would be here.
    pub id: Digest,
    pub config: Configuration,
    /// Lowest first, as they are sent.
    pub layers: Vec<Descriptor>,
    /// What the index says it is for, if there is one.
    pub platforms: Vec<String>,
}

/// Asks a registry about an image; of one that is for several platforms, about the part for `platform`.
pub fn inspect(client: &Client, reference: &Reference, platform: &Platform) -> Result<Remote, EngineError> {
    let repository = client.repository(reference.registry(), reference.path());
    let named = repository.manifest(&Selector::from(reference))?;
    let digest = named.digest;
    let platforms = match Document::parse(&named.bytes, &named.media_type)? {
        Document::Manifest(_) => Vec::new(),
        Document::Index(index) => index.manifests.iter().filter_map(platform_of).collect(),
    };
    let Resolved { manifest, .. } = resolve(&repository, named, reference, platform)?;
    manifest.check_image(|_| true)?;
    let bytes = configuration(&repository, &manifest.config)?;
    let invalid = |source| StoreError::Invalid { digest: manifest.config.digest, source };
    let config = json(&bytes, CONFIGURATION_LIMIT).map_err(invalid)?;
    Ok(Remote { digest, id: manifest.config.digest, config, layers: manifest.layers, platforms })
}

/// The bytes of an image's configuration, verified.
pub(super) fn configuration(
    repository: &distribution::Repository<'_>,
    blob: &Descriptor,
) -> Result<Vec<u8>, EngineError> {
    if blob.size > CONFIGURATION_LIMIT {
        let source = InvalidDocument::TooLarge { limit: CONFIGURATION_LIMIT };
        return Err(StoreError::Invalid { digest: blob.digest, source }.into());
    }
    let mut bytes = Vec::new();
    repository.blob(blob, 0)?.read_to_end(&mut bytes).map_err(registry_error)?;
    match Digest::of(&bytes) {
        actual if actual != blob.digest => Err(StoreError::Damaged { expected: blob.digest, actual }.into()),
        _ => Ok(bytes),
    }
}

/// `linux/arm64/v8`; nothing for what is for no machine, such as attestations.
fn platform_of(descriptor: &Descriptor) -> Option<String> {
    let platform = descriptor.platform.as_ref().filter(|platform| platform.os != "unknown")?;
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    Some(format!("{}/{}{variant}", platform.os, platform.architecture))
}
