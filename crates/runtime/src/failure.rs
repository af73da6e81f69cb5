//! Why a container's process did not start, in a form that crosses from the child to its parent.

use std::{fmt, io};

/// A start that failed. The kind decides the exit code docker's users know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FailureKind {
    /// The command is not there: 127.
    NotFound,
    /// The command is there and cannot be executed: 126.
    NotExecutable,
    /// A file was to be mounted on a directory, or a directory on a file: 125, and 127 in the container's record, as with docker.
    Mismatch,
    /// Anything else: 125.
    Setup,
}

impl FailureKind {
    /// The exit status of `run` and `exec` for a start that failed so.
    pub fn exit_code(self) -> u8 {
        match self {
            FailureKind::NotFound => 127,
            FailureKind::NotExecutable => 126,
            FailureKind::Mismatch | FailureKind::Setup => 125,
        }
    }

    /// What a container that did not start is said to have ended with.
    pub fn recorded_code(self) -> u8 {
        match self {
            FailureKind::Mismatch => 127,
            other => other.exit_code(),
        }
    }
}

impl Failure {
    pub fn setup(message: impl fmt::Display) -> Failure {
        Failure { kind: FailureKind::Setup, message: message.to_string() }
    }
}

/// Names the step that an I/O error stopped.
pub(crate) trait Context<T> {
    fn context(self, step: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, step: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::setup(format_args!("{step}: {}", error.into())))
    }
}
