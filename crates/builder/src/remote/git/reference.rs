//! Where a Git repository is, and what of it is meant, in one string: all the forms docker knows.
//!
//! ```text
//! https://host/path.git            with .git, or it is the URL of a file
//! git://host/path  ssh://host/path
//! git@host:path                    any user, but one must be named
//! github.com/path                  for contexts only: elsewhere it is a local path
//!   …#ref:directory                what to check out, and the part of it that counts
//!   …?ref=&branch=&tag=&subdir=&checksum=&keep-git-dir=&submodules=
//! ```
//!
//! After `ParseGitRef` of BuildKit's `frontend/dockerfile/dfgitutil`.

use std::fmt;

use crate::remote::url::{self, Url, Values, cut, query_values};

/// What is meant by a string that names a repository.
#[derive(Clone, PartialEq, Eq)]
pub struct GitReference {
    /// What `git` is told, without credentials.
    pub remote: String,
    /// `user:password` or a token, for repositories spoken to by HTTP.
    pub credentials: Option<String>,
    /// A branch, a tag, or a commit; else the default branch.
    pub revision: Option<String>,
    /// The directory of the repository that counts; else all of it.
    pub directory: Option<String>,
    /// What the commit's name must begin with.
    pub checksum: Option<String>,
    pub keep_git_dir: Option<bool>,
    pub submodules: Option<bool>,
    /// `github.com/…`, which may just as well be a path.
    pub may_be_a_path: bool,
}

/// Why a string that is meant for a repository is wrong; BuildKit's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGitReference {
    #[error("query {0:?} has no value")]
    NoValue(String),
    #[error("query {0:?} has multiple values")]
    Several(String),
    #[error("unexpected query {0:?}")]
    Unknown(String),
    #[error("{name} conflicts: {first:?} vs {second:?}")]
    Conflict { name: &'static str, first: String, second: String },
    #[error("branch conflicts with tag")]
    BranchAndTag,
    #[error("invalid {name} value: {value:?}")]
    NoBoolean { name: &'static str, value: String },
    #[error("invalid git reference {0:?}")]
    Dangerous(String),
}

impl GitReference {
    /// What `text` means; `None` if it is not meant for a repository.
    pub fn parse(text: &str) -> Result<Option<GitReference>, InvalidGitReference> {
        if text.starts_with("./") || text.starts_with("../") || url::has_control(text) {
            return Ok(None);
        }
        let Some((mut reference, query, fragment)) = GitReference::located(text) else { return Ok(None) };
        let (revision, directory) = cut(fragment.as_deref().unwrap_or_default(), ':');
        reference.revision = Some(revision.to_owned()).filter(|revision| !revision.is_empty());
        reference.directory = directory.filter(|directory| !directory.is_empty());
        reference.read_query(&query)?;
        // A name that begins with a dash would be an option to some command of git's.
        for part in [Some(&reference.remote), reference.revision.as_ref()].into_iter().flatten() {
            if part.starts_with('-') || part.contains("://-") || part.contains("@-") {
                return Err(InvalidGitReference::Dangerous(part.clone()));
            }
        }
        Ok(Some(reference))
    }

    /// Whether the commit is named in full, so that nobody has to be asked which it is.
    pub fn commit(&self) -> Option<&str> {
        self.revision.as_deref().filter(|revision| is_commit(revision))
    }

    /// Whether it takes a key to get there.
    pub fn is_ssh(&self) -> bool {
        self.remote.starts_with("ssh://") || !self.remote.contains("://")
    }

    /// The repository, the query's values, and the fragment.
    fn located(text: &str) -> Option<(GitReference, Values, Option<String>)> {
        if text.starts_with("github.com/") {
            let url = Url::parse(&format!("https://{text}"))?;
            let reference = GitReference { may_be_a_path: true, ..GitReference::at(url.place()) };
            return Some((reference, url.query_values(), url.fragment));
        }
        if let Some(url) = Url::parse(text) {
            let is_repository = match url.scheme.as_str() {
                "http" | "https" => url.path.ends_with(".git"),
                "git" | "ssh" => true,
                _ => false,
            };
            if !is_repository || url.authority.is_empty() {
                return None;
            }
            // Whom to log in as is part of the place for ssh, and a secret elsewhere.
            let (remote, credentials) = match (&url.credentials, url.scheme.as_str()) {
                (Some(user), "ssh" | "git") => {
                    let place = format!("{}://{user}@{}{}", url.scheme, url.authority, url.path);
                    (place, None)
                }
                (credentials, _) => (url.place(), credentials.clone()),
            };
            let reference = GitReference { credentials, ..GitReference::at(remote) };
            return Some((reference, url.query_values(), url.fragment));
        }
        let (rest, fragment) = cut(text, '#');
        let (rest, query) = cut(rest, '?');
        let (user, place) = rest.split_once('@')?;
        let (host, _path) = place.split_once(':')?;
        let is_word = |word: &str, more: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !is_word(user, "-_") || !is_word(host, "-.") {
            return None;
        }
        Some((GitReference::at(rest.to_owned()), query_values(&query.unwrap_or_default()), fragment))
    }

    fn at(remote: String) -> GitReference {
        GitReference {
            remote,
            credentials: None,
            revision: None,
            directory: None,
            checksum: None,
            keep_git_dir: None,
            submodules: None,
            may_be_a_path: false,
        }
    }

    fn read_query(&mut self, query: &[(String, String)]) -> Result<(), InvalidGitReference> {
        let (mut tag, mut branch) = (None, None);
        for (at, (name, value)) in query.iter().enumerate() {
            if query[..at].iter().any(|(other, _)| other == name) {
                return Err(InvalidGitReference::Several(name.clone()));
            }
            let switch = |name| switch(name, value).map(Some);
            match name.as_str() {
                "keep-git-dir" => self.keep_git_dir = switch("keep-git-dir")?,
                "submodules" => self.submodules = switch("submodules")?,
                _ if value.is_empty() => return Err(InvalidGitReference::NoValue(name.clone())),
                "ref" => agree("ref", &mut self.revision, value)?,
                "subdir" => agree("subdir", &mut self.directory, value)?,
                "checksum" | "commit" => self.checksum = Some(value.clone()),
                "tag" => tag = Some(prefixed("refs/tags/", value)),
                "branch" => branch = Some(prefixed("refs/heads/", value)),
                _ => return Err(InvalidGitReference::Unknown(name.clone())),
            }
        }
        if tag.is_some() && branch.is_some() {
            return Err(InvalidGitReference::BranchAndTag);
        }
        if let Some(name) = tag.or(branch) {
            agree("ref", &mut self.revision, &name)?;
        }
        if self.revision.is_none() {
            self.revision.clone_from(&self.checksum);
        }
        Ok(())
    }
}

/// As docker shows it: without a secret.
impl fmt::Display for GitReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.remote)?;
        match (&self.revision, &self.directory) {
            (None, None) => Ok(()),
            (revision, None) => write!(f, "#{}", revision.as_deref().unwrap_or_default()),
            (revision, Some(directory)) => {
                write!(f, "#{}:{directory}", revision.as_deref().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for GitReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitReference({self})")
    }
}

/// Whether this is a commit's whole name, of either kind of repository.
pub fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Sets what may be said twice if it is the same.
fn agree(name: &'static str, place: &mut Option<String>, value: &str) -> Result<(), InvalidGitReference> {
    match place {
        Some(first) if first != value => {
            let (first, second) = (first.clone(), value.to_owned());
            Err(InvalidGitReference::Conflict { name, first, second })
        }
        _ => {
            *place = Some(value.to_owned());
            Ok(())
        }
    }
}

/// The values that Go's `strconv.ParseBool` takes; none is true.
fn switch(name: &'static str, value: &str) -> Result<bool, InvalidGitReference> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(InvalidGitReference::NoBoolean { name, value: value.to_owned() }),
    }
}

fn prefixed(prefix: &str, name: &str) -> String {
    match name.starts_with(prefix) {
        true => name.to_owned(),
        false => format!("{prefix}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> GitReference {
        GitReference::parse(text).expect("valid").unwrap_or_else(|| panic!("{text} is no repository"))
    }

    #[test]
    fn the_forms_docker_takes_for_repositories_are_known() {
        for (text, remote, shown) in [
            ("https://example.com/foo.git", "https://example.com/foo.git", "https://example.com/foo.git"),
            ("git://example.com/foo", "git://example.com/foo", "git://example.com/foo"),
            ("git@example.com:foo/bar", "git@example.com:foo/bar", "git@example.com:foo/bar"),
            ("me@example.com:foo#x", "me@example.com:foo", "me@example.com:foo#x"),
            ("ssh://git@h:22/x#y", "ssh://git@h:22/x", "ssh://git@h:22/x#y"),
            ("github.com/moby/x#a:b", "https://github.com/moby/x", "https://github.com/moby/x#a:b"),
            ("https://h/d.git#:sub", "https://h/d.git", "https://h/d.git#:sub"),
        ] {
            let reference = parsed(text);
            assert_eq!(
                (reference.remote.as_str(), reference.to_string().as_str()),
                (remote, shown),
                "{text}"
            );
        }
        for other in [
            "https://example.com/",
            "https://example.com/foo.git/",
            "https://example.com/foo.git.bar",
            "custom.xyz/moby/buildkit.git",
            "http://github.com/docker/docker.git:#branch",
            "./x.git",
            ".git",
            "file:///x.git",
            "ext::sh -c x",
            "host:path",
            "C:\\path",
            "a b@host:path",
        ] {
            assert_eq!(GitReference::parse(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn what_is_meant_stands_in_the_fragment_or_in_the_query() {
        let both = parsed("https://h/bar.git#baz/qux:quux/quuz");
        assert_eq!(
            (both.revision.as_deref(), both.directory.as_deref()),
            (Some("baz/qux"), Some("quux/quuz"))
        );
        let query = parsed("https://h/d.git?ref=v1&subdir=/s&keep-git-dir&submodules=0&checksum=deadbeef#v1");
        assert_eq!((query.revision.as_deref(), query.directory.as_deref()), (Some("v1"), Some("/s")));
        assert_eq!((query.keep_git_dir, query.submodules), (Some(true), Some(false)));
        assert_eq!(query.checksum.as_deref(), Some("deadbeef"));
        assert_eq!(parsed("git@h:d?tag=v1").revision.as_deref(), Some("refs/tags/v1"));
        assert_eq!(parsed("git://h/d?branch=refs/heads/b").revision.as_deref(), Some("refs/heads/b"));
        let commit = "0123456789012345678901234567890123456789";
        let pinned = parsed(&format!("git://h/d?commit={commit}"));
        assert_eq!(pinned.commit(), Some(commit));
        assert_eq!(parsed("git://h/d#0123456").commit(), None);
    }

    #[test]
    fn mistakes_are_told_in_buildkits_words() {
        for (text, problem) in [
            ("git://h/d?ref=", "query \"ref\" has no value"),
            ("git://h/d?ref=a&ref=b", "query \"ref\" has multiple values"),
            ("git://h/d?depth=1", "unexpected query \"depth\""),
            ("git://h/d?ref=a#b", "ref conflicts: \"b\" vs \"a\""),
            ("git://h/d?tag=a&branch=b", "branch conflicts with tag"),
            ("git://h/d?submodules=no", "invalid submodules value: \"no\""),
            ("git://h/d#--upload-pack=x", "invalid git reference \"--upload-pack=x\""),
            ("ssh://-oProxyCommand=x/y", "invalid git reference \"ssh://-oProxyCommand=x/y\""),
        ] {
            assert_eq!(GitReference::parse(text).map(|_| ()).map_err(|e| e.to_string()), Err(problem.into()));
        }
    }

    #[test]
    fn secrets_are_no_part_of_what_is_shown_or_told_to_git() {
        let reference = parsed("https://me:secret@h/x.git#main");
        assert_eq!(reference.credentials.as_deref(), Some("me:secret"));
        assert_eq!(reference.remote, "https://h/x.git");
        assert!(!format!("{reference:?} {reference}").contains("secret"));
    }
}
