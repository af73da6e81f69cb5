//! One repository of a registry: its manifests, tags, and the blobs they name.

use std::sync::Arc;

use image::manifest::{
    DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Document, Index, MANIFEST_LIMIT, OCI_INDEX, OCI_MANIFEST,
};
use types::{Digest, Reference};
use ureq::http::{Method, header};

use crate::{
    Blob, Client, ClientError, ask::Ask, auth::Scope, exchange::Exchange, paging, reply::Reply, site::Site,
};

/// A repository, reached through a [`Client`].
pub struct Repository<'c> {
    client: &'c Client,
    site: Arc<Site>,
    mirrors: Vec<Arc<Site>>,
    path: String,
}

/// Which of a repository's manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    Tag(String),
    Digest(Digest),
}

/// A manifest or an index, byte by byte as the registry has it, its digest verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub digest: Digest,
    /// What the registry calls it. Its own `mediaType` is for the caller to compare.
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl<'c> Repository<'c> {
    pub(crate) fn new(
        client: &'c Client,
        site: Arc<Site>,
        mirrors: Vec<Arc<Site>>,
        path: &str,
    ) -> Repository<'c> {
        Repository { client, site, mirrors, path: path.to_owned() }
    }

    /// Fetches a manifest or an index of at most [`MANIFEST_LIMIT`] bytes.
    pub fn manifest(&self, which: &Selector) -> Result<Fetched, ClientError> {
        let ask = self.manifest_ask(Method::GET, which);
        let fetched = self.read(|exchange| self.fetched(exchange.send(&ask, &[])?, which));
        fetched.map_err(|error| match error {
            ClientError::Denied(refusal) => ClientError::PullDenied { name: self.familiar_name(), refusal },
            other => other,
        })
    }

    /// What a manifest is, without its bytes; `None` if it is not there.
    pub fn find_manifest(&self, which: &Selector) -> Result<Option<Descriptor>, ClientError> {
        let ask = self.manifest_ask(Method::HEAD, which);
        let found = self.read(|exchange| {
            let reply = exchange.send(&ask, &[])?;
            let digest = match which {
                Selector::Digest(digest) => Some(*digest),
                Selector::Tag(_) => digest_header(&reply)?,
            };
            Ok(digest.zip(media_type(&reply)).zip(reply.described_length()))
        });
        match found {
            Ok(Some(((digest, media_type), size))) => Ok(Some(Descriptor::new(&media_type, digest, size))),
            // Some answer that it is there, and nothing else; some do not answer this question at all.
            Ok(None) => self.describe(which),
            Err(ClientError::Refused(refusal)) if matches!(refusal.status, 400 | 405 | 501) => {
                self.describe(which)
            }
            Err(ClientError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// [`Repository::find_manifest`] by fetching it.
    fn describe(&self, which: &Selector) -> Result<Option<Descriptor>, ClientError> {
        match self.manifest(which) {
            Ok(fetched) => {
                Ok(Some(Descriptor::new(&fetched.media_type, fetched.digest, fetched.bytes.len() as u64)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a blob to read it from `offset` on. What is read has not been verified.
    pub fn blob(&self, blob: &Descriptor, offset: u64) -> Result<Blob<'c>, ClientError> {
        let sites = self.mirrors.iter().chain([&self.site]).cloned().collect();
        Blob::open(self.client, sites, &self.path, blob, offset)
    }

    /// The size of a blob that the repository has; `None` if it has not.
    pub fn has_blob(&self, digest: &Digest) -> Result<Option<u64>, ClientError> {
        let ask = self.ask(Method::HEAD, format!("blobs/{digest}"), Scope::pull(&self.path));
        match self.exchange().send(&ask, &[]) {
            Ok(reply) => match reply.described_length() {
                Some(length) => Ok(Some(length)),
                None => Err(reply.nonsense("does not say how large a blob is")),
            },
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a manifest or an index, byte by byte, and returns its digest, on which both sides agree.
    pub fn put_manifest(
        &self,
        which: &Selector,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, ClientError> {
        let digest = Digest::of(bytes);
        let ask = self
            .ask(Method::PUT, format!("manifests/{which}"), Scope::push(&self.path))
            .header(header::CONTENT_TYPE, media_type)
            .about(&self.path, self.what(which));
        let reply = self.exchange().send(&ask, bytes)?;
        match digest_header(&reply)? {
            Some(other) if other != digest => Err(self.damaged("the manifest", digest, other)),
            _ => Ok(digest),
        }
    }

    /// Deletes a manifest, and with it all its tags.
    pub fn delete_manifest(&self, digest: &Digest) -> Result<(), ClientError> {
        self.delete(format!("manifests/{digest}"), format!("manifest {digest}"))
    }

    /// Deletes a blob from this repository.
    pub fn delete_blob(&self, digest: &Digest) -> Result<(), ClientError> {
        self.delete(format!("blobs/{digest}"), format!("blob {digest}"))
    }

    fn delete(&self, path: String, what: String) -> Result<(), ClientError> {
        let ask = self.ask(Method::DELETE, path, Scope::delete(&self.path)).about(&self.path, what);
        self.exchange().send(&ask, &[])?.discard();
        Ok(())
    }

    /// All tags, in the registry's order.
    pub fn tags(&self) -> Result<Vec<String>, ClientError> {
        let path = format!("tags/list?n={}", paging::PAGE);
        let ask = self
            .ask(Method::GET, path, Scope::pull(&self.path))
            .about(&self.path, format!("repository {}", self.familiar_name()));
        self.read(|exchange| paging::all(exchange, ask.clone(), "tags"))
    }

    /// What refers to the manifest `digest`: signatures, attestations, and their like. Registries that do not keep
    /// track have them under a tag named after it (the specification's "Referrers Tag Schema").
    pub fn referrers(&self, digest: &Digest) -> Result<Index, ClientError> {
        let ask = self
            .ask(Method::GET, format!("referrers/{digest}"), Scope::pull(&self.path))
            .header(header::ACCEPT, OCI_INDEX);
        let mut manifests = Vec::new();
        let exchange = self.exchange();
        let pages = paging::pages(&exchange, ask, "referrers", |bytes| {
            let nonsense = |_| exchange.nonsense("sends referrers that are not an index".to_owned());
            let index: Index = image::manifest::owned_json(bytes, MANIFEST_LIMIT).map_err(nonsense)?;
            manifests.extend(index.manifests);
            Ok(())
        });
        match pages {
            Ok(()) => return Ok(Index::new(manifests)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        match self.manifest(&Selector::Tag(format!("sha256-{}", digest.hex()))) {
            Ok(fetched) => match Document::parse(&fetched.bytes, &fetched.media_type) {
                Ok(Document::Index(index)) => Ok(index),
                _ => Err(self.exchange().nonsense("has referrers that are not an index".to_owned())),
            },
            Err(error) if error.is_not_found() => Ok(Index::new(Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// The registry's name, as in references.
    pub fn registry(&self) -> &str {
        &self.site.registry
    }

    /// The path within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn exchange(&self) -> Exchange<'_> {
        self.client.exchange(&self.site)
    }

    pub(crate) fn ask(&self, method: Method, path: String, scope: Scope) -> Ask {
        ask(method, &self.path, &path, scope)
    }

    fn manifest_ask(&self, method: Method, which: &Selector) -> Ask {
        self.ask(method, format!("manifests/{which}"), Scope::pull(&self.path))
            .header(header::ACCEPT, ACCEPT.join(", "))
            .about(&self.path, self.what(which))
    }

    /// Asks the mirrors first; whatever they cannot do, the registry itself is asked.
    fn read<T>(
        &self,
        mut ask: impl FnMut(&Exchange<'_>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        for mirror in &self.mirrors {
            if let Ok(answer) = ask(&self.client.exchange(mirror)) {
                return Ok(answer);
            }
        }
        ask(&self.exchange())
    }

    fn fetched(&self, reply: Reply, which: &Selector) -> Result<Fetched, ClientError> {
        let media_type =
            media_type(&reply).ok_or_else(|| reply.nonsense("does not say what kind of manifest it has"))?;
        let announced = digest_header(&reply)?;
        let bytes = reply.bytes("a manifest", MANIFEST_LIMIT)?;
        let digest = Digest::of(&bytes);
        let asked = match which {
            Selector::Digest(digest) => Some(*digest),
            Selector::Tag(_) => None,
        };
        match [asked, announced].into_iter().flatten().find(|expected| *expected != digest) {
            Some(expected) => Err(self.damaged("the manifest", expected, digest)),
            None => Ok(Fetched { digest, media_type, bytes }),
        }
    }

    fn damaged(&self, what: &'static str, expected: Digest, actual: Digest) -> ClientError {
        ClientError::Damaged { registry: self.site.registry.clone(), what, expected, actual }
    }

    fn what(&self, which: &Selector) -> String {
        match which {
            Selector::Tag(tag) => format!("manifest for {}:{tag}", self.familiar_name()),
            Selector::Digest(digest) => format!("manifest for {}@{digest}", self.familiar_name()),
        }
    }

    /// The repository as docker's users write it.
    fn familiar_name(&self) -> String {
        let name = format!("{}/{}", self.site.registry, self.path);
        name.parse::<Reference>().map_or(name, |reference| reference.familiar_name())
    }
}

/// A request about something in the repository `repository`.
pub(crate) fn ask(method: Method, repository: &str, path: &str, scope: Scope) -> Ask {
    let what = path.replacen("blobs/", "blob ", 1);
    Ask::new(method, format!("/v2/{repository}/{path}")).scope(scope).about(repository, what)
}

impl From<&Reference> for Selector {
    /// The digest, if there is one: it cannot be moved.
    fn from(reference: &Reference) -> Selector {
        match reference.digest() {
            Some(digest) => Selector::Digest(digest),
            None => Selector::Tag(reference.tag().unwrap_or("latest").to_owned()),
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Selector::Tag(tag) => f.write_str(tag),
            Selector::Digest(digest) => digest.fmt(f),
        }
    }
}

/// The digest a registry says it has; an error if that is none.
fn digest_header(reply: &Reply) -> Result<Option<Digest>, ClientError> {
    match reply.header("docker-content-digest") {
        // Another algorithm than ours is not wrong, it is just of no use.
        Some(text) if !text.starts_with("sha256:") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| reply.nonsense("sends a digest that is none")),
        None => Ok(None),
    }
}

/// `Content-Type` without its parameters.
fn media_type(reply: &Reply) -> Option<String> {
    let kind = reply.header("content-type")?.split(';').next().unwrap_or_default().trim();
    (!kind.is_empty()).then(|| kind.to_owned())
}

/// What manifests and indexes may be; a registry converts what it has to something we did not ask for otherwise.
const ACCEPT: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];
