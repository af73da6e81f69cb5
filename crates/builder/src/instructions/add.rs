//! ADD: COPY that also unpacks archives, and takes files from web servers and repositories of Git.

use types::Digest;

use super::{Instruction, copy::CopyFiles};
use crate::{
    diagnostic::Problem,
    graph::{GitSource, Source, UrlSource},
    parse::{Directives, Flags, Statement, Word},
    plan::Planner,
    remote::{
        git::GitReference,
        url::{Url, redacted},
    },
};

/// What ADD says of sources that are elsewhere.
pub struct Remotes {
    checksum: Option<Word>,
    keep_git_dir: Option<bool>,
    unpack: bool,
}

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let known = ["chown", "chmod", "link", "unpack", "keep-git-dir", "checksum", "exclude"];
    let flags = Flags::checked(&statement.flags, &known)?;
    flags.refuse(&["exclude"])?;
    let mut copy = CopyFiles::read(statement, &flags)?;
    // What is at hand is unpacked unless told otherwise, what comes from a server only if told so.
    let unpack = flags.choice("unpack")?;
    copy.unpack = unpack.unwrap_or(true);
    copy.remotes = Some(Remotes {
        checksum: flags.value("checksum")?,
        keep_git_dir: flags.choice("keep-git-dir")?,
        unpack: unpack.unwrap_or(false),
    });
    Ok(Box::new(copy))
}

impl Remotes {
    /// The source that `text`, written as `word`, means; `None` for files at hand.
    pub fn source(&self, text: &str, word: &Word, planner: &Planner<'_>) -> Result<Option<Source>, Problem> {
        let checksum = match &self.checksum {
            Some(word) => Some(planner.expand(word)?).filter(|checksum| !checksum.is_empty()),
            None => None,
        };
        let problem = |message: String| Problem::new(message, word.span.clone());
        match repository(text, word)? {
            Some(reference) => self.repository(reference, checksum, text).map(Some).map_err(problem),
            None if is_http(text) => {
                let checksum = checksum.map(|text| digest(&text)).transpose().map_err(problem)?;
                let url = Url::parse(text).filter(|url| !url.authority.is_empty());
                let url = url.ok_or_else(|| problem(format!("invalid URL: {text:?}")))?;
                let name = file_name(&url);
                Ok(Some(Source::Url(UrlSource { url, name, checksum, unpack: self.unpack })))
            }
            None => Ok(None),
        }
    }

    fn repository(
        &self,
        mut reference: GitReference,
        checksum: Option<String>,
        text: &str,
    ) -> Result<Source, String> {
        let keep_git_dir = match (self.keep_git_dir, reference.keep_git_dir) {
            (Some(flag), Some(query)) if flag != query => {
                return Err("inconsistent keep-git-dir configuration".into());
            }
            (flag, query) => query.or(flag).unwrap_or(false),
        };
        match (&checksum, &reference.checksum) {
            (Some(flag), Some(query)) if flag != query => {
                return Err(format!("checksum mismatch {flag:?} != {query:?}"));
            }
            (Some(_), None) => reference.checksum = checksum,
            _ => {}
        }
        let submodules = reference.submodules.unwrap_or(true);
        Ok(Source::Git(GitSource { reference, written: redacted(text), keep_git_dir, submodules }))
    }

    /// Refuses a checksum of anything but one thing from elsewhere. `sources` are all but here-documents.
    pub fn check_checksum(&self, sources: &[&Source]) -> Result<(), Problem> {
        let Some(checksum) = &self.checksum else { return Ok(()) };
        let message = match sources {
            [Source::Url(_) | Source::Git(_)] => return Ok(()),
            [_] => "checksum requires HTTP(S) or Git sources",
            _ => "checksum can't be specified for multiple sources",
        };
        Err(Problem::new(message, checksum.span.clone()))
    }
}

/// The repository that a source names. What could be a path is one.
pub fn repository(text: &str, word: &Word) -> Result<Option<GitReference>, Problem> {
    let reference =
        GitReference::parse(text).map_err(|error| Problem::new(error.to_string(), word.span.clone()))?;
    Ok(reference.filter(|reference| !reference.may_be_a_path))
}

/// Whether a source, which is no repository, is a file of a web server.
pub fn is_http(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// The last part of the URL's path, as Go's `path.Base` sees it.
fn file_name(url: &Url) -> String {
    let path = url.decoded_path();
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match name {
        "" | "." | ".." => "__unnamed__".to_owned(),
        name if name.contains('\0') => "__unnamed__".to_owned(),
        name => name.to_owned(),
    }
}

/// A checksum of a file.
fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|_| {
        let digits = match text.split_once(':') {
            Some(("sha256", digits)) => digits,
            Some((algorithm, digits)) if !algorithm.is_empty() && !digits.is_empty() => {
                return "unsupported digest algorithm".to_owned();
            }
            _ => "",
        };
        let is_hex = !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let about = if is_hex { "length" } else { "format" };
        format!("invalid checksum digest {about}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instructions::testing::*;

    fn source(dockerfile: &str) -> Source {
        copies(dockerfile)[0].sources[0].clone()
    }

    #[test]
    fn adding_unpacks_and_copying_does_not() {
        check_history("ADD a.tar /x/", "ADD a.tar /x/ # buildkit");
        assert!(copies("ADD a.tar /x/")[0].unpack);
        assert!(!copies("ADD --unpack=false a.tar /x/")[0].unpack);
        assert!(!copies("COPY a.tar /x/")[0].unpack);
    }

    #[test]
    fn a_url_is_a_file_with_its_last_name() {
        let name = |url: &str| match source(&format!("ADD {url} /x/")) {
            Source::Url(source) => source.name,
            other => panic!("{other:?}"),
        };
        for (url, expected) in [
            ("http://h/a/b.txt?c=d#e", "b.txt"),
            ("https://h/a%20b/", "a b"),
            ("https://h/a%2Fb", "b"),
            ("https://h", "__unnamed__"),
            ("https://h/..", "__unnamed__"),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
        let unpack = |flags: &str| match source(&format!("ADD {flags} http://h/a.tar /x/")) {
            Source::Url(source) => source.unpack,
            other => panic!("{other:?}"),
        };
        assert_eq!((unpack(""), unpack("--unpack"), unpack("--unpack=false")), (false, true, false));
    }

    #[test]
    fn a_repository_is_one_in_all_its_forms_and_a_path_stays_one() {
        let kept = |line: &str| match source(line) {
            Source::Git(source) => (source.keep_git_dir, source.submodules, source.reference.to_string()),
            other => panic!("{other:?}"),
        };
        let place = || "https://h/x.git".to_owned();
        assert_eq!(kept("ADD https://h/x.git /x"), (false, true, place()));
        assert_eq!(kept("ADD --keep-git-dir https://h/x.git /x"), (true, true, place()));
        assert_eq!(
            kept("ADD --keep-git-dir=true https://h/x.git?submodules=false /x"),
            (true, false, place())
        );
        assert_eq!(kept("ENV R=v1\nADD git@h:x#$R:d /x"), (false, true, "git@h:x#v1:d".into()));
        for path in ["github.com/a/b", "a:b", ".git", "./x.git"] {
            assert_eq!(source(&format!("ADD {path} /x")), Source::Files(path.into()), "{path}");
        }
    }

    #[test]
    fn history_has_no_passwords() {
        check_history("ADD https://me:secret@h/a /x", "ADD https://xxxxx:xxxxx@h/a /x # buildkit");
        check_history("ADD https://secret@h/a.git#v1 /x", "ADD https://xxxxx@h/a.git#v1 /x # buildkit");
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        let one = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
        for (line, problem) in [
            (format!("ADD --checksum={one} a /x"), "checksum requires HTTP(S) or Git sources"),
            (
                format!("ADD --checksum={one} http://h/a b /x/"),
                "checksum can't be specified for multiple sources",
            ),
            ("ADD --checksum=sha256:0 http://h/a /x".into(), "invalid checksum digest length"),
            ("ADD --checksum=md5:0 http://h/a /x".into(), "unsupported digest algorithm"),
            ("ADD --checksum=0 http://h/a /x".into(), "invalid checksum digest format"),
            (
                "ADD --keep-git-dir=false git://h/a?keep-git-dir=1 /x".into(),
                "inconsistent keep-git-dir configuration",
            ),
            ("ADD --checksum=a git://h/a?checksum=b /x".into(), "checksum mismatch \"a\" != \"b\""),
            ("ADD git://h/a?x=y /x".into(), "unexpected query \"x\""),
            ("ADD http:// /x".into(), "invalid URL: \"http://\""),
        ] {
            check_problem(&line, problem);
        }
    }
}
