//! What can go wrong between a registry and us, in the words docker's users know.

use std::{fmt, io, time::Duration};

use types::Digest;

use crate::credentials::CredentialsError;

/// Why a registry did not give, or take, what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is logged in, or what they logged in with is not (or no longer) good.
    #[error("{0}")]
    Unauthorized(Box<Refusal>),
    /// Whoever is logged in may not do this.
    #[error("{0}")]
    Denied(Box<Refusal>),
    /// A pull was refused. Many registries say so of repositories that do not exist.
    #[error(
        "pull access denied for {name}, repository does not exist or may require 'docker login': {refusal}"
    )]
    PullDenied { name: String, refusal: Box<Refusal> },
    /// `what` is named as docker's users write it: `manifest for busybox:1`, `blob sha256:…`.
    #[error("{what} not found: {refusal}")]
    NotFound { what: String, refusal: Box<Refusal> },
    /// Too many requests, and waiting as long as we are willing to did not help.
    #[error("{0}")]
    TooMany(Box<Refusal>),
    /// Any other answer that is not the one asked for.
    #[error("{registry}: {0}", registry = .0.registry)]
    Refused(Box<Refusal>),
    #[error("{host} answers with a web page (HTTP {status}); is {registry} a registry?")]
    WebPage { registry: String, host: String, status: u16 },
    #[error("cannot look up {host}: {reason}")]
    Lookup { host: String, reason: String },
    #[error("cannot reach {host}: {source}")]
    Unreachable { host: String, source: io::Error },
    #[error("cannot reach {host} through the proxy: {reason}")]
    Proxy { host: String, reason: String },
    /// No secure connection: most often a certificate nobody vouches for.
    #[error("cannot trust {host}: {reason}")]
    Tls { host: String, reason: String },
    /// The connection broke off.
    #[error("the connection to {host} broke off: {source}")]
    Broken { host: String, source: io::Error },
    #[error("{host} has been silent for {} seconds", after.as_secs_f32())]
    Silent { host: String, after: Duration },
    #[error("{host} redirects more than {limit} times")]
    Redirects { host: String, limit: u32 },
    /// An answer that no registry that keeps to the specification gives.
    #[error("{host}: {what}")]
    Protocol { host: String, what: String },
    #[error("{host} sends {what} of more than {limit} bytes")]
    TooLarge { host: String, what: &'static str, limit: u64 },
    /// The content is not what its digest says: nothing of it may be used.
    #[error("{what} from {registry} is damaged: expected {expected}, its content hashes to {actual}")]
    Damaged { registry: String, what: &'static str, expected: Digest, actual: Digest },
    /// What was to be uploaded could not be read.
    #[error("cannot read what is to be uploaded")]
    Source(#[source] io::Error),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A file of certificates for a registry is not usable.
    #[error("cannot use {path}: {reason}", path = path.display())]
    Certificate { path: std::path::PathBuf, reason: String },
}

/// What a registry said when it refused: bounded, on one line, without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As in references: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// The path within the registry, where one was concerned.
    pub repository: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The specification's error code, such as `MANIFEST_UNKNOWN`; empty if the registry gave none.
    pub code: String,
    pub message: String,
    /// How long the registry asks us to stay away.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), self.message.as_str()) {
            ("", "") => write!(f, "received unexpected HTTP status: {}", self.status)?,
            ("", message) => write!(f, "{message} (HTTP {})", self.status)?,
            (code, message) => {
                let code = code.to_lowercase().replace('_', " ");
                let message = if message.is_empty() { &code } else { message };
                write!(f, "{code}: {message}")?;
            }
        }
        match self.retry_after {
            Some(wait) => write!(f, " (try again in {} seconds)", wait.as_secs()),
            None => Ok(()),
        }
    }
}

impl ClientError {
    /// Whether the same request may well succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Broken { .. } | ClientError::Silent { .. } => true,
            ClientError::TooMany(_) => true,
            // 501 and 505 are about what the server can do at all.
            ClientError::Refused(refusal) => {
                refusal.status == 408 || refusal.status >= 500 && !matches!(refusal.status, 501 | 505)
            }
            ClientError::WebPage { status, .. } => matches!(status, 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// What the registry said, if it answered at all.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            ClientError::Unauthorized(refusal)
            | ClientError::Denied(refusal)
            | ClientError::PullDenied { refusal, .. }
            | ClientError::NotFound { refusal, .. }
            | ClientError::TooMany(refusal)
            | ClientError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the registry says that what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClientError::NotFound { .. })
    }
}

/// For interfaces that speak of `io::Error`, such as [`crate::Blob`]'s; [`io::Error::get_ref`] finds it again.
impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> io::Error {
        let kind = match &error {
            ClientError::Silent { .. } => io::ErrorKind::TimedOut,
            ClientError::Broken { .. } => io::ErrorKind::ConnectionReset,
            ClientError::Protocol { .. } | ClientError::Damaged { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
