//! What a build asks of the engine.

use std::path::PathBuf;

use engine::container::{ExtraHost, Limits, StepMount, Ulimit};
use image::{
    Image, Lease, Store,
    manifest::{Descriptor, Manifest},
};
use serde::{Deserialize, Serialize};
use types::{Digest, Platform, Reference};

use crate::stop::Stop;

/// The engine, as a build sees it.
///
/// Everything a build writes goes into the store, through here, or into the directory it was given for its cache.
pub trait Host: Sync {
    /// Where layers and images are kept. The cache's directory must be on the same file system.
    fn store(&self) -> &Store;

    /// The image that `name` stands for on `platform`: the one at hand, or else pulled. With `pull`, the registry is
    /// asked even if one is at hand. Fails with [`HostError::NotFound`] if neither has it.
    fn resolve(&self, name: &Reference, platform: &Platform, pull: bool) -> Result<Image, HostError>;

    /// Records an image that `lease` holds, and lets `names` stand for it. There may be no names.
    fn record(&self, lease: &Lease, image: &Image, names: &[Reference]) -> Result<(), HostError>;

    /// Called when a build that added to its cache has ended: the time to keep the cache within bounds.
    fn bound_cache(&self) -> Result<(), HostError> {
        Ok(())
    }

    /// Gives the registry of `name` these images, and lets `name` stand there for the one, or for `index`, which lists
    /// them. Layers are compressed on the way. The answer is what `name` stands for then.
    fn push(
        &self,
        lease: &Lease,
        images: &[Image],
        index: Option<&Descriptor>,
        name: &Reference,
    ) -> Result<Pushed, HostError>;

    /// The manifest that `name` stands for in its registry, of several platforms' that for this machine, and the bytes of
    /// its configuration.
    fn fetch_manifest(&self, name: &Reference) -> Result<(Manifest, Vec<u8>), HostError>;

    /// Makes sure that `lease` holds the topmost of the layers `diff_ids`, whose `blob` the repository of `name` has.
    fn fetch_layer(
        &self,
        lease: &Lease,
        name: &Reference,
        blob: &Descriptor,
        diff_ids: &[Digest],
    ) -> Result<(), HostError>;

    /// Runs a process in a container of its own to its end, passing on what it writes, and returns its exit code.
    /// What it changed is in `step.upper` then, nothing of the engine's own among it, and nothing is mounted. When `stop`
    /// is set, it is killed with all that it started.
    fn run(
        &self,
        step: &RunStep,
        stop: &Stop,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, HostError>;
}

/// A manifest or an index that a registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// A process to run for RUN.
#[derive(Debug, Clone)]
pub struct RunStep {
    /// The layers' directories, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Where changes go, and overlayfs's working directory beside it. Both exist and are empty.
    pub upper: PathBuf,
    pub work: PathBuf,
    pub arguments: Vec<String>,
    /// `NAME=value`, complete but for what the engine always sets.
    pub environment: Vec<String>,
    pub directory: String,
    /// As in an image's configuration: empty for root.
    pub user: String,
    pub hostname: String,
    pub network: Network,
    /// In the order in which they are mounted.
    pub mounts: Vec<StepMount>,
    /// `NAME=value`, to be known to the process only.
    pub secrets: Vec<String>,
    pub hosts: Vec<ExtraHost>,
    pub limits: Limits,
    pub ulimits: Vec<Ulimit>,
    /// The cgroup its own is made in, if not the engine's.
    pub cgroup_parent: Option<String>,
    /// It has all privileges there are.
    pub privileged: bool,
}

/// The network a RUN step has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// Where a process wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// What went wrong on the other side.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{0}: not found")]
    NotFound(Reference),
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}
