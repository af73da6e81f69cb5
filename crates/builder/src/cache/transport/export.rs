//! Writing a cache.

use std::path::Path;

use image::{
    Configuration, Image, Layer, Lease,
    archive::Layout,
    manifest::{Descriptor, Manifest},
};
use types::{Digest, Reference};

use super::{CONFIG, CacheMode, CacheTarget, INLINE, NAME, Position, Step, Steps};
use crate::{
    cache::{Record, Trace},
    export::ExportError,
    graph::{Graph, OperationId},
    host::Host,
    solve::State,
};

/// A step that was carried out or known, with the key it has everywhere.
#[derive(Debug, Clone)]
pub struct Carried {
    key: Digest,
    record: Record,
    /// Its layer is in the image.
    is_in_result: bool,
}

/// The steps of one graph.
pub fn carried(graph: &Graph, states: &[State], trace: &Trace) -> Vec<Carried> {
    let result: Vec<OperationId> =
        std::iter::successors(Some(graph.result), |id| graph.operations[*id].input).collect();
    let steps = graph.operations.iter().enumerate().filter_map(|(id, operation)| {
        let key = *trace.keys.get(&operation.place)?;
        let record = states.get(id)?.record.clone()?;
        Some(Carried { key, record, is_in_result: result.contains(&id) })
    });
    steps.collect()
}

/// Puts the steps whose layers are in the image into its configuration.
pub fn inline(config: &mut Configuration, steps: &[Carried], layers: &[Layer]) {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
    let steps = steps.iter().filter(|step| step.is_in_result);
    let steps =
        steps.filter_map(|step| step.described(|layer| diff_ids.iter().position(|id| *id == layer.diff_id)));
    let steps = Steps { steps: steps.collect() };
    config
        .other
        .insert(INLINE.to_owned(), serde_json::to_value(steps).expect("strings and numbers serialise"));
}

/// Writes the steps, and the layers they made, to a place outside.
pub fn export(
    steps: &[Carried],
    to: &CacheTarget,
    mode: CacheMode,
    host: &dyn Host,
    lease: &Lease,
) -> Result<(), ExportError> {
    match to {
        // It is in the image already.
        CacheTarget::Inline => Ok(()),
        CacheTarget::Directory(directory) => write(&manifest(steps, mode, lease)?, directory, lease),
        CacheTarget::Registry(name) => {
            host.push(lease, &[manifest(steps, mode, lease)?], None, name)?;
            Ok(())
        }
    }
}

fn write(cache: &Image, directory: &Path, lease: &Lease) -> Result<(), ExportError> {
    let name: Reference = NAME.parse().expect("a valid name");
    let mut layout = Layout::default();
    layout.list(&lease.store().describe_manifest(&cache.manifest)?, &[name]);
    layout.add(cache);
    Ok(layout.write_directory(lease.store(), directory)?)
}

/// The manifest, with its blobs, in the form of an image: it is one but for what its configuration says.
fn manifest(steps: &[Carried], mode: CacheMode, lease: &Lease) -> Result<Image, ExportError> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut described = Vec::new();
    for step in steps.iter().filter(|step| mode == CacheMode::Max || step.is_in_result) {
        described.extend(step.described(|layer| {
            let known = layers.iter().position(|other| other.diff_id == layer.diff_id);
            Some(known.unwrap_or_else(|| {
                layers.push(layer.clone());
                layers.len() - 1
            }))
        }));
    }
    for layer in &mut layers {
        layer.blob = lease.compress(layer, &|_| ())?;
    }
    let config = serde_json::to_vec(&Steps { steps: described }).expect("strings and numbers serialise");
    let id = lease.put_blob(&config)?;
    let config = Descriptor::new(CONFIG, id, config.len() as u64);
    let mut manifest = Manifest::new(config, layers.iter().map(|layer| layer.blob.clone()).collect());
    manifest.artifact_type = Some(CONFIG.to_owned());
    let manifest = serde_json::to_vec(&manifest).expect("strings and numbers serialise");
    Ok(Image { manifest: lease.put_blob(&manifest)?, id, config: Configuration::default(), layers })
}

impl Carried {
    /// The step as a cache has it; `None` if its layer has no place there.
    fn described(&self, mut place: impl FnMut(&Layer) -> Option<usize>) -> Option<Step> {
        let layer = match &self.record.layer {
            None => None,
            Some(made) => {
                let layer = made.layer();
                Some(Position { position: place(&layer)?, diff_id: layer.diff_id })
            }
        };
        Some(Step { key: self.key, layer, created: self.record.created.clone() })
    }
}
