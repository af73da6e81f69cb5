//! Layers that are kept as what they have otherwise than another, their basis.
//!
//! ```text
//! layers/<key>/tree                   the files that are new or different
//! layers/<key>/basis -> ../<key>      the layer that has the rest
//! ```
//!
//! What a large COPY makes again after a small change takes little time so, and little of the disk. A basis is a whole layer
//! itself: no file is looked for in more than two places. It stays as long as a layer that stands on it is needed. That a
//! file of the basis is gone cannot be said: a whiteout would hide what other layers have there too.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use types::Digest;

use super::{Lease, Record, Store, StoreError, TREE, disk};
use crate::tree::{Links, Root, walk};

/// A layer that another can be kept as the difference from.
#[derive(Debug)]
pub struct Basis {
    pub(super) key: Digest,
    pub(super) tree: PathBuf,
    /// Of the layer that was asked for, if it is kept as a difference itself.
    difference: Option<PathBuf>,
}

impl Basis {
    /// What the layer that was asked for has otherwise than the basis, directories included. A layer that is to be kept as
    /// a difference from that layer has to have this in its own difference.
    pub fn differences(&self) -> Result<Vec<PathBuf>, StoreError> {
        let Some(difference) = &self.difference else { return Ok(Vec::new()) };
        let mut paths = Vec::new();
        let root = Root::open(difference, Links::Refused).map_err(disk::error(difference))?;
        walk(&root, Path::new(""), &mut |found| -> io::Result<bool> {
            paths.push(found.path.to_owned());
            Ok(true)
        })
        .map_err(disk::error(difference))?;
        Ok(paths)
    }
}

impl Lease {
    /// The basis on which a layer can be kept that differs little from the one with this diff id: that layer, or its own
    /// basis. None if it is not here, or does not pack to its diff id. From now on it stays.
    pub fn basis(&self, diff_id: &Digest) -> Result<Option<Basis>, StoreError> {
        self.claim(&[*diff_id])?;
        let store = self.store();
        let Some(tree) = store.directory(diff_id, diff_id)? else { return Ok(None) };
        if !Record::beside(&tree)?.reproducible {
            return Ok(None);
        }
        Ok(Some(match store.basis_of(diff_id)? {
            None => Basis { key: *diff_id, tree, difference: None },
            Some(key) => Basis { key, tree: store.layer_path(&key).join(TREE), difference: Some(tree) },
        }))
    }
}

impl Store {
    /// What has to stay for these layers besides themselves: their bases.
    pub fn bases<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<HashSet<Digest>, StoreError> {
        keys.into_iter().filter_map(|key| self.basis_of(key).transpose()).collect()
    }

    /// The basis of the layer with this key, if it is kept as a difference.
    pub(super) fn basis_of(&self, key: &Digest) -> Result<Option<Digest>, StoreError> {
        let path = self.layer_path(key).join(BASIS);
        match fs::read_link(&path) {
            Ok(target) => {
                let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let invalid = |_| disk::error(&path)(io::ErrorKind::InvalidData.into());
                Digest::from_hex(name).map(Some).map_err(invalid)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk::error(&path)(error)),
        }
    }

    /// The directories of the layer whose own is `tree`, topmost first.
    pub(super) fn trees(&self, tree: PathBuf) -> Result<Vec<PathBuf>, StoreError> {
        let key = tree.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let key = key.and_then(|name| Digest::from_hex(name).ok());
        let basis = key.map(|key| self.basis_of(&key)).transpose()?.flatten();
        let basis = basis.map(|basis| self.layer_path(&basis).join(TREE));
        Ok(std::iter::once(tree).chain(basis).collect())
    }
}

/// Opens the directories of one layer.
pub(super) fn open(trees: &[PathBuf]) -> Result<Vec<Root>, StoreError> {
    trees.iter().map(|tree| Root::open(tree, Links::Refused).map_err(disk::error(tree))).collect()
}

/// What the link to a layer's basis says.
pub(super) fn link_to(key: &Digest) -> PathBuf {
    Path::new("..").join(key.hex())
}

pub(super) const BASIS: &str = "basis";
