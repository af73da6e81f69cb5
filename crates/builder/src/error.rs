//! Why a build comes to nothing.

use std::io;

use image::StoreError;
use types::{Digest, Platform};

use crate::{
    MOST_LAYERS,
    context::ContextError,
    diagnostic::Diagnostic,
    export::ExportError,
    host::HostError,
    input::InputError,
    solve::{CopyError, MountError, StepDifference},
};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Input(#[from] InputError),
    /// The Dockerfile is wrong.
    #[error("{0}")]
    Dockerfile(Box<Diagnostic>),
    /// The base image cannot be had.
    #[error("{error}")]
    Base { error: Box<HostError>, diagnostic: Box<Diagnostic> },
    /// COPY or ADD names what is not in the context.
    #[error("{}", chain_of(.error))]
    Context { error: ContextError, diagnostic: Box<Diagnostic> },
    /// Files could not be put into the image.
    #[error("{}", chain_of(.error))]
    Copy { error: CopyError, diagnostic: Box<Diagnostic> },
    /// A process of RUN failed. `output` is the last of what it wrote.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Run { command: String, code: i32, output: String, diagnostic: Box<Diagnostic> },
    /// A process of RUN could not be started.
    #[error("process {command:?} did not complete successfully: {}", chain_of(.error))]
    Start { command: String, error: Box<HostError>, diagnostic: Box<Diagnostic> },
    /// Something could not be mounted for a process of RUN.
    #[error("{}", chain_of(.error))]
    Mount { error: Box<MountError>, diagnostic: Box<Diagnostic> },
    /// Steps that were done twice did not come to the same.
    #[error("{}", different(.steps))]
    Differs { steps: Vec<StepDifference>, diagnostic: Box<Diagnostic> },
    /// Nobody wants it any more.
    #[error("Canceled: context canceled")]
    Canceled,
    /// RUN needs another processor.
    #[error("this machine cannot run programs for {platform}")]
    Foreign { platform: Platform, diagnostic: Box<Diagnostic> },
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("the image would have more than {MOST_LAYERS} layers")]
    TooManyLayers,
    /// The step to begin with is not among those of the build.
    #[error("the build has no step {0:?}")]
    NoStep(String),
    #[error("layer {0} is not in the store")]
    LayerMissing(Digest),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("cannot use the build cache")]
    Cache(#[source] io::Error),
}

impl BuildError {
    /// The place in the Dockerfile, if there is one to show.
    pub fn diagnostic(&self) -> Option<&Diagnostic> {
        match self {
            BuildError::Dockerfile(diagnostic)
            | BuildError::Base { diagnostic, .. }
            | BuildError::Context { diagnostic, .. }
            | BuildError::Copy { diagnostic, .. }
            | BuildError::Foreign { diagnostic, .. }
            | BuildError::Mount { diagnostic, .. }
            | BuildError::Start { diagnostic, .. }
            | BuildError::Differs { diagnostic, .. }
            | BuildError::Run { diagnostic, .. } => Some(diagnostic),
            BuildError::Input(_)
            | BuildError::Canceled
            | BuildError::Export(_)
            | BuildError::TooManyLayers
            | BuildError::NoStep(_)
            | BuildError::LayerMissing(_)
            | BuildError::Store(_)
            | BuildError::Host(_)
            | BuildError::Cache(_) => None,
        }
    }
}

/// An error with all its causes, in one line. Some say what is behind them themselves.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(|cause| cause.to_string()).fold(error.to_string(), |text, cause| {
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Which steps are not reproducible, in one line.
fn different(steps: &[StepDifference]) -> String {
    let names: Vec<String> = steps.iter().map(StepDifference::name).collect();
    match names.as_slice() {
        [name] => format!("{name} came to something else when it was done again"),
        names => format!(
            "{} steps came to something else when they were done again: {}",
            names.len(),
            names.join(", ")
        ),
    }
}
