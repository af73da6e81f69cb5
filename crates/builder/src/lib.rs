//! Builds images from Dockerfiles.
//!
//! ```text
//! text ──parse──▶ statements ──instructions──▶ graph of operations ──solve──▶ layers and configuration
//! ```
//!
//! Knows Dockerfiles, build contexts and the build cache. What runs processes and keeps images is a [`Host`]; what
//! happens is told to an [`Observer`]. Knows nothing of terminals, registries or containers' lives.

mod build;
pub mod builds;
pub mod cache;
mod call;
mod change;
mod compare;
mod config;
mod context;
mod date;
mod diagnostic;
mod emulation;
mod error;
mod event;
mod expand;
mod export;
mod graph;
mod history;
mod host;
mod ignore;
mod input;
mod instructions;
mod lint;
mod local;
mod mode;
mod owner;
mod parse;
mod path;
mod plan;
mod progress;
mod recipe;
mod remote;
mod run_settings;
mod scratch;
mod solve;
mod squash;
mod stack;
mod stop;
mod work;

pub use build::{Build, Built, build};
pub use cache::transport::{CacheExport, CacheMode, CacheSource, CacheTarget};
pub use call::{Checked, ListedTarget, Mount, Outline, OutlineArgument, Targets, check, outline, targets};
pub use change::change;
pub use compare::{Aspect, Change, FileDifference};
pub use context::ContextError;
pub use diagnostic::{Diagnostic, Problem, Span, marked_lines};
pub use error::BuildError;
pub use event::{Event, Exporter, Observer, Task, TaskId};
pub use export::{
    Annotation, Annotations, ExportError, Exported, Family, Output, Package, Place, Split, Target,
};
pub use host::{Host, HostError, Network, Pushed, RunStep, Stream};
pub use ignore::InvalidPattern;
pub use input::{ContextSource, DockerfileSource, InputError, NamedContext, NamedFiles};
pub use lint::{Finding, Rule};
pub use local::Local;
pub use run_settings::{
    ExtraHost, HostAddress, Limits, Privilege, RunSettings, Secret, SecretContent, SwapLimit, Ulimit,
    UnknownPrivilege,
};
pub use solve::{CopyError, MountError, StepDifference};
pub use stop::Stop;

/// As many as other engines take.
pub(crate) const MOST_LAYERS: usize = 127;

#[cfg(test)]
mod tests;
