//! What a build takes from elsewhere: files from web servers, and repositories of Git.
//!
//! Everything is kept in the cache, so that the next build only asks whether it has changed.

mod entry;
pub mod git;
pub mod http;
pub mod layout;
pub mod url;

use std::{env, io};

use entry::Entry;
use git::{GitError, GitSettings};
use http::{DownloadError, Downloads};

/// How one build reaches what is elsewhere.
#[derive(Debug, Default)]
pub struct Remotes {
    pub downloads: Downloads,
    pub git: GitSettings,
}

impl Remotes {
    /// For a build whose own contexts `need_ssh`: that lends it the caller's agent, as for docker.
    pub fn new(need_ssh: bool) -> Remotes {
        let agent = env::var_os("SSH_AUTH_SOCK").filter(|_| need_ssh).map(Into::into);
        Remotes { git: GitSettings { agent, ..GitSettings::default() }, downloads: Downloads::default() }
    }
}

/// Why something from elsewhere cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("cannot put aside what was fetched")]
    Scratch(#[source] io::Error),
}

impl RemoteError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RemoteError::Git(GitError::NotInstalled) => {
                Some("install the git program, or download what is needed and put it into the build context")
            }
            RemoteError::Download(DownloadError::Mismatch { .. }) => {
                Some("the first is what the server sends, the second what --checksum says")
            }
            RemoteError::Git(GitError::NoKey) => {
                Some("start an ssh-agent, and lend it to the build: --ssh default")
            }
            _ => None,
        }
    }
}
