//! Referrers: manifests that say something about another, such as its signature.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, value::RawValue};

use super::{CONCURRENT, Contents};
use crate::{
    digest::Digest,
    name::RepositoryName,
    storage::{Key, Prefix, StorageError},
};

/// Which referrers are asked for.
pub struct Referrers<'a> {
    pub repository: &'a RepositoryName,
    pub subject: &'a Digest,
    pub artifact_type: Option<&'a str>,
    /// Only those after this one.
    pub last: Option<Digest>,
}

/// Descriptors, as many as fit an index that every client takes.
pub struct ReferrersPage {
    pub descriptors: Vec<Box<RawValue>>,
    /// The last of them, if there are more.
    pub next: Option<Digest>,
}

impl Contents {
    /// Those that refer to a subject, in order of their digests. A subject nobody refers to has none, there or not.
    pub async fn referrers(&self, asked: &Referrers<'_>) -> Result<ReferrersPage, StorageError> {
        let found = self.storage.list(&Prefix::referrers(asked.repository, asked.subject));
        let mut digests: Vec<Digest> = found
            .try_filter_map(async |found| Ok(found.name.as_referrer().map(|(_, referrer)| referrer)))
            .try_filter(|digest| std::future::ready(asked.last.is_none_or(|last| *digest > last)))
            .try_collect()
            .await?;
        digests.sort_unstable();
        let read = async |digest: Digest| {
            let content =
                self.storage.document(&Key::referrer(asked.repository, asked.subject, &digest)).await?;
            Ok::<_, StorageError>(content.map(|content| (digest, content)))
        };
        let mut documents = std::pin::pin!(stream::iter(digests).map(read).buffered(CONCURRENT));
        let mut page = ReferrersPage { descriptors: Vec::new(), next: None };
        let (mut size, mut last) = (0, None);
        while let Some(document) = documents.try_next().await? {
            let Some((digest, content)) = document else { continue };
            let Some(descriptor) = matching(&content, asked.artifact_type) else { continue };
            size += content.len() + 1;
            if size > PAGE && !page.descriptors.is_empty() {
                page.next = last;
                break;
            }
            page.descriptors.push(descriptor);
            last = Some(digest);
        }
        Ok(page)
    }
}

/// The descriptor, if it is one of `artifact_type`.
fn matching(content: &Bytes, artifact_type: Option<&str>) -> Option<Box<RawValue>> {
    let descriptor: Value = serde_json::from_slice(content).ok()?;
    let matches = artifact_type.is_none_or(|wanted| descriptor["artifactType"] == *wanted);
    if matches { serde_json::value::to_raw_value(&descriptor).ok() } else { None }
}

/// Bytes of descriptors in one answer, which as an index stays under 4 MiB. One descriptor may be larger.
const PAGE: usize = (4 << 20) - 1024;
