//! What can go wrong, in the words that other engines look for.

use std::{io, path::PathBuf};

use runtime::{Failure, cgroup::CgroupError};

use crate::Status;

#[derive(Debug, thiserror::Error)]
pub enum OciError {
    #[error("container does not exist")]
    NotFound,
    #[error("container with given ID already exists")]
    Exists,
    #[error("invalid container ID format")]
    InvalidId,
    #[error("container not running")]
    NotRunning,
    #[error("container not paused")]
    NotPaused,
    #[error("cannot start a container that has stopped")]
    StartStopped,
    #[error("cannot start an already running container")]
    StartRunning,
    #[error("cannot start a container in the {0} state")]
    StartOther(Status),
    #[error("cannot delete container {id} that is not stopped: {status}")]
    DeleteRunning { id: String, status: Status },
    #[error("container init still running")]
    Unkillable,
    #[error("cannot exec in a stopped container")]
    ExecStopped,
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    ExecPaused,
    #[error("JSON specification file {} not found", path.display())]
    NoConfig { path: PathBuf },
    #[error("{0}")]
    Config(String),
    #[error("cannot allocate tty if sampan will detach without setting console socket")]
    TerminalWithoutSocket,
    #[error("cannot use console socket if sampan will not detach or allocate tty")]
    SocketWithoutTerminal,
    #[error("unable to start container process: {0}")]
    Start(Failure),
    #[error("{0}")]
    Cgroup(#[from] CgroupError),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// Names what an I/O error kept from being done.
pub(crate) trait Context<T> {
    fn context(self, what: impl Into<String>) -> Result<T, OciError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T, OciError> {
        self.map_err(|error| OciError::Io { what: what.into(), source: error.into() })
    }
}
