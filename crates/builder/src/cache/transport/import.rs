//! Looking into caches, and bringing layers from there.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use image::{
    Configuration, Layer, Lease,
    manifest::{
        CONFIGURATION_LIMIT, Descriptor, Document, InvalidDocument, MANIFEST_LIMIT, Manifest, OCI_INDEX,
        OCI_MANIFEST, owned_json,
    },
};
use types::Digest;

use super::{CONFIG, CacheSource, INLINE, Position, Steps};
use crate::{
    cache::{Made, Record},
    event::Task,
    host::{Host, HostError},
    progress::Progress,
};

/// The caches that a build may use.
#[derive(Debug, Default)]
pub struct Imports {
    caches: Vec<Known>,
}

/// What one of them has.
#[derive(Debug)]
struct Known {
    source: CacheSource,
    steps: HashMap<Digest, Found>,
}

#[derive(Debug, Clone)]
struct Found {
    layer: Option<(Descriptor, Digest)>,
    created: String,
}

/// Why a cache is of no use. A build goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("cannot read {0}")]
    Read(String, #[source] io::Error),
    #[error("cannot read what is in it")]
    Invalid(#[from] InvalidDocument),
    #[error("{name} is damaged: its content hashes to {actual}")]
    Damaged { name: Digest, actual: Digest },
    #[error("there is no cache in it")]
    NoCache,
    #[error(transparent)]
    Store(#[from] image::StoreError),
}

impl Imports {
    /// Reads what the caches know. One that cannot be read is shown as failed, and does without.
    pub fn open(sources: &[CacheSource], host: &dyn Host, progress: &Progress<'_>) -> Imports {
        let mut caches = Vec::new();
        for source in sources {
            let task = Task::ImportCache { from: source.to_string() };
            let steps = progress.task(&task, || match source {
                CacheSource::Directory(directory) => read_directory(directory),
                CacheSource::Registry(name) => {
                    let (manifest, config) = host.fetch_manifest(name)?;
                    steps(&manifest, &config)
                }
            });
            // What is wrong was told with the task.
            caches.extend(steps.ok().map(|steps| Known { source: source.clone(), steps }));
        }
        Imports { caches }
    }

    /// The record of the step with this key, whose layer on top of `below` the lease holds from now on.
    pub fn bring(
        &self,
        key: &Digest,
        below: &[Layer],
        host: &dyn Host,
        lease: &Lease,
    ) -> Result<Option<Record>, ImportError> {
        let known = self.caches.iter().find_map(|cache| Some((&cache.source, cache.steps.get(key)?)));
        let Some((source, Found { layer, created })) = known else { return Ok(None) };
        let created = created.clone();
        let Some((blob, diff_id)) = layer else { return Ok(Some(Record { layer: None, created })) };
        let diff_ids: Vec<Digest> = below.iter().map(|layer| layer.diff_id).chain([*diff_id]).collect();
        match source {
            CacheSource::Registry(name) => host.fetch_layer(lease, name, blob, &diff_ids)?,
            CacheSource::Directory(directory) => {
                let held = lease.hold(blob, &diff_ids)?;
                if !held.blob || !held.tree {
                    let staged = lease.unpack(open_blob(directory, &blob.digest)?, Some((blob, *diff_id)))?;
                    lease.place(&diff_ids, vec![staged])?;
                }
            }
        }
        let layer = Layer { diff_id: *diff_id, blob: blob.clone() };
        Ok(Some(Record { layer: Some(Made::of(&layer)), created }))
    }
}

/// The steps of the first cache that an image layout lists.
fn read_directory(directory: &Path) -> Result<HashMap<Digest, Found>, ImportError> {
    let path = directory.join("index.json");
    let bytes = fs::read(&path).map_err(|error| ImportError::Read(path.display().to_string(), error))?;
    let Document::Index(index) = Document::parse(&bytes, OCI_INDEX)? else {
        return Err(ImportError::NoCache);
    };
    for entry in index.manifests.iter().filter(|entry| entry.media_type == OCI_MANIFEST) {
        let bytes = read_blob(directory, &entry.digest, MANIFEST_LIMIT)?;
        let Document::Manifest(manifest) = Document::parse(&bytes, OCI_MANIFEST)? else { continue };
        let config = read_blob(directory, &manifest.config.digest, CONFIGURATION_LIMIT)?;
        match steps(&manifest, &config) {
            Err(ImportError::NoCache) => {}
            steps => return steps,
        }
    }
    Err(ImportError::NoCache)
}

/// What a manifest with this configuration says, be it a cache or an image with one inline.
fn steps(manifest: &Manifest, config: &[u8]) -> Result<HashMap<Digest, Found>, ImportError> {
    let Steps { steps } = match manifest.config.media_type == CONFIG {
        true => owned_json(config, CONFIGURATION_LIMIT)?,
        false => {
            let mut image: Configuration = owned_json(config, CONFIGURATION_LIMIT)?;
            let inline = image.other.remove(INLINE).ok_or(ImportError::NoCache)?;
            serde_json::from_value(inline).map_err(InvalidDocument::from)?
        }
    };
    let found = steps.into_iter().filter_map(|step| {
        let layer = match step.layer {
            None => None,
            // A step whose layer the manifest does not name is as good as none.
            Some(Position { position, diff_id }) => Some((manifest.layers.get(position)?.clone(), diff_id)),
        };
        Some((step.key, Found { layer, created: step.created }))
    });
    Ok(found.collect())
}

fn read_blob(directory: &Path, digest: &Digest, limit: u64) -> Result<Vec<u8>, ImportError> {
    let mut bytes = Vec::new();
    let read = open_blob(directory, digest)?.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| ImportError::Read(digest.to_string(), error))?;
    match Digest::of(&bytes) {
        actual if actual == *digest => Ok(bytes),
        actual => Err(ImportError::Damaged { name: *digest, actual }),
    }
}

fn open_blob(directory: &Path, digest: &Digest) -> Result<File, ImportError> {
    let path = directory.join("blobs/sha256").join(digest.hex());
    File::open(&path).map_err(|error| ImportError::Read(path.display().to_string(), error))
}

impl std::fmt::Display for CacheSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CacheSource::Directory(directory) => write!(f, "{}", directory.display()),
            CacheSource::Registry(name) => write!(f, "{name}"),
        }
    }
}
