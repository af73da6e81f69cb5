//! Which thing of the registry a path names.

use percent_encoding::percent_decode_str;

use super::refusal::{Code, Refusal};
use crate::{
    digest::Digest,
    name::{InvalidReference, Reference, RepositoryName},
    storage::UploadId,
};

/// A path of the protocol, understood. Paths of repositories are told from their ends, because the names before them have
/// any number of parts.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    Base,
    Catalog,
    Tags(RepositoryName),
    Manifest(RepositoryName, Reference),
    Blob(RepositoryName, Digest),
    Uploads(RepositoryName),
    Upload(RepositoryName, UploadId),
    Referrers(RepositoryName, Digest),
}

impl Route {
    pub fn of(path: &str) -> Result<Route, Refusal> {
        let path = percent_decode_str(path).decode_utf8().map_err(|_| Refusal::no_route())?;
        let parts: Vec<&str> = path.strip_prefix("/v2").ok_or_else(Refusal::no_route)?.split('/').collect();
        match parts.as_slice() {
            [""] | ["", ""] => Ok(Route::Base),
            ["", "_catalog"] => Ok(Route::Catalog),
            ["", name @ .., "tags", "list"] => Ok(Route::Tags(repository(name)?)),
            ["", name @ .., "manifests", text] => Ok(Route::Manifest(repository(name)?, reference(text)?)),
            ["", name @ .., "blobs", "uploads"] | ["", name @ .., "blobs", "uploads", ""] => {
                Ok(Route::Uploads(repository(name)?))
            }
            ["", name @ .., "blobs", "uploads", id] => {
                let id = id.parse().map_err(|()| Refusal::new(Code::BlobUploadUnknown))?;
                Ok(Route::Upload(repository(name)?, id))
            }
            ["", name @ .., "blobs", text] => Ok(Route::Blob(repository(name)?, digest(text)?)),
            ["", name @ .., "referrers", text] => Ok(Route::Referrers(repository(name)?, digest(text)?)),
            _ => Err(Refusal::no_route()),
        }
    }

    /// The kind of thing, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Route::Base => "base",
            Route::Catalog => "catalog",
            Route::Tags(_) => "tags",
            Route::Manifest(..) => "manifest",
            Route::Blob(..) => "blob",
            Route::Uploads(_) => "uploads",
            Route::Upload(..) => "upload",
            Route::Referrers(..) => "referrers",
        }
    }
}

fn repository(parts: &[&str]) -> Result<RepositoryName, Refusal> {
    let name = parts.join("/");
    name.parse().map_err(|_| Refusal::new(Code::NameInvalid).about(name))
}

fn reference(text: &str) -> Result<Reference, Refusal> {
    text.parse().map_err(|error| match error {
        InvalidReference::Tag(_) => Refusal::new(Code::TagInvalid).about(text),
        InvalidReference::Digest(_) => Refusal::new(Code::DigestInvalid).about(text),
    })
}

/// Reads a digest that a client wrote.
pub fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|_| Refusal::new(Code::DigestInvalid).about(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn names_may_contain_the_words_of_the_protocol() {
        let digest = Digest::of(b"");
        assert_eq!(Route::of("/v2/").unwrap(), Route::Base);
        assert_eq!(Route::of("/v2").unwrap(), Route::Base);
        assert_eq!(Route::of("/v2/_catalog").unwrap(), Route::Catalog);
        assert_eq!(Route::of("/v2/a/tags/list").unwrap(), Route::Tags(name("a")));
        assert_eq!(Route::of("/v2/tags/list/tags/list").unwrap(), Route::Tags(name("tags/list")));
        assert_eq!(Route::of("/v2/a/blobs/blobs/uploads/").unwrap(), Route::Uploads(name("a/blobs")));
        assert_eq!(
            Route::of(&format!("/v2/blobs/uploads/blobs/{digest}")).unwrap(),
            Route::Blob(name("blobs/uploads"), digest)
        );
        let escaped = digest.to_string().replace(':', "%3A");
        assert_eq!(
            Route::of(&format!("/v2/a/referrers/{escaped}")).unwrap(),
            Route::Referrers(name("a"), digest)
        );
    }

    #[test]
    fn paths_never_climb() {
        for path in [
            "/v2/../manifests/latest",
            "/v2/%2e%2e/manifests/latest",
            "/v2/a%2f..%2f..%2fb/manifests/latest",
            "/v2/a/manifests/..",
            "/v2/a/manifests/%2e%2e%2fb",
            "/v2/a/blobs/sha256:..",
            "/v2/a/blobs/uploads/../../x",
            "/v2/a/blobs/uploads/..",
            "/v2//manifests/latest",
            "/v2/_blobs/manifests/latest",
            "/v2/a%00b/manifests/latest",
            "/v1/",
            "/",
        ] {
            assert!(Route::of(path).is_err(), "{path}");
        }
    }

    #[test]
    fn paths_that_nobody_would_write_are_refused_or_stay_inside() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/request");
        let words = [
            "/v2/",
            "/",
            "..",
            "%2e",
            "%2F",
            "%00",
            "manifests/",
            "blobs/",
            "uploads/",
            "tags/list",
            "_",
            "-",
            "sha256:",
            "sha512:",
            "é",
        ];
        testkit::fuzz(&corpus, &words, |bytes| {
            let Ok(route) = Route::of(&String::from_utf8_lossy(bytes)) else { return };
            let inside = |text: &str| {
                !text.contains('\0') && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
            };
            match &route {
                Route::Base | Route::Catalog => {}
                Route::Tags(name) | Route::Uploads(name) => assert!(inside(name.as_str())),
                Route::Manifest(name, Reference::Tag(tag)) => {
                    assert!(inside(name.as_str()) && inside(tag.as_str()) && !tag.as_str().contains('/'));
                }
                Route::Manifest(name, Reference::Digest(digest))
                | Route::Blob(name, digest)
                | Route::Referrers(name, digest) => {
                    assert!(inside(name.as_str()));
                    assert_eq!(digest.to_string().parse().ok().as_ref(), Some(digest));
                }
                Route::Upload(name, id) => {
                    assert!(inside(name.as_str()) && inside(id.as_str()) && !id.as_str().contains('/'));
                }
            }
        });
    }
}
