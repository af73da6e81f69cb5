//! What can go wrong with a cgroup.

use std::{io, path::PathBuf};

/// Why a cgroup could not be made, limited, watched or removed. The message holds the kernel's reason.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no cgroup filesystem is mounted")]
    NotMounted,
    #[error("cgroup {path} already exists and has processes", path = path.display())]
    InUse { path: PathBuf },
    #[error("container's cgroup unexpectedly frozen")]
    Frozen,
    #[error("cannot {action} cgroup {path}: {reason}", path = path.display())]
    Io { action: &'static str, path: PathBuf, reason: io::Error },
    #[error("cannot set {file} to {value}: {reason}", file = file.display())]
    Limit { file: PathBuf, value: String, reason: io::Error },
    #[error("{limit} cannot be set with cgroup v{version}")]
    Unsupported { limit: &'static str, version: u8 },
    #[error("no cgroup controller {controller} is mounted")]
    NoController { controller: String },
    #[error("cannot apply the device rules of cgroup {path}: {reason}", path = path.display())]
    Devices { path: PathBuf, reason: io::Error },
    #[error("cgroup {path} does not become {state}", path = path.display())]
    Stuck { path: PathBuf, state: &'static str },
}

impl CgroupError {
    /// The kind of the kernel's reason, where there is one.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            CgroupError::InUse { .. } => io::ErrorKind::AlreadyExists,
            CgroupError::Frozen => io::ErrorKind::ResourceBusy,
            CgroupError::NotMounted => io::ErrorKind::NotFound,
            CgroupError::Unsupported { .. } | CgroupError::NoController { .. } => io::ErrorKind::Unsupported,
            CgroupError::Stuck { .. } => io::ErrorKind::TimedOut,
            CgroupError::Io { reason, .. }
            | CgroupError::Limit { reason, .. }
            | CgroupError::Devices { reason, .. } => reason.kind(),
        }
    }
}
