//! Where a context and a Dockerfile are, by what the command line says: docker's rules, in docker's order.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::InputError;
use crate::remote::{git::GitReference, url::Url};

/// Where the context comes from.
pub enum ContextSource {
    Directory(PathBuf),
    /// A tar archive, compressed or not; or a Dockerfile, with an empty context: `build -`.
    Stream(Box<dyn Read>),
    Git(GitReference),
    /// An archive, or a Dockerfile, that a web server has.
    Url(Url),
}

/// Where the Dockerfile comes from.
pub enum DockerfileSource {
    /// `Dockerfile`, or else `Containerfile`, in the context.
    Default,
    /// A path for the caller's own directory; for a context that is elsewhere, a path in it, unless it is absolute.
    Path(PathBuf),
    /// `-f -`.
    Stream(Box<dyn Read>),
    Url(Url),
}

impl ContextSource {
    /// The context that the command line calls `text`: a directory before anything else.
    pub fn named(text: &str) -> Result<ContextSource, InputError> {
        match text {
            "" => Err(InputError::NoContext),
            "-" => Ok(ContextSource::Stream(Box::new(io::stdin()))),
            path if Path::new(path).is_dir() => Ok(ContextSource::Directory(path.into())),
            _ => elsewhere(text)?.ok_or_else(|| InputError::NotFound(text.to_owned())),
        }
    }
}

impl ContextSource {
    /// Whether it takes a key to get there.
    pub fn is_ssh(&self) -> bool {
        matches!(self, ContextSource::Git(reference) if reference.is_ssh())
    }
}

/// The repository or the file of a web server that `text` names, if it does.
pub fn elsewhere(text: &str) -> Result<Option<ContextSource>, InputError> {
    let invalid = |reason: String| InputError::Invalid { text: text.to_owned(), reason };
    if let Some(reference) = GitReference::parse(text).map_err(|error| invalid(error.to_string()))? {
        return Ok(Some(ContextSource::Git(reference)));
    }
    match is_http(text) {
        true => parse_url(text).map(ContextSource::Url).map(Some),
        false => Ok(None),
    }
}

impl DockerfileSource {
    /// The Dockerfile that the command line calls `text`, if it calls any.
    pub fn named(text: Option<&str>) -> Result<DockerfileSource, InputError> {
        match text {
            None | Some("") => Ok(DockerfileSource::Default),
            Some("-") => Ok(DockerfileSource::Stream(Box::new(io::stdin()))),
            Some(url) if is_http(url) => parse_url(url).map(DockerfileSource::Url),
            Some(path) => Ok(DockerfileSource::Path(path.into())),
        }
    }
}

fn is_http(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn parse_url(text: &str) -> Result<Url, InputError> {
    Url::parse(text)
        .filter(|url| !url.authority.is_empty())
        .ok_or_else(|| InputError::Invalid { text: text.to_owned(), reason: "it is no URL".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> String {
        match ContextSource::named(text) {
            Ok(ContextSource::Directory(path)) => format!("directory {}", path.display()),
            Ok(ContextSource::Stream(_)) => "stream".into(),
            Ok(ContextSource::Git(reference)) => format!("git {reference}"),
            Ok(ContextSource::Url(url)) => format!("url {url}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_context_is_a_directory_or_a_stream_or_a_repository_or_a_url_in_this_order() {
        for (text, expected) in [
            ("", "please specify build context (e.g. \".\" for the current directory)"),
            ("-", "stream"),
            ("/", "directory /"),
            ("https://h/x.git#main:d", "git https://h/x.git#main:d"),
            ("git@h:x", "git git@h:x"),
            ("github.com/a/b", "git https://github.com/a/b"),
            ("http://h/x.tar.gz", "url http://h/x.tar.gz"),
            ("nothing", "unable to prepare context: path \"nothing\" not found"),
            ("ftp://h/x", "unable to prepare context: path \"ftp://h/x\" not found"),
            ("git://h/x?a=b", "cannot use git://h/x?a=b: unexpected query \"a\""),
            ("http://", "cannot use http://: it is no URL"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
