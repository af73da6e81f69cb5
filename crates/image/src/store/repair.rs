//! Repairing what [`Store::verify`] found: from what else is in the store, or by what it tells to fetch.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};
use types::Digest;

use super::{
    Fault, Finding, Layer, Lease, RECORD, Record, Staged, Store, StoreError, Subject, TREE,
    collect::{names, present},
    disk, usage,
    verify::packed,
};
use crate::manifest::{Descriptor, OCI_LAYER};

/// What came of trying to repair something.
#[derive(Debug, Clone, PartialEq)]
pub enum Repair {
    Done,
    /// This manifest has to be put into the store again; that is all.
    FetchManifest(Digest),
    /// This blob has to be downloaded again; then, for a layer, repair once more.
    Fetch(Box<Descriptor>),
    /// There is nothing that it could be made from: it has to be built or loaded again.
    Impossible,
}

impl Repair {
    fn fetching(blob: Option<Descriptor>) -> Repair {
        blob.map_or(Repair::Impossible, |blob| Repair::Fetch(Box::new(blob)))
    }
}

impl Lease {
    /// Repairs one finding, if it can be done with what is in the store. Damaged blobs are taken out of it, so
    /// that they can be downloaded. A damaged layer is replaced at once by a new one; containers that run on the
    /// old one keep it, and it is removed after the next boot.
    pub fn repair(&self, finding: &Finding) -> Result<Repair, StoreError> {
        match finding.subject {
            Subject::Manifest(digest) => {
                self.claim(&[digest])?;
                self.take_out(&digest, finding.fault)?;
                Ok(Repair::FetchManifest(digest))
            }
            Subject::Blob(digest) => {
                self.claim(&[digest])?;
                self.take_out(&digest, finding.fault)?;
                self.make_blob(&digest, finding)
            }
            Subject::Layer { diff_id, key } => {
                self.claim(&[diff_id, key])?;
                self.repair_layer(&diff_id, &key, finding)
            }
        }
    }

    fn take_out(&self, digest: &Digest, fault: Fault) -> Result<(), StoreError> {
        if fault == Fault::Missing { Ok(()) } else { self.set_aside(digest) }
    }

    /// Makes a blob that was missing or damaged from a layer, if it is one's.
    fn make_blob(&self, digest: &Digest, finding: &Finding) -> Result<Repair, StoreError> {
        let store = self.store();
        if finding.manifests.is_empty() {
            return Ok(Repair::Done);
        }
        if Record::beside(&store.layer_path(digest).join(TREE)).is_ok_and(|record| record.reproducible) {
            return Ok(Repair::Done);
        }
        for name in names(&store.compressed())? {
            let Ok(diff_id) = Digest::from_hex(&name) else { continue };
            let layer = Layer { diff_id, blob: Descriptor::new(OCI_LAYER, diff_id, 0) };
            if store.compressed_blob(&layer).is_some_and(|blob| blob.digest == *digest)
                && self.compress(&layer, &|_| ()).is_ok_and(|blob| blob.digest == *digest)
            {
                return Ok(Repair::Done);
            }
        }
        Ok(Repair::fetching(finding.blob.clone()))
    }

    fn repair_layer(&self, diff_id: &Digest, key: &Digest, finding: &Finding) -> Result<Repair, StoreError> {
        let store = self.store();
        let place = store.layer_path(key);
        if finding.fault == Fault::Record
            && let Ok((digest, packed)) = packed(&store.trees(place.join(TREE))?)
            && digest == *diff_id
        {
            let record = Record { diff_id: *diff_id, size: packed.size, reproducible: true };
            self.write_record(&record, &place)?;
            return Ok(Repair::Done);
        }
        let layer = Layer { diff_id: *diff_id, blob: Descriptor::new(OCI_LAYER, *diff_id, 0) };
        let compressed = store.compressed_blob(&layer);
        let blobs: Vec<&Descriptor> = finding.blob.iter().chain(&compressed).collect();
        for blob in &blobs {
            match self.unpack_again(blob, &finding.stack) {
                Ok(staged) if finding.fault == Fault::Missing => {
                    self.place(&finding.stack, vec![staged])?;
                    return Ok(Repair::Done);
                }
                Ok(staged) => {
                    self.replace(&place, staged)?;
                    return Ok(Repair::Done);
                }
                Err(StoreError::Disk { path, source }) => return Err(StoreError::Disk { path, source }),
                // A damaged blob, or none: another may do.
                Err(_) => {}
            }
        }
        // A plain blob of a layer that was made here was never sent anywhere.
        let fetchable = compressed.or_else(|| finding.blob.clone().filter(|blob| blob.digest != *diff_id));
        Ok(Repair::fetching(fetchable))
    }

    fn write_record(&self, record: &Record, place: &Path) -> Result<(), StoreError> {
        let path = self.new_path();
        record.write(&path)?;
        disk::sync_all(&path)?;
        disk::rename(&path, &place.join(RECORD))
    }

    /// Puts a layer in the place of a damaged one, at once for everybody.
    fn replace(&self, place: &Path, staged: Staged) -> Result<(), StoreError> {
        let (digest, packed) = packed(&[staged.directory.join(TREE)])?;
        let reproducible = digest == staged.diff_id;
        let record = Record { diff_id: staged.diff_id, size: packed.size, reproducible };
        record.write(&staged.directory.join(RECORD))?;
        disk::sync_all(&staged.directory)?;
        // Outside of the lease, which would remove the old one when it ends.
        let aside = self.new_replaced()?;
        disk::rename(&staged.directory, &aside)?;
        match rustix::fs::renameat_with(CWD, &aside, CWD, place, RenameFlags::EXCHANGE) {
            Err(Errno::NOENT) => disk::rename(&aside, place)?,
            result => result.map_err(|error| disk::error(place)(error.into()))?,
        }
        disk::sync_directory(&self.store().layers())
    }

    fn new_replaced(&self) -> Result<PathBuf, StoreError> {
        disk::make_directory(&self.store().replaced())?;
        let path = self.new_path();
        let lease = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let serial = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(self.store().replaced().join(format!("{}.{lease}.{serial}", boot()?)))
    }
}

impl Store {
    /// Removes layers that were replaced before this boot. The bytes that were freed.
    pub(super) fn drop_replaced(&self) -> Result<u64, StoreError> {
        let directory = self.replaced();
        if !directory.try_exists().map_err(disk::error(&directory))? {
            return Ok(0);
        }
        let boot = boot()?;
        let mut freed = 0;
        for name in names(&directory)?.into_iter().filter(|name| !name.starts_with(&boot)) {
            let path = directory.join(name);
            freed += usage::on_disk(&path)?;
            present(fs::remove_dir_all(&path)).map_err(disk::error(&path))?;
        }
        Ok(freed)
    }
}

/// What names this boot of the machine: no container outlives it.
fn boot() -> Result<String, StoreError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(fs::read_to_string(path).map_err(disk::error(path))?.trim().to_owned())
}
