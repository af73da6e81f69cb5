//! Names of repositories and tags, with the grammar of the distribution specification.

use std::{fmt, str::FromStr};

use crate::digest::{Digest, InvalidDigest};

/// A repository's name, such as `library/busybox`. No component is empty or begins with anything but a lower-case
/// letter or a digit, so it is safe as a path and cannot be confused with the store's own directories.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

/// A tag's name, such as `latest`: at most 128 letters, digits, underscores, dots and dashes, of which dots and
/// dashes do not come first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// How a manifest is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid repository name")]
pub struct InvalidName;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid tag")]
pub struct InvalidTag;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidReference {
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<RepositoryName, InvalidName> {
        let valid = (1..=NAME_LIMIT).contains(&text.len()) && text.split('/').all(is_component);
        if valid { Ok(RepositoryName(text.to_owned())) } else { Err(InvalidName) }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component.split(alphanumeric).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Tag, InvalidTag> {
        let valid = (1..=TAG_LIMIT).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            && !text.starts_with(['.', '-']);
        if valid { Ok(Tag(text.to_owned())) } else { Err(InvalidTag) }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    /// Only a digest has a colon.
    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        match text.contains(':') {
            true => Ok(Reference::Digest(text.parse()?)),
            false => Ok(Reference::Tag(text.parse()?)),
        }
    }
}

impl RepositoryName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RepositoryName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const NAME_LIMIT: usize = 255;
const TAG_LIMIT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for name in ["a", "library/busybox", "a.b/c_d/e--f/g__h", "0", &"a/".repeat(127).as_str()[..253]] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
        let long = "a".repeat(256);
        for name in [
            "", "/", "a/", "/a", "a//b", "..", "a/../b", "a/.b", "_a", "A", "a___b", "a..b", "a b", "a%2fb",
            "é", &long,
        ] {
            assert_eq!(name.parse::<RepositoryName>(), Err(InvalidName), "{name}");
        }
    }

    #[test]
    fn tags_never_leave_their_directory() {
        for tag in ["latest", "1.0", "_", "A-b_c.d"] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        for tag in ["", ".", "..", ".a", "-a", "a/b", "a:b", "a b", &"a".repeat(129)] {
            assert_eq!(tag.parse::<Tag>(), Err(InvalidTag), "{tag}");
        }
    }

    #[test]
    fn a_colon_makes_a_reference_a_digest() {
        assert!(matches!("latest".parse(), Ok(Reference::Tag(_))));
        assert!(matches!(Digest::of(b"").to_string().parse(), Ok(Reference::Digest(_))));
        assert!(matches!("sha256:bad".parse::<Reference>(), Err(InvalidReference::Digest(_))));
    }
}
