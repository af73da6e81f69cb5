//! The rules by which `cp` tells what goes where: docker's, which are those of cp(1) but for a few words.
//!
//! Knows paths as text, for what a path ends with has a meaning here: a slash says that it is a directory, a dot that what
//! is in the directory is meant.

use std::fmt::Write;

/// What is copied.
#[derive(Debug)]
pub struct Source<'a> {
    pub path: &'a str,
    pub is_directory: bool,
    /// The name that was asked for, if following a link has changed it.
    pub rename: Option<&'a str>,
}

/// Where it goes.
#[derive(Debug)]
pub struct Destination {
    pub path: String,
    /// Nothing, if nothing is there.
    pub is_directory: Option<bool>,
}

impl Destination {
    pub fn is_directory(&self) -> bool {
        self.is_directory == Some(true)
    }
}

/// Why something does not go there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    #[error("cannot copy directory")]
    DirectoryOverFile,
    #[error("no such directory")]
    NoSuchDirectory,
}

/// A container and a path in it, if that is what the text means. A path of this machine with a colon begins with a slash or
/// a dot.
pub fn in_container(text: &str) -> Option<(&str, &str)> {
    match text.split_once(':') {
        Some((name, path)) if !text.starts_with('/') && !name.starts_with('.') => Some((name, path)),
        _ => None,
    }
}

/// The directory in which the source is unpacked, and its name there.
pub fn plan(source: &Source<'_>, destination: &Destination) -> Result<(String, String), Impossible> {
    match (destination.is_directory, source.is_directory) {
        (Some(true), _) => {
            let own = source.rename.map_or_else(|| own_name(source.path), str::to_owned);
            Ok((destination.path.clone(), own))
        }
        (Some(false), true) => Err(Impossible::DirectoryOverFile),
        (None, false) if asserts_directory(&destination.path) => Err(Impossible::NoSuchDirectory),
        _ => {
            let path = with_dot(&destination.path);
            let (directory, name) = split(&path);
            Ok((directory.to_owned(), name.to_owned()))
        }
    }
}

/// What stands for a path in an archive: its last name, or a dot for what is in it.
fn own_name(path: &str) -> String {
    match () {
        () if path.ends_with("/.") || path == "." => ".".to_owned(),
        () => match base(path) {
            "/" => ".".to_owned(),
            name => name.to_owned(),
        },
    }
}

/// A path that links led to, with the end that the first one had; and the name that was asked for, if it is another now.
pub fn renamed(asked: &str, resolved: &str) -> (String, Option<String>) {
    let mut resolved = resolved.to_owned();
    if specifies_content(asked) && !specifies_content(&resolved) {
        resolved.push_str("/.");
    }
    if asked.ends_with('/') && !resolved.ends_with('/') {
        resolved.push('/');
    }
    let rename = (base(asked) != base(&resolved)).then(|| base(asked).to_owned());
    (resolved, rename)
}

/// The directory, with its slash, and the name in it. A dot at the end is a name.
pub fn split(path: &str) -> (&str, &str) {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// The last name of a path, whatever slashes follow it.
pub fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return if path.is_empty() { "." } else { "/" };
    }
    &trimmed[trimmed.rfind('/').map_or(0, |slash| slash + 1)..]
}

/// `link` as it is meant in `directory`.
pub fn joined(directory: &str, link: &str) -> String {
    if link.starts_with('/') { clean(link) } else { clean(&format!("{directory}/{link}")) }
}

/// The same path without empty parts, dots, and names that `..` takes back.
pub fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let is_absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            ".." if is_absolute => {}
            name => names.push(name),
        }
    }
    let mut cleaned = String::from(if is_absolute { "/" } else { "" });
    let _ = write!(cleaned, "{}", names.join("/")); // a String takes everything
    if cleaned.is_empty() { ".".to_owned() } else { cleaned }
}

/// The same path cleaned, but for the dot that says that what is in it is meant.
fn with_dot(path: &str) -> String {
    match clean(path) {
        cleaned if specifies_content(path) => format!("{}/.", cleaned.trim_end_matches('/')),
        cleaned => cleaned,
    }
}

fn specifies_content(path: &str) -> bool {
    base(path) == "." || path.ends_with("/.")
}

fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || specifies_content(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_container_has_its_name_before_a_colon() {
        assert_eq!(in_container("web:/etc/hosts"), Some(("web", "/etc/hosts")));
        assert_eq!(in_container("web:"), Some(("web", "")));
        assert_eq!(in_container("/tmp/a:b"), None);
        assert_eq!(in_container("./a:b"), None);
        assert_eq!(in_container("a"), None);
    }

    #[track_caller]
    fn check(source: (&str, bool), destination: (&str, Option<bool>), expected: Result<(&str, &str), &str>) {
        let source = Source { path: source.0, is_directory: source.1, rename: None };
        let destination = Destination { path: destination.0.to_owned(), is_directory: destination.1 };
        let planned = plan(&source, &destination);
        let planned = planned.as_ref().map(|(directory, name)| (directory.as_str(), name.as_str()));
        assert_eq!(planned.map_err(ToString::to_string), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_file_goes_into_a_directory_or_takes_the_name_given() {
        check(("/a/file", false), ("/dir", Some(true)), Ok(("/dir", "file")));
        check(("/a/file", false), ("/dir/", Some(true)), Ok(("/dir/", "file")));
        check(("/a/file", false), ("/dir/other", Some(false)), Ok(("/dir/", "other")));
        check(("/a/file", false), ("/dir/new", None), Ok(("/dir/", "new")));
        check(("/a/file", false), ("/dir/new/", None), Err("no such directory"));
    }

    #[test]
    fn a_directory_goes_into_one_or_becomes_a_new_one() {
        check(("/a/dir", true), ("/to", Some(true)), Ok(("/to", "dir")));
        check(("/a/dir/", true), ("/to", Some(true)), Ok(("/to", "dir")));
        check(("/a/dir/.", true), ("/to", Some(true)), Ok(("/to", ".")));
        check(("/a/dir", true), ("/to/new", None), Ok(("/to/", "new")));
        check(("/a/dir/.", true), ("/to/new", None), Ok(("/to/", "new")));
        check(("/a/dir", true), ("/to/new/", None), Ok(("/to/", "new")));
        check(("/a/dir", true), ("/to/file", Some(false)), Err("cannot copy directory"));
        check(("/", true), ("/to", Some(true)), Ok(("/to", ".")));
    }

    #[test]
    fn what_a_link_led_to_keeps_the_name_that_was_asked_for() {
        assert_eq!(renamed("/a/link", "/b/file"), ("/b/file".into(), Some("link".into())));
        assert_eq!(renamed("/a/link/", "/b/dir"), ("/b/dir/".into(), Some("link".into())));
        assert_eq!(renamed("/a/dir/.", "/b/dir"), ("/b/dir/.".into(), None));
    }

    #[test]
    fn paths_are_cleaned_as_text() {
        for (path, expected) in
            [("/a//b/./c/..", "/a/b"), ("/..", "/"), ("a/../..", ".."), ("", "."), ("/a/", "/a")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
        assert_eq!((base("/a/b/"), base("/"), base(""), base("a")), ("b", "/", ".", "a"));
        assert_eq!(split("/a/b/"), ("/a/", "b"));
        assert_eq!(split("/a/b/."), ("/a/b/", "."));
    }
}
