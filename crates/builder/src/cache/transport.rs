//! The cache outside this machine: `--cache-to` and `--cache-from`.
//!
//! What is carried are the steps of a build by their keys, and the layers that they made. As the keys are made of content
//! alone, another machine that comes to the same key needs the step no more. It brings a layer here when a step is found,
//! and no other.
//!
//! A cache is an OCI manifest with a configuration of a type of its own, which other tools leave alone:
//!
//! ```text
//! manifest   config: application/vnd.sampan.build-cache.v1+json    layers: gzipped, as in images
//! config     {"steps": [{"key": "sha256:…", "layer": {"position": 0, "diffId": "sha256:…"}, "created": "…"}]}
//! ```
//!
//! In a directory it lies in an image layout, under the name `build-cache:latest`; a registry has it under the name given.
//! Inline, the steps are in the configuration of the image itself, under `sampan.build-cache`, and the layers are the
//! image's.

mod export;
mod import;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use types::{Digest, Reference};

pub use export::{Carried, carried, export, inline};
pub use import::Imports;

/// Where steps come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheSource {
    /// `type=local,src=`: an image layout.
    Directory(PathBuf),
    /// `type=registry,ref=`: a cache, or an image that has one inline.
    Registry(Reference),
}

/// What is to become of the steps of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheExport {
    pub to: CacheTarget,
    pub mode: CacheMode,
    /// The build is good without it.
    pub ignore_error: bool,
}

/// Where steps go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTarget {
    /// `type=local,dest=`
    Directory(PathBuf),
    /// `type=registry,ref=`
    Registry(Reference),
    /// `type=inline`: into the image. Only steps whose layers are in it can go there.
    Inline,
}

/// Which steps are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Those whose layers are in the image.
    #[default]
    Min,
    /// All, those of other stages too.
    Max,
}

/// The configuration of a cache.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Steps {
    steps: Vec<Step>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    key: Digest,
    /// The layer it made; none if it changed nothing.
    layer: Option<Position>,
    /// When, in RFC 3339.
    created: String,
}

/// A layer of the manifest.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    position: usize,
    diff_id: Digest,
}

const CONFIG: &str = "application/vnd.sampan.build-cache.v1+json";
const INLINE: &str = "sampan.build-cache";
/// What a cache is called in a layout's index.
const NAME: &str = "build-cache:latest";
