//! Names of images: `[registry/]path[:tag][@digest]`, with docker's grammar and defaults.
//!
//! The grammar and the words of the errors are those of the distribution project's `reference` package.

use std::{fmt, str::FromStr};

use crate::{Digest, InvalidDigest};

/// A complete image name. What docker leaves out is filled in: `busybox` is
/// `docker.io/library/busybox:latest`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    #[error("invalid reference format: {0}")]
    Digest(#[from] InvalidDigest),
}

impl Reference {
    /// The registry's host and port, such as `docker.io` or `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry, such as `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `None` only where a digest names the image.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The repository as docker's users write it: without `docker.io` and `library`, unless it would be taken for one of
    /// another registry then.
    pub fn familiar_name(&self) -> String {
        match (self.registry.as_str(), self.path.strip_prefix("library/")) {
            (DEFAULT_REGISTRY, Some(official)) if !official.contains('/') => official.to_owned(),
            (DEFAULT_REGISTRY, _) if split_registry(&self.path) == (DEFAULT_REGISTRY, &self.path) => {
                self.path.clone()
            }
            (registry, _) => format!("{registry}/{}", self.path),
        }
    }

    /// The whole reference as docker's users write it: `busybox:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        let digest = self.digest.map(|digest| format!("@{digest}"));
        tag.unwrap_or_default() + &digest.unwrap_or_default()
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if digest.is_none()
            && tag.is_none()
            && name.len() == 64
            && name.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return Err(InvalidReference::LooksLikeId(name.to_owned()));
        }
        let (registry, path) = split_registry(name);
        let path = match registry == DEFAULT_REGISTRY && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        // docker looks at this first, whatever else is wrong.
        let repository = path.split(':').next().unwrap_or_default();
        if repository.to_lowercase() != repository {
            return Err(InvalidReference::Uppercase(repository.to_owned()));
        }
        if !is_registry(registry) || !is_path(&path) || !tag.is_none_or(is_tag) {
            return Err(InvalidReference::Format);
        }
        if registry.len() + path.len() + 1 > 255 {
            return Err(InvalidReference::TooLong);
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Reference { registry: registry.to_owned(), path, tag, digest })
    }
}

/// The first component is a registry only if it could not be a Hub user: it has a dot or a port, is
/// `localhost`, or has upper-case letters.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", path)) => (DEFAULT_REGISTRY, path),
        Some((first, path))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, path)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let valid_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(label),
    };
    valid_host && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_path_component)
}

/// Lower-case letters and digits, separated by one of: a dot, one or two underscores, any number of dashes.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component.split(alphanumeric).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && !tag.starts_with(['.', '-'])
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.path, self.suffix())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

const DEFAULT_REGISTRY: &str = "docker.io";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, canonical: &str, familiar: &str) {
        let reference = text.parse::<Reference>().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (canonical, familiar));
        assert_eq!(canonical.parse(), Ok(reference));
    }

    fn refused(text: &str, why: &str) {
        assert_eq!(text.parse::<Reference>().map_err(|e| e.to_string()), Err(why.to_owned()), "{text}");
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        check("busybox", "docker.io/library/busybox:latest", "busybox:latest");
        check("me/hello:v1.0", "docker.io/me/hello:v1.0", "me/hello:v1.0");
        check("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest");
        check("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest");
        check("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest");
        check("localhost/a:1", "localhost/a:1", "localhost/a:1");
        check("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest");
        check("UPPER/x", "UPPER/x:latest", "UPPER/x:latest");
        check("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest");
        check("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", "a__b/c--d.e_f:latest");
    }

    #[test]
    fn a_digest_stands_with_or_without_a_tag() {
        let digest = Digest::of(b"");
        check(
            &format!("busybox@{digest}"),
            &format!("docker.io/library/busybox@{digest}"),
            &format!("busybox@{digest}"),
        );
        check(
            &format!("busybox:1@{digest}"),
            &format!("docker.io/library/busybox:1@{digest}"),
            &format!("busybox:1@{digest}"),
        );
    }

    #[test]
    fn what_docker_refuses_is_refused_with_its_words() {
        for text in
            ["", ":", "a:", "a//b", "-a", "a-", "a..b", "a___b", "a:.x", "a b", "a/../b", "http://a/b", "a@x"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        refused("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase");
        refused(
            &"a".repeat(64),
            &format!(
                "invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                "a".repeat(64)
            ),
        );
        refused(
            "z/".repeat(140).trim_end_matches('/'),
            "repository name must not be more than 255 characters",
        );
    }

    #[test]
    fn names_that_nobody_would_write_are_refused_or_stay_what_they_are() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/reference");
        let words = [
            "/",
            ":",
            "@",
            ".",
            "..",
            "__",
            "--",
            "//",
            "[::1]",
            ":5000",
            ":latest",
            "@sha256:",
            "docker.io/",
            "library/",
            "é",
        ];
        testkit::fuzz(&corpus, &words, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let Ok(reference) = text.parse::<Reference>() else { return };
            for form in [reference.to_string(), reference.familiar()] {
                assert_eq!(form.parse().as_ref(), Ok(&reference), "{form}");
            }
            let parts = reference.path().split('/').chain(reference.tag());
            assert!(
                parts.clone().all(|part| !matches!(part, "" | "." | "..")),
                "{reference} as a path leads elsewhere"
            );
        });
    }
}
