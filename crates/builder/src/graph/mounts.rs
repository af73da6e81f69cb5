//! What RUN has mounted for its process only. Serialized, it is part of the step's cache key: by what it is, not by what
//! it holds; the files of bind mounts are part of the key by themselves.

use engine::container::Access;
use serde::{Deserialize, Serialize};

use super::Origin;

/// Something to be seen at `target` while a process runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, and not `/`.
    pub target: String,
    pub read_only: bool,
    pub kind: MountKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// Files as they are found. What is written there is thrown away.
    Files {
        #[serde(skip)]
        from: Origin,
        #[serde(skip)]
        source: String,
    },
    Cache(CacheMount),
    /// An empty directory in memory, of so many bytes.
    Memory {
        size: Option<u64>,
    },
    Secret {
        id: String,
        required: bool,
        access: Access,
    },
    /// The socket of an ssh agent.
    Agent {
        id: String,
        required: bool,
        access: Access,
    },
    /// A directory with one file, which can be executed: a here-document.
    Script {
        name: String,
        content: String,
    },
}

/// A directory that outlives the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMount {
    pub id: String,
    /// What a new one begins with, if it does not begin empty.
    #[serde(skip)]
    pub from: Option<Origin>,
    /// The part that is mounted, from the root of `from` or of the cache: `/` for all of it.
    pub source: String,
    pub sharing: Sharing,
    /// Of a new one.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mode: Option<u32>,
}

/// What happens if several processes want the same cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    #[default]
    Shared,
    /// Each has its own.
    Private,
    /// One waits for the other.
    Locked,
}

/// A secret as a variable of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVariable {
    pub name: String,
    pub id: String,
    pub required: bool,
}

impl Mount {
    /// Where its files are from, and which.
    pub fn takes(&self) -> Option<(Origin, &str)> {
        match &self.kind {
            MountKind::Files { from, source } => Some((*from, source)),
            MountKind::Cache(CacheMount { from: Some(from), source, .. }) => Some((*from, source)),
            _ => None,
        }
    }
}
