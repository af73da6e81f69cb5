//! Images as one file: what `save`, `load` and `import` write and read.
//!
//! Knows the archives of docker, old and new, and OCI image layouts in a tar. Nothing that an archive says
//! is visible in the store before all of it is verified.

mod extract;
mod import;
mod layout;
mod load;
mod pick;
mod save;
mod spool;

use std::io;

use serde::{Deserialize, Serialize};
use types::Digest;

pub use extract::{copy_in, extract, is_archive};
pub use import::import;
pub use layout::Layout;
pub use load::{Loaded, load};
pub use pick::{Pick, pick};
pub use save::save;

use crate::{layer::UnpackError, manifest::InvalidDocument, store::StoreError, tarball::TarError};

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    #[error("neither a docker archive nor an OCI image layout: it has no manifest.json and no index.json")]
    NotImages,
    #[error("the archive has no image for this machine")]
    NoImage,
    #[error("the archive lacks \"{}\"", .0.escape_default())]
    Missing(String),
    #[error("\"{}\" in the archive is damaged: its content hashes to {actual}", .name.escape_default())]
    Damaged { name: String, actual: Digest },
    #[error("\"{}\" in the archive is invalid", .name.escape_default())]
    Invalid { name: String, source: InvalidDocument },
    #[error("the archive has more than {0} files")]
    TooManyFiles(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

/// One image in docker's `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

const DOCKER_MANIFEST_FILE: &str = "manifest.json";
const INDEX_FILE: &str = "index.json";
const LAYOUT_FILE: &str = "oci-layout";

#[cfg(test)]
mod tests;
