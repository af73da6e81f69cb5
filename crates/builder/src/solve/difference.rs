//! What a COPY has to make anew when few of its files have changed since it was carried out the last time.
//!
//! The rest is in that result, and the new layer stands on it: see [`Basis`]. It packs to the same bytes as if all had been
//! copied, so nothing else depends on which way it was made. Where that is not certain, everything is copied: when a file is
//! gone, when files have several names, when they come from a file system that the build has made, or when the result was
//! to have other dates, owners or places.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use image::Basis;

use super::{Solver, step::Files};
use crate::{
    BuildError, MOST_LAYERS,
    cache::Inputs,
    context::{Context, Tree},
    graph::{Copy, Operation, Source},
};

/// What is to be copied of a source directory, and what has the rest.
pub struct Difference {
    pub basis: Basis,
    /// From the source directory.
    changed: Vec<PathBuf>,
    /// From the root: what the result before has otherwise than the basis.
    before: Vec<PathBuf>,
}

impl Difference {
    /// All that is to be copied if the source directory becomes `target`, by paths from there.
    pub fn wanted(&self, target: &Path) -> BTreeSet<PathBuf> {
        let before = self.before.iter().filter_map(|path| path.strip_prefix(target).ok());
        let changed = self.changed.iter().map(PathBuf::as_path);
        // In an overlay the topmost directory counts, so those on the way are made as they are.
        let all = changed.chain(before).flat_map(Path::ancestors);
        all.filter(|path| *path != Path::new("")).map(Path::to_owned).collect()
    }
}

impl Solver<'_, '_> {
    /// What a copy of which `inputs` tells has to make, if most of it was made by the last build; `height` is the number of
    /// directories that it stands on.
    pub(super) fn difference(
        &self,
        operation: &Operation,
        files: &Files,
        inputs: &Inputs,
        height: usize,
    ) -> Result<Option<Difference>, BuildError> {
        let Some(before) = self.before.step(&operation.place).filter(|before| inputs.is_like(before)) else {
            return Ok(None);
        };
        let (Some(tree), [then]) = (files.only_directory(), before.files.as_slice()) else { return Ok(None) };
        let mut changed = Vec::new();
        let mut kept = 0;
        for ((below, _), (path, digest)) in tree.entries.iter().zip(tree.files()) {
            match then.get(&path) {
                Some(old) if *old == digest => kept += 1,
                old => {
                    kept += usize::from(old.is_some());
                    changed.push(below.clone());
                }
            }
        }
        let some_are_gone = kept < then.len();
        if some_are_gone || height + 2 > MOST_LAYERS {
            return Ok(None);
        }
        let made = self.cache.record(&before.key()).and_then(|record| record.layer);
        let Some(basis) = made.map(|made| self.lease.basis(&made.layer().diff_id)).transpose()?.flatten()
        else {
            return Ok(None);
        };
        let before = basis.differences()?;
        let is_little = (changed.len() + before.len()) * LITTLE <= tree.entries.len();
        Ok(is_little.then_some(Difference { basis, changed, before }))
    }
}

/// The time that all files get, if they could be the basis of another copy, or stand on one: if they are one directory of the
/// build context, and each has one name.
pub fn uniform(copy: &Copy, files: &Files, place: &Context, seconds: i64) -> Option<i64> {
    let is_plain = !copy.unpack && !place.keeps_owners && matches!(*copy.sources, [Source::Files(_)]);
    let tree = files.only_directory().filter(|_| is_plain)?;
    has_one_name_each(tree).then_some(seconds)
}

fn has_one_name_each(tree: &Tree) -> bool {
    let mut seen = HashSet::with_capacity(tree.entries.len());
    tree.entries.iter().all(|(below, entry)| {
        // A cache knows paths as text.
        below.to_str().is_some() && (entry.kind.is_dir() || seen.insert(entry.fingerprint.inode()))
    })
}

/// How many times as many files as are copied there have to be, for a layer to stand on another.
const LITTLE: usize = 4;
