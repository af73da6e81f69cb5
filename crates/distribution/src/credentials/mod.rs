//! Who we are to registries, as docker's `config.json` and its credential helpers remember it.

mod file;
mod helper;

use std::{fmt, io, path::PathBuf};

pub use file::ConfigFile;

/// What a registry, or its token server, is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        secret: Secret,
    },
    /// What a token server gave in place of a password.
    IdentityToken(Secret),
    /// What the registry itself takes.
    RegistryToken(Secret),
}

/// Something that is shown to nobody but those it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Why credentials cannot be read, or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    /// What is wrong is not said in more detail: it could hold a secret.
    #[error("{path} is not the JSON that docker writes, near line {line}", path = path.display())]
    Json { path: PathBuf, line: usize },
    #[error("{0:?} is not the name of a credential helper")]
    HelperName(String),
    #[error("cannot run {helper}: {source}")]
    NoHelper { helper: String, source: io::Error },
    #[error("{helper}: {message}")]
    Helper { helper: String, message: String },
}

/// The name under which credentials for `registry` are kept: docker.io's is historical.
pub fn server_of(registry: &str) -> &str {
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB_SERVER,
        other => other,
    }
}

const HUB_SERVER: &str = "https://index.docker.io/v1/";
