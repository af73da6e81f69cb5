//! Collects what nobody refers to any more, while the registry serves.
//!
//! 1. In each repository: what its manifests refer to is kept; the other blobs are taken away from it.
//! 2. Everywhere: a blob that no repository has is removed.
//!
//! A push is a sequence of requests, each of which relies on what the ones before it left. So nothing younger than the
//! grace period is touched, whoever is told that something is there makes it young again, and what is to go is looked at
//! once more behind the gate, where nobody can be about to use it. A collection that is killed has done part of its work.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    contents::{CONCURRENT, Contents},
    digest::Digest,
    manifest::Manifest,
    name::RepositoryName,
    storage::{Key, Pass, Prefix, StorageError, UploadId},
};

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    pub manifests: u64,
    pub links: u64,
    pub blobs: u64,
    pub bytes: u64,
    pub uploads: u64,
}

/// Whether manifests that no tag leads to are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untagged {
    Keep,
    Remove,
}

/// Removes what nobody refers to and what is older than the grace period.
pub async fn collect(contents: &Contents, untagged: Untagged) -> Result<Collected, StorageError> {
    let before = SystemTime::now().checked_sub(contents.grace).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut collection = Collection { contents, before, collected: Collected::default() };
    let mut live = HashSet::new();
    let mut repositories = contents.storage.list(&Prefix::repositories());
    while let Some(found) = repositories.try_next().await? {
        if let Some(name) = found.name.as_repository() {
            collection.repository(&name, untagged, &mut live).await?;
        }
    }
    collection.blobs(&live).await?;
    collection.collected.uploads = expire_uploads(contents).await?.expired;
    let yesterday = SystemTime::now().checked_sub(LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH);
    contents.storage.sweep(yesterday).await?;
    Ok(collection.collected)
}

/// How many uploads were forgotten because nobody went on with them for a day, and how many are left.
pub struct Uploads {
    pub expired: u64,
    pub left: usize,
}

/// Forgets uploads that nobody went on with for a day.
pub async fn expire_uploads(contents: &Contents) -> Result<Uploads, StorageError> {
    let mut uploads = Uploads { expired: 0, left: 0 };
    let old: Vec<UploadId> = contents
        .storage
        .uploads()
        .inspect_ok(|_| uploads.left += 1)
        .try_filter(|found| std::future::ready(found.modified.elapsed().is_ok_and(|age| age > LIFETIME)))
        .map_ok(|found| found.name)
        .try_collect()
        .await?;
    for id in old {
        if contents.storage.abort(&id).await? {
            uploads.expired += 1;
        }
    }
    uploads.left = uploads.left.saturating_sub(usize::try_from(uploads.expired).unwrap_or(usize::MAX));
    Ok(uploads)
}

struct Collection<'a> {
    contents: &'a Contents,
    /// What changed since is spared.
    before: SystemTime,
    collected: Collected,
}

/// The manifests of a repository. `None` stands for one that cannot be read: it may refer to anything.
type Manifests = HashMap<Digest, (SystemTime, Option<Manifest>)>;

impl Collection<'_> {
    /// Collects in one repository, and adds what it still has to `live`.
    async fn repository(
        &mut self,
        name: &RepositoryName,
        untagged: Untagged,
        live: &mut HashSet<Digest>,
    ) -> Result<(), StorageError> {
        let mut manifests = self.manifests(name).await?;
        if untagged == Untagged::Remove {
            let tagged = self.contents.tagged(name).await?;
            let kept = kept(&manifests, tagged.into_iter().map(|(_, digest)| digest).collect(), self.before);
            for digest in
                manifests.keys().copied().filter(|digest| !kept.contains(digest)).collect::<Vec<_>>()
            {
                if self.manifest(name, &digest).await? {
                    manifests.remove(&digest);
                }
            }
        }
        let unreadable = manifests.values().any(|(_, manifest)| manifest.is_none());
        let referred: HashSet<Digest> = manifests
            .values()
            .filter_map(|(_, manifest)| manifest.as_ref())
            .flat_map(Manifest::references)
            .collect();
        let mut links = self.contents.storage.list(&Prefix::blobs(name));
        let mut has_any = !manifests.is_empty();
        while let Some(found) = links.try_next().await? {
            let Some(digest) = found.name.as_digest() else { continue };
            let spared = unreadable || referred.contains(&digest) || found.modified >= self.before;
            if spared || !self.document(&found.name).await? {
                has_any = true;
                live.insert(digest);
            } else {
                self.collected.links += 1;
            }
        }
        live.extend(manifests.keys());
        self.referrers(name, &manifests).await?;
        if !has_any {
            self.forget(name).await?;
        }
        Ok(())
    }

    async fn manifests(&self, name: &RepositoryName) -> Result<Manifests, StorageError> {
        let found: Vec<(Digest, SystemTime, Key)> = self
            .contents
            .storage
            .list(&Prefix::manifests(name))
            .try_filter_map(async |found| {
                Ok(found.name.as_digest().map(|digest| (digest, found.modified, found.name)))
            })
            .try_collect()
            .await?;
        let read = async |(digest, modified, key): (Digest, SystemTime, Key)| {
            let media_type = self.contents.storage.document(&key).await?.unwrap_or_default();
            let manifest = match self.contents.read(&digest, &String::from_utf8_lossy(&media_type)).await {
                Err(StorageError::Damaged(_)) => None,
                other => other?,
            };
            Ok((digest, (modified, manifest)))
        };
        stream::iter(found).map(read).buffer_unordered(CONCURRENT).try_collect().await
    }

    /// Removes a manifest that is still old behind the gate. One that was pushed again is young.
    async fn manifest(&mut self, name: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        let _gate = self.contents.storage.gate(Pass::Exclusive).await?;
        if !self.is_old(&Key::manifest(name, digest)).await? {
            return Ok(false);
        }
        let removed = self.contents.drop_manifest(name, digest).await?;
        self.collected.manifests += u64::from(removed);
        Ok(removed)
    }

    /// Removes a document that is still old behind the gate.
    async fn document(&self, key: &Key) -> Result<bool, StorageError> {
        let _gate = self.contents.storage.gate(Pass::Exclusive).await?;
        Ok(self.is_old(key).await? && self.contents.storage.remove(key).await?)
    }

    async fn is_old(&self, key: &Key) -> Result<bool, StorageError> {
        Ok(self.contents.storage.modified(key).await?.is_some_and(|modified| modified < self.before))
    }

    /// Removes entries for referrers that are gone, left by a process that was killed between two steps.
    async fn referrers(&self, name: &RepositoryName, manifests: &Manifests) -> Result<(), StorageError> {
        let mut entries = self.contents.storage.list(&Prefix::all_referrers(name));
        while let Some(found) = entries.try_next().await? {
            let gone =
                found.name.as_referrer().is_none_or(|(_, referrer)| !manifests.contains_key(&referrer));
            if gone && found.modified < self.before {
                self.document(&found.name).await?;
            }
        }
        Ok(())
    }

    /// Forgets a repository that has nothing.
    async fn forget(&self, name: &RepositoryName) -> Result<(), StorageError> {
        let storage = &self.contents.storage;
        let _gate = storage.gate(Pass::Exclusive).await?;
        for prefix in [Prefix::manifests(name), Prefix::blobs(name)] {
            if storage.list(&prefix).try_next().await?.is_some() {
                return Ok(());
            }
        }
        storage.remove(&Key::repository(name)).await?;
        Ok(())
    }

    /// Removes blobs that no repository has.
    async fn blobs(&mut self, live: &HashSet<Digest>) -> Result<(), StorageError> {
        let storage = &self.contents.storage;
        let mut blobs = storage.blobs();
        while let Some(found) = blobs.try_next().await? {
            if live.contains(&found.name) || found.modified >= self.before {
                continue;
            }
            let _gate = storage.gate(Pass::Exclusive).await?;
            // Whoever gave it to a repository since made it young first.
            let old = storage.blob(&found.name).await?.filter(|blob| blob.modified < self.before);
            if let Some(blob) = old
                && storage.remove_blob(&found.name).await?
            {
                self.collected.blobs += 1;
                self.collected.bytes += blob.size;
            }
        }
        Ok(())
    }
}

/// The manifests that a tag leads to, that are young, or that say something about one of those.
fn kept(manifests: &Manifests, tagged: HashSet<Digest>, before: SystemTime) -> HashSet<Digest> {
    let mut about: HashMap<Digest, Vec<Digest>> = HashMap::new();
    for (digest, (_, manifest)) in manifests {
        if let Some(subject) = manifest.as_ref().and_then(|manifest| manifest.subject) {
            about.entry(subject).or_default().push(*digest);
        }
    }
    let young =
        manifests.iter().filter(|(_, (modified, manifest))| *modified >= before || manifest.is_none());
    let mut pending: Vec<Digest> = tagged.into_iter().chain(young.map(|(digest, _)| *digest)).collect();
    let mut kept = HashSet::new();
    while let Some(digest) = pending.pop() {
        if !kept.insert(digest) {
            continue;
        }
        pending.extend(about.get(&digest).into_iter().flatten());
        if let Some((_, Some(manifest))) = manifests.get(&digest) {
            pending.extend(manifest.references());
        }
    }
    kept
}

/// How long an upload waits to be gone on with.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
