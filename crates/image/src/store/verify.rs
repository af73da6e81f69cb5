//! Verifying: every blob hashed, every unpacked layer compared with what its archive says.
//!
//! A layer that packs to its diff id is as it was made. Any other is unpacked once more from its blob, and the
//! two trees are compared by what they pack to.

mod things;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, mpsc},
    thread,
};

use types::Digest;

use self::things::Thing;
use super::{Lease, Record, Staged, Store, StoreError, TREE, basis, disk};
use crate::{
    hashed::{Hashed, HashedWriter},
    layer::{self, Packed},
    manifest::Descriptor,
    tree::{Links, Root},
};

/// Something that [`Store::verify`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Manifest(Digest),
    /// A layer's archive, a configuration, or what else there is.
    Blob(Digest),
    /// An unpacked layer, by its diff id and its key in the store.
    Layer {
        diff_id: Digest,
        key: Digest,
    },
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Missing,
    /// Its content is not what it should be, or cannot be read.
    Damaged,
    /// What is recorded beside a layer cannot be read.
    Record,
}

/// Something that is wrong in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub subject: Subject,
    pub fault: Fault,
    /// The manifests of the images that need it, out of those that were asked about.
    pub manifests: Vec<Digest>,
    /// A layer's blob, or the blob itself, as a manifest names it: what a registry can be asked for.
    pub blob: Option<Descriptor>,
    /// For layers, the diff ids of the image up to it.
    pub(super) stack: Vec<Digest>,
}

/// Told after each thing that was looked at.
#[derive(Debug)]
pub struct Verified<'a> {
    pub subject: Subject,
    pub finding: Option<&'a Finding>,
    /// How many things were looked at, out of how many.
    pub done: usize,
    pub total: usize,
}

impl Store {
    /// Looks at all blobs and layers in the store, and at all that the images with these manifests need, on all
    /// processors. `told` learns of each as it is done. The findings come in an order in which they can be
    /// repaired: manifests, then blobs, then layers, lower ones first.
    ///
    /// Takes as much space as the largest layers for a while.
    pub fn verify(
        &self,
        manifests: &[Digest],
        mut told: impl FnMut(Verified<'_>),
    ) -> Result<Vec<Finding>, StoreError> {
        let lease = self.lease()?;
        let things = self.things(&lease, manifests)?;
        let total = things.len();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let left = Mutex::new(things.into_iter());
        let (found, checked) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..threads {
                let (found, left, lease) = (found.clone(), &left, &lease);
                let work = move || {
                    // Only between two of them: while one is checked, others take theirs.
                    let next = || left.lock().expect("no thread panics holding it").next();
                    while let Some(thing) = next() {
                        let result = lease.check(&thing);
                        if found.send((thing, result)).is_err() {
                            return;
                        }
                    }
                };
                thread::Builder::new().spawn_scoped(scope, work).map_err(disk::error(&self.root))?;
            }
            drop(found);
            let mut findings = Vec::new();
            for (done, (thing, result)) in (1..).zip(checked) {
                let subject = thing.subject;
                // What nobody needs may have been removed meanwhile.
                let fault = result?.filter(|fault| *fault != Fault::Missing || !thing.manifests.is_empty());
                let finding = fault.map(|fault| thing.finding(fault));
                told(Verified { subject, finding: finding.as_ref(), done, total });
                findings.extend(finding);
            }
            findings.sort_by_key(|finding| (finding.stack.len(), finding.subject));
            Ok(findings)
        })
    }
}

impl Lease {
    fn check(&self, thing: &Thing) -> Result<Option<Fault>, StoreError> {
        match thing.subject {
            Subject::Manifest(digest) | Subject::Blob(digest) => self.store().check_blob(&digest),
            Subject::Layer { diff_id, key } => self.check_layer(&diff_id, &key, thing),
        }
    }

    fn check_layer(
        &self,
        diff_id: &Digest,
        key: &Digest,
        thing: &Thing,
    ) -> Result<Option<Fault>, StoreError> {
        let tree = self.store().layer_path(key).join(TREE);
        if !tree.try_exists().map_err(disk::error(&tree))? {
            return Ok(Some(Fault::Missing));
        }
        let record = match Record::beside(&tree) {
            Ok(record) if record.diff_id == *diff_id => record,
            _ => return Ok(Some(Fault::Record)),
        };
        let Ok((packed, _)) = packed(&self.store().trees(tree)?) else { return Ok(Some(Fault::Damaged)) };
        if packed == *diff_id {
            return Ok(None);
        }
        if record.reproducible {
            return Ok(Some(Fault::Damaged));
        }
        // Without its blob there is nothing to compare it with. That is a finding of its own.
        let Some(blob) = &thing.blob else { return Ok(None) };
        let fresh = match self.unpack_again(blob, &thing.stack) {
            Err(StoreError::Disk { path, source }) => return Err(StoreError::Disk { path, source }),
            Err(_) => return Ok(None),
            Ok(fresh) => fresh,
        };
        let is_same = self::packed(&[fresh.directory.join(TREE)]).is_ok_and(|(fresh, _)| fresh == packed);
        // Large; the lease removes what cannot be removed now.
        let _ = fs::remove_dir_all(&fresh.directory);
        Ok(if is_same { None } else { Some(Fault::Damaged) })
    }

    /// Unpacks the topmost layer of `stack` once more from a blob that the store has.
    pub(super) fn unpack_again(&self, blob: &Descriptor, stack: &[Digest]) -> Result<Staged, StoreError> {
        let Some((diff_id, lower)) = stack.split_last() else {
            return Err(StoreError::NoBlob(blob.digest));
        };
        let below = self.store().directories(lower)?;
        let source = self.store().open_blob(&blob.digest)?;
        let staged = self.unpack_from(source, Some((blob, *diff_id)), None)?;
        let tree = staged.directory.join(TREE);
        let root = Root::open(&tree, Links::Refused).map_err(disk::error(&tree))?;
        layer::adopt(&root, &staged.implied, &below).map_err(disk::error(&tree))?;
        Ok(staged)
    }
}

impl Store {
    fn check_blob(&self, digest: &Digest) -> Result<Option<Fault>, StoreError> {
        match self.open_blob(digest) {
            Err(StoreError::NoBlob(_)) => Ok(Some(Fault::Missing)),
            Err(error) => Err(error),
            // What the disk cannot give any more is damaged too.
            Ok(file) => match Hashed::new(file).finish() {
                Ok((actual, _)) if actual == *digest => Ok(None),
                _ => Ok(Some(Fault::Damaged)),
            },
        }
    }
}

/// What packing a layer's trees gives.
pub(super) fn packed(trees: &[PathBuf]) -> Result<(Digest, Packed), StoreError> {
    let mut hashed = HashedWriter::new(io::sink());
    let packed = layer::pack(&basis::open(trees)?, &mut hashed)?;
    Ok((hashed.finish().0, packed))
}

#[cfg(test)]
mod tests;
