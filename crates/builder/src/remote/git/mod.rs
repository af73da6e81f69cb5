//! Repositories of Git: which commit is meant, and its files.
//!
//! ```text
//! <cache>/git/<digest of the URL>/about         the URL
//!                                /repository/   all that was fetched so far, bare
//! ```
//!
//! Only `git` itself knows all servers and repositories, so it is what runs here, held short: see [`command`].

mod checkout;
mod command;
mod reference;

use std::{fs, io, path::PathBuf, time::Duration};

use types::Digest;

pub use checkout::Wanted;
pub use command::GitSettings;
pub use reference::GitReference;

use self::{
    command::{Login, Repository},
    reference::is_commit,
};
use super::{
    Entry,
    url::{Url, basic_authorization},
};
use crate::cache::{self, Cache};

/// What a reference stands for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The commit.
    pub commit: String,
    /// The tag that leads to it, if it is one with a text of its own; else the commit.
    pub object: String,
    /// `refs/heads/main`, `refs/tags/v1`; none if the commit itself was asked for.
    pub name: Option<String>,
}

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("git is needed for this, and is not installed")]
    NotInstalled,
    #[error("no SSH key \"default\" forwarded from the client")]
    NoKey,
    #[error("cannot run {program}", program = program.display())]
    Run { program: PathBuf, source: io::Error },
    #[error("git {what} has not ended after {} minutes", after.as_secs() / 60)]
    TooLong { what: String, after: Duration },
    #[error("git {what}: {said}")]
    Failed { what: String, said: String },
    #[error("failed to fetch remote {remote}: {error}")]
    Fetch { remote: String, error: Box<GitError> },
    #[error("failed to update submodules for {remote}: {error}")]
    Submodules { remote: String, error: Box<GitError> },
    #[error("repository does not contain ref {revision}: {remote}")]
    NoRevision { revision: String, remote: String },
    #[error("could not find default branch for repository: {0}")]
    NoBranch(String),
    #[error("expected checksum to match {expected}, got {actual}")]
    Mismatch { expected: String, actual: String },
    #[error("failed to open subdir {directory}")]
    NoDirectory { directory: String, source: io::Error },
    #[error("cannot keep what {remote} has")]
    Keep { remote: String, source: io::Error },
}

/// A repository somewhere, as the cache has it. Nobody else uses that meanwhile.
pub struct Mirror<'a> {
    settings: &'a GitSettings,
    reference: &'a GitReference,
    /// Held for its lock.
    _entry: Entry,
    path: PathBuf,
    login: Option<Login>,
    known_hosts: PathBuf,
}

impl<'a> Mirror<'a> {
    /// Opens the cache's repository for what `reference` names. Asks nobody yet.
    pub fn open(
        reference: &'a GitReference,
        cache: &Cache,
        settings: &'a GitSettings,
    ) -> Result<Mirror<'a>, GitError> {
        if reference.is_ssh() && settings.agent.is_none() {
            return Err(GitError::NoKey);
        }
        let keep = |source| GitError::Keep { remote: reference.remote.clone(), source };
        let directory = cache.directory("git");
        // Who logs in otherwise may see other things.
        let name = format!("{}\0{:?}", reference.remote, reference.credentials);
        let entry = Entry::open(directory.join(Digest::of(name.as_bytes()).hex())).map_err(keep)?;
        let login = reference.credentials.as_ref().and_then(|credentials| {
            let url = Url::parse(&reference.remote)?;
            let origin = format!("{}://{}/", url.scheme, url.authority);
            Some(Login { origin, authorization: basic_authorization(credentials) })
        });
        let known_hosts = directory.join("known_hosts");
        let (path, about) = (entry.path.join("repository"), entry.path.join("about"));
        let mirror = Mirror { settings, reference, _entry: entry, path, login, known_hosts };
        if !mirror.path.join("HEAD").exists() {
            mirror.init(SHA1)?;
            cache::replace(&about, format!("{}\n", reference.remote).as_bytes()).map_err(keep)?;
        }
        Ok(mirror)
    }

    /// What the reference stands for now. Nobody is asked if it names a commit.
    pub fn resolve(&self) -> Result<Revision, GitError> {
        let revision = match (self.reference.commit(), &self.reference.revision) {
            (Some(commit), _) => {
                Revision { commit: commit.to_owned(), object: commit.to_owned(), name: None }
            }
            (None, Some(name)) => self.find(name)?,
            (None, None) => self.default_branch()?,
        };
        match &self.reference.checksum {
            Some(expected)
                if !revision.commit.starts_with(expected) && !revision.object.starts_with(expected) =>
            {
                let actual = match revision.commit == revision.object {
                    true => revision.commit,
                    false => format!("{} or {}", revision.object, revision.commit),
                };
                Err(GitError::Mismatch { expected: expected.clone(), actual })
            }
            _ => Ok(revision),
        }
    }

    /// Asks for a branch or a tag; a branch is preferred, as by `git checkout`.
    fn find(&self, name: &str) -> Result<Revision, GitError> {
        let peeled = format!("{name}^{{}}");
        let list = self.ask(&["ls-remote", "--quiet", "--", &self.reference.remote, name, &peeled])?;
        let found = |wanted: &str| {
            let mut lines = list.lines().filter_map(|line| line.split_once('\t'));
            lines.find(|(object, found)| *found == wanted && is_commit(object)).map(|(object, _)| object)
        };
        let full = |prefix: &str| format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name));
        for candidate in [full("refs/"), full("refs/heads/"), full("refs/tags/")] {
            if let Some(object) = found(&candidate) {
                let commit = found(&format!("{candidate}^{{}}")).unwrap_or(object);
                let (commit, object) = (commit.to_owned(), object.to_owned());
                return Ok(Revision { commit, object, name: Some(candidate) });
            }
        }
        let (revision, remote) = (name.to_owned(), self.reference.remote.clone());
        Err(GitError::NoRevision { revision, remote })
    }

    fn default_branch(&self) -> Result<Revision, GitError> {
        let list = self.ask(&["ls-remote", "--quiet", "--symref", "--", &self.reference.remote, "HEAD"])?;
        let mut lines =
            list.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| *name == "HEAD");
        let branch = lines.next().and_then(|(target, _)| target.strip_prefix("ref: "));
        let commit = lines.next().map(|(commit, _)| commit).filter(|commit| is_commit(commit));
        match (branch, commit) {
            (Some(branch), Some(commit)) => {
                let (commit, object) = (commit.to_owned(), commit.to_owned());
                Ok(Revision { commit, object, name: Some(branch.to_owned()) })
            }
            _ => Err(GitError::NoBranch(self.reference.remote.clone())),
        }
    }

    /// Makes sure that the commit and all its files are here, and as little else as the server is able to leave out.
    pub fn fetch(&self, revision: &Revision) -> Result<(), GitError> {
        let has =
            |object: &str| self.here().run(&["cat-file", "-e", &format!("{object}^{{commit}}")]).is_ok();
        if has(&revision.object) {
            return Ok(());
        }
        if revision.object.len() != SHA1 && !self.path.join("sha256").exists() {
            self.init(revision.object.len())?;
        }
        // Locks of a process that was killed: nobody else is here.
        fs::remove_file(self.path.join("shallow.lock")).ok();
        let remote = &self.reference.remote;
        let object = format!("+{0}:refs/fetched/{0}", revision.object);
        let one = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", remote, &object];
        let Err(first) = self.ask(&one) else { return Ok(()) };
        if has(&revision.object) {
            return Ok(());
        }
        // Some servers give only what they advertise, and some know no depth.
        let unshallow: &[&str] = if self.path.join("shallow").exists() { &["--unshallow"] } else { &[] };
        let everything = ["--no-tags", "--", remote, "+refs/*:refs/all/*"];
        match self.ask(&[&["fetch", "--quiet"], unshallow, &everything].concat()) {
            Ok(_) if has(&revision.object) => Ok(()),
            Ok(_) => {
                let (revision, remote) = (revision.object.clone(), remote.clone());
                Err(GitError::NoRevision { revision, remote })
            }
            // The first try says better what is wrong than one that asks for more.
            Err(_) => Err(first),
        }
    }

    /// Makes the repository anew, for commits whose names are so long.
    fn init(&self, length: usize) -> Result<(), GitError> {
        let keep = |source| GitError::Keep { remote: self.reference.remote.clone(), source };
        if self.path.exists() {
            fs::remove_dir_all(&self.path).map_err(keep)?;
        }
        fs::create_dir_all(&self.path).map_err(keep)?;
        self.here().run(&["init", "--quiet", "--bare", "--template=", object_format(length)])?;
        match length {
            SHA1 => Ok(()),
            _ => fs::write(self.path.join("sha256"), "").map_err(keep),
        }
    }

    /// When the commit was made, in seconds since 1970.
    pub fn commit_time(&self, revision: &Revision) -> Result<i64, GitError> {
        let time = self.here().run(&["show", "--no-patch", "--format=%ct", &revision.commit, "--"])?;
        Ok(time.trim().parse().unwrap_or(0))
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, GitError> {
        self.here().run(arguments).map_err(|error| match error {
            GitError::Failed { .. } => {
                GitError::Fetch { remote: self.reference.remote.clone(), error: Box::new(error) }
            }
            other => other,
        })
    }

    fn here(&self) -> Repository<'_> {
        Repository {
            settings: self.settings,
            directory: &self.path,
            files: None,
            login: self.login.as_ref(),
            known_hosts: &self.known_hosts,
        }
    }
}

/// The option for a repository whose commits have names so long.
fn object_format(length: usize) -> &'static str {
    if length == SHA1 { "--object-format=sha1" } else { "--object-format=sha256" }
}

/// How long the names of commits are in most repositories.
const SHA1: usize = 40;

#[cfg(test)]
mod tests;
