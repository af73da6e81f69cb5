//! One manifest, one layer: for those who bring here only what they turn out to need, as a build does from a cache.

use std::sync::atomic::AtomicBool;

use distribution::{Client, Selector};
use image::{
    Lease,
    manifest::{Descriptor, Manifest},
};
use types::{Digest, Platform, Reference};

use super::{
    Unwatched,
    inspect::configuration,
    pull::{Missing, resolve},
};
use crate::error::EngineError;

/// The manifest that `reference` stands for in its registry, of several platforms' the one for `platform`, and the bytes
/// of its configuration, of whatever kind. Nothing of it is kept.
pub fn fetch_manifest(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Manifest, Vec<u8>), EngineError> {
    let repository = client.repository(reference.registry(), reference.path());
    let named = repository.manifest(&Selector::from(reference))?;
    let manifest = resolve(&repository, named, reference, platform)?.manifest;
    let bytes = configuration(&repository, &manifest.config)?;
    Ok((manifest, bytes))
}

/// Makes sure that `lease` holds the topmost of the layers `diff_ids`, lowest first, bringing its `blob` from the
/// repository of `reference` if need be. Those below it must be here.
pub fn fetch_layer(
    client: &Client,
    lease: &Lease,
    reference: &Reference,
    blob: &Descriptor,
    diff_ids: &[Digest],
) -> Result<(), EngineError> {
    let held = lease.hold(blob, diff_ids)?;
    let Some(diff_id) = diff_ids.last().filter(|_| !held.blob || !held.tree) else { return Ok(()) };
    let repository = client.repository(reference.registry(), reference.path());
    let missing = Missing { blob, diff_id: *diff_id, held };
    let staged = missing.fetch(lease, &repository, &Unwatched, &AtomicBool::new(false))?;
    Ok(lease.place(diff_ids, staged.into_iter().collect())?)
}
