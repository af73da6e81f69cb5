//! The names of documents, which say what each of them means.
//!
//! ```text
//! names/<repository>/_                                      the repository has something; empty
//! repositories/<repository>/_blobs/<algorithm>/<hex>        it may serve this blob; empty
//!                          /_manifests/<algorithm>/<hex>    it has this manifest; the media type
//!                          /_tags/<tag>                     a digest
//!                          /_referrers/<algorithm>/<hex of the subject>/<algorithm>:<hex>
//!                                                           a manifest that refers to the subject; its descriptor
//! ```
//!
//! A component of a repository's name never begins with an underscore, so no repository hides in another.

use std::fmt;

use crate::{
    digest::{Algorithm, Digest},
    name::{RepositoryName, Tag},
};

/// The name of a document: a relative path whose components are all safe.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// What the keys of a listing begin with: a path that ends with a slash.
#[derive(Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Key {
    pub fn repository(name: &RepositoryName) -> Key {
        Key(format!("names/{name}/_"))
    }

    pub fn blob(name: &RepositoryName, digest: &Digest) -> Key {
        Key(format!("repositories/{name}/_blobs/{}", path(digest)))
    }

    pub fn manifest(name: &RepositoryName, digest: &Digest) -> Key {
        Key(format!("repositories/{name}/_manifests/{}", path(digest)))
    }

    pub fn tag(name: &RepositoryName, tag: &Tag) -> Key {
        Key(format!("repositories/{name}/_tags/{tag}"))
    }

    pub fn referrer(name: &RepositoryName, subject: &Digest, referrer: &Digest) -> Key {
        Key(format!("repositories/{name}/_referrers/{}/{referrer}", path(subject)))
    }

    /// A key as a listing found it.
    pub(super) fn found(path: String) -> Key {
        Key(path)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The repository of a [`Key::repository`].
    pub fn as_repository(&self) -> Option<RepositoryName> {
        self.0.strip_prefix("names/")?.strip_suffix("/_")?.parse().ok()
    }

    /// The tag of a [`Key::tag`].
    pub fn as_tag(&self) -> Option<Tag> {
        self.0.rsplit('/').next()?.parse().ok()
    }

    /// The digest of a [`Key::blob`] or [`Key::manifest`].
    pub fn as_digest(&self) -> Option<Digest> {
        let mut parts = self.0.rsplitn(3, '/');
        let (hex, algorithm) = (parts.next()?, parts.next()?);
        format!("{algorithm}:{hex}").parse().ok()
    }

    /// The subject and the referrer of a [`Key::referrer`].
    pub fn as_referrer(&self) -> Option<(Digest, Digest)> {
        let (subject, referrer) = self.0.rsplit_once('/')?;
        Some((Key(subject.to_owned()).as_digest()?, referrer.parse().ok()?))
    }
}

impl Prefix {
    pub fn repositories() -> Prefix {
        Prefix("names/".to_owned())
    }

    /// Everything of one repository, and of those whose names continue its name.
    pub fn blobs(name: &RepositoryName) -> Prefix {
        Prefix(format!("repositories/{name}/_blobs/"))
    }

    pub fn manifests(name: &RepositoryName) -> Prefix {
        Prefix(format!("repositories/{name}/_manifests/"))
    }

    pub fn tags(name: &RepositoryName) -> Prefix {
        Prefix(format!("repositories/{name}/_tags/"))
    }

    pub fn all_referrers(name: &RepositoryName) -> Prefix {
        Prefix(format!("repositories/{name}/_referrers/"))
    }

    pub fn referrers(name: &RepositoryName, subject: &Digest) -> Prefix {
        Prefix(format!("repositories/{name}/_referrers/{}/", path(subject)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn path(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm().name(), digest.hex())
}

/// Where a blob lies: a directory for each first two digits keeps directories small.
pub(super) fn blob_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/{}/{}/{hex}", digest.algorithm().name(), &hex[..2])
}

/// The digest of a blob that lies there.
pub(super) fn blob_of_path(path: &str) -> Option<Digest> {
    let mut parts = path.strip_prefix("blobs/")?.split('/');
    let (algorithm, _, hex) = (parts.next()?, parts.next()?, parts.next()?);
    let digest: Digest = format!("{algorithm}:{hex}").parse().ok()?;
    debug_assert!(Algorithm::ALL.contains(&digest.algorithm()));
    Some(digest)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_was_made_of_can_be_read_from_it() {
        let name: RepositoryName = "a/b".parse().unwrap();
        let (one, two) = (Digest::of(b"1"), Algorithm::Sha512.digest(b"2"));
        assert_eq!(Key::repository(&name).as_repository(), Some(name.clone()));
        assert_eq!(Key::tag(&name, &"v1".parse().unwrap()).as_tag(), "v1".parse().ok());
        assert_eq!(Key::blob(&name, &two).as_digest(), Some(two));
        assert_eq!(Key::manifest(&name, &one).as_digest(), Some(one));
        assert_eq!(Key::referrer(&name, &one, &two).as_referrer(), Some((one, two)));
        assert_eq!(blob_of_path(&blob_path(&two)), Some(two));
    }
}
