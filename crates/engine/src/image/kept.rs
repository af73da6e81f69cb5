//! Layers that are kept although no image needs them: those of the build cache.
//!
//! What the cache is, builders know. Of each of its records the engine reads one thing: what of the store it stands for.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
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
        Ok(self.images.needed(&self.live_images()?)?)
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
        let mut live = Live { layers: self.kept()?, ..self.live_images()? };
        self.add_trash(&mut live)?;
        Ok(live)
    }

    /// Removes the records of the build cache that name one of `damaged`: the steps are to be done again.
    pub(crate) fn forget_cached(&self, damaged: &[Digest]) -> Result<(), EngineError> {
        self.records(|path, record| match record.keeps.iter().any(|kept| damaged.contains(kept)) {
            true => fs::remove_file(path),
            false => Ok(()),
        })
    }

    /// All that the records of the build cache name.
    pub(crate) fn kept(&self) -> Result<Vec<Digest>, EngineError> {
        let mut kept = Vec::new();
        self.records(|_, record| {
            kept.extend(record.keeps);
            Ok(())
        })?;
        Ok(kept)
    }

    /// Shows `visit` the records of the build cache. One that cannot be understood is none: nobody will find what it
    /// stands for.
    fn records(&self, mut visit: impl FnMut(&Path, Record) -> io::Result<()>) -> Result<(), EngineError> {
        let directory = self.cache().join("steps");
        let mut visit_all = || -> io::Result<()> {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let content = match fs::read(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed just now
                    content => content?,
                };
                if let Ok(record) = serde_json::from_slice(&content) {
                    visit(&path, record)?;
                }
            }
            Ok(())
        };
        match visit_all() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            visited => visited.map_err(|source| EngineError::File { path: directory, source }),
        }
    }
}
