//! Layers that are kept although no image needs them: those of the build cache.
//!
//! What the cache is, builders know. Of each of its records the engine reads one thing: what of the store it stands for.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::PathBuf,
};

use image::{Freed, Live};
use serde::Deserialize;
use types::Digest;

use crate::{Engine, error::EngineError};

/// A file in `cache/steps`, as far as it concerns the engine.
#[derive(Deserialize)]
struct Record {
    /// Layers and blobs, by the digests that claim them.
    keeps: Vec<Digest>,
}

impl Engine {
    /// Where builds keep what may serve again.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Removes from the store all that no image, container, record of the cache or command at work needs.
    pub fn collect(&self) -> Result<Freed, EngineError> {
        self.images.collect(|| self.live())
    }

    /// What images and containers need of the store.
    pub fn needed_by_images(&self) -> Result<HashSet<Digest>, EngineError> {
        Ok(self.images.needed(&self.live_images()?))
    }

    /// The disk space, in bytes, of what only the build cache keeps in the store, by the digests that its records name.
    pub fn cached_space(&self) -> Result<BTreeMap<Digest, u64>, EngineError> {
        let needed = self.needed_by_images()?;
        let kept: HashSet<Digest> = self.kept()?.into_iter().collect();
        let only = kept.difference(&needed);
        only.map(|digest| Ok((*digest, self.images.space(digest)?))).collect()
    }

    /// What the store must keep: what images and containers need, and the build cache.
    pub fn live(&self) -> Result<Live, EngineError> {
        Ok(Live { layers: self.kept()?, ..self.live_images()? })
    }

    /// All that the records of the build cache name. One that cannot be understood keeps nothing: nobody will find what it
    /// stands for.
    pub(crate) fn kept(&self) -> Result<Vec<Digest>, EngineError> {
        let directory = self.cache().join("steps");
        let read = || -> io::Result<Vec<Digest>> {
            let mut kept = Vec::new();
            for entry in fs::read_dir(&directory)? {
                let record = match fs::read(entry?.path()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed just now
                    record => record?,
                };
                kept.extend(
                    serde_json::from_slice::<Record>(&record).map_or(Vec::new(), |record| record.keeps),
                );
            }
            Ok(kept)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|source| EngineError::File { path: directory, source }),
        }
    }
}
