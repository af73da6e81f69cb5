//! Where uploads begin: sessions, and mounts, which make one unnecessary.

use std::fmt;

use types::Digest;
use ureq::http::{Method, Uri, header::HeaderName};

use crate::{
    ClientError, Repository,
    auth::Scope,
    location::{self, encoded},
    reply::Reply,
};

/// What became of a mount.
#[derive(Debug)]
pub enum Mounted {
    /// The repository has the blob.
    Yes,
    /// It has not: here is where to upload it.
    No(Session),
}

/// A place at the registry that waits for a blob.
pub struct Session {
    pub(crate) url: Uri,
    /// The registry takes no smaller chunks but for the last.
    pub(crate) smallest: u64,
}

impl Repository<'_> {
    /// Makes a blob of the repository `from`, of the same registry, one of this repository too.
    pub fn mount_blob(&self, digest: &Digest, from: &str) -> Result<Mounted, ClientError> {
        let path = format!("blobs/uploads/?mount={}&from={}", encoded(&digest.to_string()), encoded(from));
        let ask = self.ask(Method::POST, path, Scope::push(self.path())).scope(Scope::pull(from));
        match self.exchange().send(&ask, &[]) {
            Ok(reply) if reply.status == 201 => {
                reply.discard();
                Ok(Mounted::Yes)
            }
            Ok(reply) => Session::of(reply, 0).map(Mounted::No),
            // Not every registry knows mounts.
            Err(ClientError::Refused(refusal)) if (400..500).contains(&refusal.status) => {
                self.start_upload().map(Mounted::No)
            }
            Err(ClientError::NotFound { .. }) => self.start_upload().map(Mounted::No),
            Err(error) => Err(error),
        }
    }

    /// Opens a session.
    pub(crate) fn start_upload(&self) -> Result<Session, ClientError> {
        let ask = self.ask(Method::POST, "blobs/uploads/".to_owned(), Scope::push(self.path()));
        Session::of(self.exchange().send(&ask, &[])?, 0)
    }
}

impl Session {
    /// The session that an answer speaks of.
    pub(crate) fn of(reply: Reply, smallest: u64) -> Result<Session, ClientError> {
        let next = reply.header("location").and_then(|location| location::join(&reply.url, location));
        let url = next.ok_or_else(|| reply.nonsense("does not say where an upload goes on"))?;
        if reply.url.scheme_str() == Some("https") && url.scheme_str() != Some("https") {
            return Err(reply.nonsense("wants an upload over a connection that is not secure"));
        }
        let smallest = reply.header(SMALLEST.as_str()).and_then(|n| n.parse().ok()).unwrap_or(smallest);
        reply.discard();
        Ok(Session { url, smallest })
    }
}

/// The place may carry what allows whoever knows it to upload.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(…)")
    }
}

const SMALLEST: HeaderName = HeaderName::from_static("oci-chunk-min-length");
