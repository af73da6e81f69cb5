//! What there is to verify: all that is in the store, and all that images need.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use types::Digest;

use super::{Fault, Finding, Subject};
use crate::{
    manifest::Descriptor,
    store::{Image, Layer, Lease, Record, Store, StoreError, TREE, collect::names, stacked_keys},
};

impl Store {
    /// All that there is to look at. The lease keeps it from being collected meanwhile.
    pub(super) fn things(&self, lease: &Lease, manifests: &[Digest]) -> Result<Vec<Thing>, StoreError> {
        let mut things = Things::default();
        let present = names(&self.blobs())?.into_iter().chain(names(&self.layers())?);
        let mut claims: Vec<Digest> = present.filter_map(|name| Digest::from_hex(&name).ok()).collect();
        claims.extend(manifests);
        lease.claim(&claims)?;
        for manifest in manifests {
            things.add(Subject::Manifest(*manifest), *manifest);
            let Ok(parsed) = self.manifest(manifest) else { continue };
            things.add(Subject::Blob(parsed.config.digest), *manifest).blob = Some(parsed.config.clone());
            match self.image(manifest) {
                Ok(image) => self.add_layers(&image, lease, &mut things)?,
                // Without the configuration nobody knows what the layers should be.
                Err(_) => {
                    for blob in parsed.layers {
                        let thing = things.add(Subject::Blob(blob.digest), *manifest);
                        thing.blob = Some(blob);
                    }
                }
            }
        }
        self.add_unneeded(&mut things)?;
        Ok(things.0.into_values().collect())
    }

    fn add_layers(&self, image: &Image, lease: &Lease, things: &mut Things) -> Result<(), StoreError> {
        let stack: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
        let blobs = image.layers.iter().map(|layer| layer.blob.digest);
        let claims = blobs.chain(stack.iter().copied()).chain(stacked_keys(&stack)).chain([image.id]);
        lease.claim(&claims.collect::<Vec<_>>())?;
        for (position, (layer, stacked)) in image.layers.iter().zip(stacked_keys(&stack)).enumerate() {
            let tree = self.directory(&layer.diff_id, &stacked)?;
            let is_here = self.has_blob(&layer.blob.digest)?;
            if is_here || !self.gives_blob(layer, tree.as_deref()) {
                let thing = things.add(Subject::Blob(layer.blob.digest), image.manifest);
                thing.blob = Some(layer.blob.clone());
            }
            let key = match tree {
                Some(tree) if tree.starts_with(self.layer_path(&stacked)) => stacked,
                _ => layer.diff_id,
            };
            let thing = things.add(Subject::Layer { diff_id: layer.diff_id, key }, image.manifest);
            // Of several blobs of one layer, one that is here.
            if thing.blob.is_none() || is_here {
                thing.blob = Some(layer.blob.clone());
            }
            thing.stack = stack[..=position].to_vec();
        }
        Ok(())
    }

    /// What is in the store and no image needs.
    fn add_unneeded(&self, things: &mut Things) -> Result<(), StoreError> {
        for name in names(&self.blobs())? {
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            if !things.0.contains_key(&Subject::Manifest(digest)) {
                things.0.entry(Subject::Blob(digest)).or_insert_with_key(|subject| Thing::new(*subject));
            }
        }
        let needed: HashSet<Digest> = things.0.keys().filter_map(Subject::key).collect();
        for name in names(&self.layers())? {
            let Ok(key) = Digest::from_hex(&name) else { continue };
            if !needed.contains(&key) {
                let record = Record::beside(&self.layer_path(&key).join(TREE));
                let diff_id = record.map_or(key, |record| record.diff_id);
                let subject = Subject::Layer { diff_id, key };
                things.0.insert(subject, Thing::new(subject));
            }
        }
        Ok(())
    }

    /// Whether packing a layer gives its blob again, as far as is recorded; a record that cannot be read is a
    /// finding of its own.
    fn gives_blob(&self, layer: &Layer, tree: Option<&Path>) -> bool {
        let reproducible = |tree| Record::beside(tree).map_or(true, |record| record.reproducible);
        layer.blob.digest == layer.diff_id && tree.is_some_and(reproducible)
    }
}

/// Something to look at.
pub struct Thing {
    pub subject: Subject,
    pub manifests: Vec<Digest>,
    pub blob: Option<Descriptor>,
    /// For layers, the diff ids of an image up to it.
    pub stack: Vec<Digest>,
}

impl Thing {
    fn new(subject: Subject) -> Thing {
        Thing { subject, manifests: Vec::new(), blob: None, stack: Vec::new() }
    }

    pub fn finding(self, fault: Fault) -> Finding {
        let Thing { subject, manifests, blob, stack } = self;
        Finding { subject, fault, manifests, blob, stack }
    }
}

#[derive(Default)]
struct Things(BTreeMap<Subject, Thing>);

impl Things {
    /// What `manifest` needs.
    fn add(&mut self, subject: Subject, manifest: Digest) -> &mut Thing {
        let thing = self.0.entry(subject).or_insert_with(|| Thing::new(subject));
        if !thing.manifests.contains(&manifest) {
            thing.manifests.push(manifest);
        }
        thing
    }
}

impl Subject {
    /// The key of a layer.
    fn key(&self) -> Option<Digest> {
        match self {
            Subject::Layer { key, .. } => Some(*key),
            Subject::Manifest(_) | Subject::Blob(_) => None,
        }
    }
}
