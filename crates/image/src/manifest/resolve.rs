//! From an index, which may name further indexes, to the one manifest that is wanted.

use std::collections::HashSet;

use types::Digest;

use super::{DOCKER_INDEX, Descriptor, Document, Index, InvalidDocument, Manifest, OCI_INDEX};

/// A manifest, and what led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub digest: Digest,
    pub bytes: Vec<u8>,
    pub manifest: Manifest,
    /// The indexes on the way, outermost first, with their bytes.
    pub indexes: Vec<(Digest, Vec<u8>)>,
}

/// The manifest that `start` names, or that `choose` finds in the index it names; none if nothing is chosen.
///
/// If `choose` takes nothing of an index, the indexes in it are tried, in their order. No more than
/// three stand one in another, and no more than 32 documents are asked for; `fetch` gives each one's bytes, verified.
pub fn resolve<E: From<InvalidDocument>>(
    start: &Descriptor,
    choose: &dyn Fn(&Index) -> Option<Descriptor>,
    fetch: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>, E>,
) -> Result<Option<Resolved>, E> {
    Resolution { choose, fetch, seen: HashSet::new(), indexes: Vec::new() }.follow(start)
}

struct Resolution<'a, E> {
    choose: &'a dyn Fn(&Index) -> Option<Descriptor>,
    fetch: &'a mut dyn FnMut(&Descriptor) -> Result<Vec<u8>, E>,
    /// What was asked for. A loop would take two documents that hash each other; a liar without hashes
    /// could still send one.
    seen: HashSet<Digest>,
    indexes: Vec<(Digest, Vec<u8>)>,
}

impl<E: From<InvalidDocument>> Resolution<'_, E> {
    fn follow(&mut self, descriptor: &Descriptor) -> Result<Option<Resolved>, E> {
        if !self.seen.insert(descriptor.digest) {
            return Ok(None);
        }
        if self.seen.len() > DOCUMENTS_LIMIT {
            return Err(InvalidDocument::TooMany { what: "documents", limit: DOCUMENTS_LIMIT }.into());
        }
        let bytes = (self.fetch)(descriptor)?;
        let index = match Document::parse(&bytes, &descriptor.media_type)? {
            Document::Manifest(manifest) => {
                let indexes = std::mem::take(&mut self.indexes);
                return Ok(Some(Resolved { digest: descriptor.digest, bytes, manifest: *manifest, indexes }));
            }
            Document::Index(index) => index,
        };
        if self.indexes.len() == DEPTH_LIMIT {
            return Err(InvalidDocument::TooMany { what: "indexes in each other", limit: DEPTH_LIMIT }.into());
        }
        self.indexes.push((descriptor.digest, bytes));
        if let Some(chosen) = (self.choose)(&index) {
            return self.follow(&chosen);
        }
        for inner in index.manifests.iter().filter(|inner| inner.platform.is_none() && is_index(inner)) {
            if let Some(found) = self.follow(inner)? {
                return Ok(Some(found));
            }
        }
        self.indexes.pop();
        Ok(None)
    }
}

fn is_index(descriptor: &Descriptor) -> bool {
    matches!(descriptor.media_type.as_str(), OCI_INDEX | DOCKER_INDEX)
}

const DEPTH_LIMIT: usize = 3;
const DOCUMENTS_LIMIT: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use types::Platform;

    use super::*;
    use crate::manifest::{DescribedPlatform, OCI_CONFIG, OCI_MANIFEST};

    /// Documents by the digests they are asked for by.
    #[derive(Default)]
    struct Documents(HashMap<Digest, Vec<u8>>);

    impl Documents {
        fn manifest(&mut self, name: &str) -> Descriptor {
            let config = Descriptor::new(OCI_CONFIG, Digest::of(name.as_bytes()), 2);
            self.add(OCI_MANIFEST, serde_json::to_vec(&Manifest::new(config, vec![])).unwrap())
        }

        fn index(&mut self, entries: Vec<Descriptor>) -> Descriptor {
            self.add(OCI_INDEX, serde_json::to_vec(&Index::new(entries)).unwrap())
        }

        fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
            let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
            self.0.insert(descriptor.digest, bytes);
            descriptor
        }

        fn resolve(&self, start: &Descriptor) -> Result<Option<Resolved>, InvalidDocument> {
            let platform: Platform = "linux/amd64".parse().unwrap();
            let fetch = |wanted: &Descriptor| Ok(self.0[&wanted.digest].clone());
            resolve(start, &|index| index.for_platform(&platform).cloned(), &mut { fetch })
        }
    }

    fn on(descriptor: Descriptor, architecture: &str) -> Descriptor {
        let platform = DescribedPlatform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
            other: Default::default(),
        };
        Descriptor { platform: Some(platform), ..descriptor }
    }

    #[test]
    fn an_index_leads_to_the_platforms_manifest_even_through_another_index() {
        let mut documents = Documents::default();
        let wanted = documents.manifest("amd64");
        let other = documents.manifest("arm64");
        let others = documents.index(vec![on(other.clone(), "arm64")]);
        let inner = documents.index(vec![on(other, "arm64"), on(wanted.clone(), "amd64")]);
        let outer = documents.index(vec![others.clone(), inner.clone()]);
        assert_eq!(documents.resolve(&wanted).unwrap().unwrap().indexes, []);
        let found = documents.resolve(&outer).unwrap().unwrap();
        assert_eq!(found.digest, wanted.digest);
        let indexes: Vec<Digest> = found.indexes.iter().map(|(digest, _)| *digest).collect();
        assert_eq!(indexes, [outer.digest, inner.digest]);
        assert_eq!(documents.resolve(&others).unwrap(), None);
    }

    #[test]
    fn neither_depth_nor_loops_nor_numbers_keep_anybody_busy() {
        let mut documents = Documents::default();
        let mut deep = documents.manifest("x");
        for _ in 0..4 {
            deep = documents.index(vec![on(deep, "amd64")]);
        }
        assert!(documents.resolve(&deep).unwrap_err().to_string().contains("in each other"));
        // Its own digest is one that nobody could know beforehand.
        let own = Descriptor::new(OCI_INDEX, Digest::of(b"itself"), 0);
        documents.0.insert(own.digest, serde_json::to_vec(&Index::new(vec![own.clone()])).unwrap());
        assert_eq!(documents.resolve(&own).unwrap(), None);
        let many: Vec<Descriptor> = (0..40)
            .map(|n| {
                let manifest = documents.manifest(&n.to_string());
                documents.index(vec![on(manifest, "s390x")])
            })
            .collect();
        let many = documents.index(many);
        assert!(documents.resolve(&many).unwrap_err().to_string().contains("more than 32 documents"));
    }
}
