//! Tags: names that move.

use std::collections::BTreeSet;

use futures_util::{Stream, TryStreamExt};

use super::{CONCURRENT, Contents};
use crate::{
    digest::Digest,
    name::{RepositoryName, Tag},
    storage::{Key, Prefix, StorageError},
};

impl Contents {
    /// What `tag` names.
    pub async fn tag(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        let key = Key::tag(name, tag);
        let Some(content) = self.storage.document(&key).await? else { return Ok(None) };
        let digest = std::str::from_utf8(&content).ok().and_then(|text| text.parse().ok());
        digest.map(Some).ok_or_else(|| StorageError::Damaged(key.as_str().to_owned()))
    }

    /// Removes a tag, and nothing else; false if there was none.
    pub async fn remove_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<bool, StorageError> {
        self.storage.remove(&Key::tag(name, tag)).await
    }

    /// At most `limit` tags in order, after `last`, and whether there are more; `None` if there is no such repository.
    pub async fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Option<(Vec<String>, bool)>, StorageError> {
        let found =
            self.storage.list(&Prefix::tags(name)).try_filter_map(async |found| Ok(found.name.as_tag()));
        let (tags, more) = first_after(found, last, limit).await?;
        if tags.is_empty() && self.storage.modified(&Key::repository(name)).await?.is_none() {
            return Ok(None);
        }
        Ok(Some((tags.into_iter().map(|tag| tag.to_string()).collect(), more)))
    }

    /// All tags and what they name.
    pub(crate) async fn tagged(&self, name: &RepositoryName) -> Result<Vec<(Tag, Digest)>, StorageError> {
        let found =
            self.storage.list(&Prefix::tags(name)).try_filter_map(async |found| Ok(found.name.as_tag()));
        found
            .map_ok(|tag| async move { Ok(self.tag(name, &tag).await?.map(|digest| (tag, digest))) })
            .try_buffer_unordered(CONCURRENT)
            .try_filter_map(async |tagged| Ok(tagged))
            .try_collect()
            .await
    }

    /// Removes all tags that name `digest`.
    pub(super) async fn remove_tags_of(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        for (tag, named) in self.tagged(name).await? {
            if named == *digest {
                self.remove_tag(name, &tag).await?;
            }
        }
        Ok(())
    }
}

/// The first `limit` of `found` after `last` in order, and whether there are more. Never holds more than that.
pub(super) async fn first_after<T: Ord + AsRef<str>>(
    found: impl Stream<Item = Result<T, StorageError>>,
    last: Option<&str>,
    limit: usize,
) -> Result<(Vec<T>, bool), StorageError> {
    let mut first = BTreeSet::new();
    let mut more = false;
    let mut found = std::pin::pin!(found);
    while let Some(item) = found.try_next().await? {
        if last.is_some_and(|last| item.as_ref() <= last) {
            continue;
        }
        first.insert(item);
        if first.len() > limit {
            first.pop_last();
            more = true;
        }
    }
    Ok((first.into_iter().collect(), more))
}
