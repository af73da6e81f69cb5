//! What a registry has: repositories, their manifests, tags, blobs and referrers, as documents and blobs of a storage.
//!
//! This is where the registry's promises are kept: a repository serves only what it was given, a manifest is there only
//! with everything it needs, and what a push in progress relies on is not collected under it.

mod referrers;
mod tags;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

pub use referrers::Referrers;

use crate::{
    digest::Digest,
    manifest::{InvalidManifest, Manifest},
    name::{Reference, RepositoryName, Tag},
    storage::{Key, Pass, Prefix, Storage, StorageError},
};

/// What a registry has. Cheap to clone.
#[derive(Clone)]
pub struct Contents {
    pub storage: Arc<dyn Storage>,
    /// How long a collection spares what is not referred to.
    pub grace: Duration,
    /// Whether an index may list manifests that are not there.
    pub sparse: bool,
}

/// Why a manifest was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error("manifest invalid: {0}")]
    Invalid(#[from] InvalidManifest),
    #[error("the manifest hashes to {actual}")]
    Digest { actual: Digest },
    #[error("blobs unknown to registry")]
    Missing(Vec<Digest>),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Contents {
    /// The size of a blob, if the repository was given it. Whoever asks may rely on it for a while.
    pub async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<u64>, StorageError> {
        if !self.still_has(&Key::blob(name, digest)).await? {
            return Ok(None);
        }
        Ok(self.storage.blob(digest).await?.map(|blob| blob.size))
    }

    /// Lets a repository serve a blob; false if there is no such blob.
    pub async fn give_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        let _gate = self.storage.gate(Pass::Shared).await?;
        if !self.storage.renew_blob(digest).await? {
            return Ok(false);
        }
        self.list_repository(name).await?;
        self.storage.put(&Key::blob(name, digest), Bytes::new()).await?;
        Ok(true)
    }

    /// Takes a blob away from a repository; false if it did not have it.
    pub async fn take_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        self.storage.remove(&Key::blob(name, digest)).await
    }

    /// The digest `reference` stands for and the media type of the manifest, if there is one.
    pub async fn find(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<(Digest, String)>, StorageError> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => match self.tag(name, tag).await? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        let Some(media_type) = self.storage.document(&Key::manifest(name, &digest)).await? else {
            return Ok(None);
        };
        Ok(Some((digest, String::from_utf8_lossy(&media_type).into_owned())))
    }

    /// All bytes of a blob that is a manifest.
    pub async fn bytes(&self, digest: &Digest) -> Result<Option<Bytes>, StorageError> {
        let Some(blob) = self.storage.blob(digest).await? else { return Ok(None) };
        if blob.size > image::manifest::MANIFEST_LIMIT {
            return Err(StorageError::Damaged(digest.to_string()));
        }
        let Some(stream) = self.storage.read(digest, 0..blob.size).await? else { return Ok(None) };
        let pieces: Vec<Bytes> = stream.try_collect().await?;
        Ok(Some(match <[Bytes; 1]>::try_from(pieces) {
            Ok([whole]) => whole,
            Err(pieces) => pieces.concat().into(),
        }))
    }

    /// Takes a manifest with what it needs, and names it by `tags`.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        content_type: Option<&str>,
        bytes: Bytes,
    ) -> Result<Manifest, PutError> {
        let actual = digest.algorithm().digest(&bytes);
        if actual != *digest {
            return Err(PutError::Digest { actual });
        }
        let manifest = Manifest::read(&bytes, content_type)?;
        // From the check until the manifest is there nothing may be collected.
        let _gate = self.storage.gate(Pass::Shared).await?;
        let missing = self.missing(name, &manifest).await?;
        if !missing.is_empty() {
            return Err(PutError::Missing(missing));
        }
        self.place(name, digest, tags, &manifest, bytes).await?;
        Ok(manifest)
    }

    /// Puts a manifest in place. The gate is held.
    async fn place(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        tags: impl IntoIterator<Item = &Tag>,
        manifest: &Manifest,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let size = bytes.len();
        self.storage.insert(digest, bytes).await?;
        self.list_repository(name).await?;
        if let Some(subject) = &manifest.subject {
            // First, so that no referrer that can be pulled is missing from the list.
            let descriptor = manifest.as_referrer(digest, size).to_string();
            self.storage.put(&Key::referrer(name, subject, digest), descriptor.into()).await?;
        }
        let media_type = Bytes::from(manifest.media_type.clone());
        self.storage.put(&Key::manifest(name, digest), media_type).await?;
        for tag in tags {
            self.storage.put(&Key::tag(name, tag), digest.to_string().into()).await?;
        }
        Ok(())
    }

    /// Keeps a manifest that another registry has, with or without what it needs.
    pub async fn keep_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        tag: Option<&Tag>,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<(), PutError> {
        let manifest = Manifest::read(&bytes, Some(media_type))?;
        let _gate = self.storage.gate(Pass::Shared).await?;
        self.place(name, digest, tag, &manifest, bytes.into()).await?;
        Ok(())
    }

    /// Removes a manifest with its tags; false if there was none.
    pub async fn remove_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let _gate = self.storage.gate(Pass::Shared).await?;
        // First the tags: one that names nothing would be listed but not found.
        self.remove_tags_of(name, digest).await?;
        self.drop_manifest(name, digest).await
    }

    /// Removes a manifest that no tag names.
    pub(crate) async fn drop_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let key = Key::manifest(name, digest);
        let Some(media_type) = self.storage.document(&key).await? else { return Ok(false) };
        let subject = self.read(digest, &String::from_utf8_lossy(&media_type)).await?.and_then(|m| m.subject);
        let removed = self.storage.remove(&key).await?;
        if let Some(subject) = subject {
            self.storage.remove(&Key::referrer(name, &subject, digest)).await?;
        }
        Ok(removed)
    }

    /// A manifest as far as it can be read.
    pub(crate) async fn read(
        &self,
        digest: &Digest,
        media_type: &str,
    ) -> Result<Option<Manifest>, StorageError> {
        let Some(bytes) = self.bytes(digest).await? else { return Ok(None) };
        let manifest = Manifest::read(&bytes, Some(media_type));
        manifest.map(Some).map_err(|_| StorageError::Damaged(digest.to_string()))
    }

    /// At most `limit` names of repositories with manifests, in order, after `last`; and whether there are more.
    pub async fn repositories(
        &self,
        last: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), StorageError> {
        let mut last = last.unwrap_or_default().to_owned();
        let mut names = Vec::new();
        // Names are noted with the first blob; those without a manifest yet are passed over.
        loop {
            let all = self.storage.list(&Prefix::repositories());
            let after = all.try_filter_map(async |found| Ok(found.name.as_repository()));
            let (page, more) = tags::first_after(after, Some(&last), limit).await?;
            let Some(end) = page.last() else { return Ok((names, false)) };
            last = end.as_str().to_owned();
            for name in page {
                if self.storage.list(&Prefix::manifests(&name)).next().await.transpose()?.is_some() {
                    if names.len() == limit {
                        return Ok((names, true));
                    }
                    names.push(name.as_str().to_owned());
                }
            }
            if !more {
                return Ok((names, false));
            }
        }
    }

    /// What of the manifest's references is not in the repository. What is there stays for a while. The gate is held.
    async fn missing(&self, name: &RepositoryName, manifest: &Manifest) -> Result<Vec<Digest>, StorageError> {
        let blobs = manifest.blobs.iter().map(|digest| (*digest, false));
        let children = manifest.children.iter().map(|child| (child.digest, child.is_manifest));
        let wanted = blobs.chain(children.filter(|(_, is_manifest)| !(self.sparse && *is_manifest)));
        // What may be elsewhere is kept if it is here.
        for digest in &manifest.foreign {
            self.renew(&Key::blob(name, digest)).await?;
        }
        let wanted: Vec<(Digest, bool)> = wanted.collect();
        let checks = wanted.into_iter().map(|(digest, is_manifest)| async move {
            let there = match is_manifest {
                true => self.storage.modified(&Key::manifest(name, &digest)).await?.is_some(),
                false => {
                    self.renew(&Key::blob(name, &digest)).await?
                        && self.storage.blob(&digest).await?.is_some()
                }
            };
            Ok((!there).then_some(digest))
        });
        stream::iter(checks)
            .buffered(CONCURRENT)
            .try_filter_map(async |missing| Ok(missing))
            .try_collect()
            .await
    }

    /// Whether the document is there. One that is getting old is renewed, so that no collection takes what somebody was
    /// just told is there.
    async fn still_has(&self, key: &Key) -> Result<bool, StorageError> {
        let Some(modified) = self.storage.modified(key).await? else { return Ok(false) };
        if self.is_young(modified) {
            return Ok(true);
        }
        let _gate = self.storage.gate(Pass::Shared).await?;
        // It may have been collected before the gate opened.
        self.renew(key).await
    }

    /// [`Contents::still_has`] for who holds the gate: to wait for it once more, behind a collection that waits for its
    /// holders, would be for ever.
    async fn renew(&self, key: &Key) -> Result<bool, StorageError> {
        match self.storage.modified(key).await? {
            Some(modified) if self.is_young(modified) => Ok(true),
            Some(_) => self.storage.put(key, Bytes::new()).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether no collection takes it for a good while.
    fn is_young(&self, modified: SystemTime) -> bool {
        SystemTime::now().duration_since(modified).unwrap_or_default() < self.grace / 4
    }

    /// Notes that the repository has something, for those who walk through all of them.
    async fn list_repository(&self, name: &RepositoryName) -> Result<(), StorageError> {
        let key = Key::repository(name);
        match self.storage.modified(&key).await? {
            Some(_) => Ok(()),
            None => self.storage.put(&key, Bytes::new()).await,
        }
    }
}

/// How many documents one request looks at side by side.
pub(crate) const CONCURRENT: usize = 16;

#[cfg(all(test, feature = "s3"))]
mod tests {
    use image::manifest::OCI_MANIFEST;

    use super::*;
    use crate::storage::Objects;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn pushes_and_collections_do_not_wait_for_each_other_for_ever() {
        let store = Arc::new(object_store::memory::InMemory::new());
        let storage = Arc::new(Objects::new(store, "", 1000));
        // Everything is old at once.
        let contents = Contents { storage, grace: Duration::ZERO, sparse: false };
        let name: RepositoryName = "a".parse().unwrap();
        let config = Digest::of(b"{}");
        contents.storage.insert(&config, Bytes::from_static(b"{}")).await.unwrap();
        contents.give_blob(&name, &config).await.unwrap();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{config}","size":2}},"layers":[]}}"#
        );
        let pushing = tokio::spawn({
            let contents = contents.clone();
            async move {
                for _ in 0..2000 {
                    let (digest, bytes) = (Digest::of(manifest.as_bytes()), manifest.clone().into());
                    contents.put_manifest(&name, &digest, &[], Some(OCI_MANIFEST), bytes).await.unwrap();
                }
            }
        });
        let collecting = tokio::spawn(async move {
            for _ in 0..2000 {
                drop(contents.storage.gate(Pass::Exclusive).await.unwrap());
            }
        });
        let both = async { tokio::join!(pushing, collecting) };
        let (pushed, collected) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        pushed.unwrap();
        collected.unwrap();
    }
}
