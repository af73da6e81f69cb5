//! Removes what nothing needs any more, while others add.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::FlockOperation;
use types::Digest;

#[cfg(doc)]
use super::claims_of;
use super::{Record, Store, StoreError, TREE, disk, lease, stacked_keys, usage};

/// What must stay.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Images, by their manifests.
    pub manifests: Vec<Digest>,
    /// Layers that something besides images needs, by all that [`claims_of`] them: a build's cache.
    pub layers: Vec<Digest>,
    /// Further blobs, such as the indexes that images were pulled by.
    pub blobs: Vec<Digest>,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freed {
    /// What it took on the disk.
    pub bytes: u64,
    /// The diff ids of the layers.
    pub layers: Vec<Digest>,
    pub blobs: Vec<Digest>,
}

impl Store {
    /// Removes blobs and layers that neither `live` names nor a lease claims, what dead commands left, and
    /// downloads that nobody went on with for a week.
    ///
    /// `live` is asked after the leases were read, and nothing new is claimed meanwhile: a command that
    /// records its image and only then drops its lease is always seen by one or the other.
    pub fn collect<E: From<StoreError>>(&self, live: impl FnOnce() -> Result<Live, E>) -> Result<Freed, E> {
        let trash = self.lease()?;
        let mut freed = Freed::default();
        let mut dead = Vec::new();
        {
            let _gate = self.gate(FlockOperation::LockExclusive)?;
            let mut needed = self.claimed(&mut dead)?;
            self.mark(&live()?, &mut needed);
            needed.extend(self.bases(&needed)?);
            self.sweep(&needed, &trash, &mut freed)?;
        }
        // Out of everyone's sight by now. What is left of this if we die, the next collection removes.
        freed.bytes += trash.removed_size()?;
        drop(trash);
        for (directory, _lock) in dead {
            freed.bytes += usage::within(&directory)?;
            remove_all(&directory)?;
        }
        freed.bytes += self.drop_partials_older_than(PARTIALS_KEPT)?;
        freed.bytes += self.drop_replaced()?;
        Ok(freed)
    }

    /// The blobs and layers that `live` stands on.
    pub fn needed(&self, live: &Live) -> Result<HashSet<Digest>, StoreError> {
        let mut needed = HashSet::new();
        self.mark(live, &mut needed);
        needed.extend(self.bases(&needed)?);
        Ok(needed)
    }

    /// The blobs and layers that commands at work claim.
    pub fn in_use(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut claimed = self.claimed(&mut Vec::new())?;
        claimed.extend(self.bases(&claimed)?);
        Ok(claimed)
    }

    /// Removes what dead commands left unfinished. Cheap if there is nothing of the kind.
    pub fn clear_up(&self) -> Result<(), StoreError> {
        if names(&self.leases())?.iter().all(|name| name == lease::GATE) {
            return Ok(());
        }
        let mut dead = Vec::new();
        {
            let _gate = self.gate(FlockOperation::LockExclusive)?;
            self.claimed(&mut dead)?;
        }
        dead.into_iter().try_for_each(|(directory, _lock)| remove_all(&directory))
    }

    /// Everything that living leases claim; dead ones are put into `dead`, locked.
    fn claimed(
        &self,
        dead: &mut Vec<(PathBuf, std::os::fd::OwnedFd)>,
    ) -> Result<HashSet<Digest>, StoreError> {
        let mut claimed = HashSet::new();
        for name in names(&self.leases())?.into_iter().filter(|name| name != lease::GATE) {
            let directory = self.leases().join(name);
            match lease::lock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(lock) => dead.push((directory, lock)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let path = directory.join(lease::CLAIMS);
                    let claims = present(fs::read_to_string(&path)).map_err(disk::error(&path))?;
                    claimed
                        .extend(claims.unwrap_or_default().lines().filter_map(|l| Digest::from_hex(l).ok()));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // dropped just now
                Err(error) => return Err(disk::error(&directory)(error)),
            }
        }
        Ok(claimed)
    }

    /// Adds to `needed` all that `live` stands on. An image that cannot be read needs at least what could be.
    fn mark(&self, live: &Live, needed: &mut HashSet<Digest>) {
        needed.extend(live.manifests.iter().chain(&live.layers).chain(&live.blobs));
        for manifest in &live.manifests {
            if let Ok(image) = self.image(manifest) {
                let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
                needed.insert(image.id);
                needed.extend(image.layers.iter().map(|layer| layer.blob.digest));
                needed.extend(stacked_keys(&diff_ids));
                needed.extend(diff_ids);
            } else if let Ok(manifest) = self.manifest(manifest) {
                needed.insert(manifest.config.digest);
                needed.extend(manifest.layers.iter().map(|blob| blob.digest));
            }
        }
    }

    fn sweep(
        &self,
        needed: &HashSet<Digest>,
        trash: &lease::Lease,
        freed: &mut Freed,
    ) -> Result<(), StoreError> {
        let unneeded = |directory: &Path| -> Result<Vec<Digest>, StoreError> {
            let keys = names(directory)?.into_iter().filter_map(|name| Digest::from_hex(&name).ok());
            Ok(keys.filter(|key| !needed.contains(key)).collect())
        };
        for key in unneeded(&self.layers())? {
            let path = self.layer_path(&key);
            match Record::beside(&path.join(TREE)) {
                Ok(record) => freed.layers.push(record.diff_id),
                Err(_) => freed.layers.push(key), // damaged; it goes all the same
            }
            disk::rename(&path, &trash.new_path())?;
        }
        for diff_id in unneeded(&self.compressed())? {
            disk::rename(&self.compressed().join(diff_id.hex()), &trash.new_path())?;
        }
        for digest in unneeded(&self.blobs())? {
            disk::rename(&self.blob_path(&digest), &trash.new_path())?;
            freed.blobs.push(digest);
        }
        Ok(())
    }
}

/// The names in a directory, in order.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    };
    let mut names = read().map_err(disk::error(directory))?;
    names.sort_unstable();
    Ok(names)
}

fn remove_all(directory: &Path) -> Result<(), StoreError> {
    present(fs::remove_dir_all(directory)).map(drop).map_err(disk::error(directory))
}

/// `None` for what is not there any more.
pub(super) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

const PARTIALS_KEPT: Duration = Duration::from_hours(7 * 24);
