//! Commands about images.

pub mod build;
pub mod history;
pub mod import;
pub mod inspect;
pub mod load;
pub mod ls;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod save;
pub mod tag;
pub mod tree;
pub mod verify;

use std::{fs::File, io::ErrorKind};

/// Opens an archive to read, or says why not as docker does.
fn open(path: &str) -> anyhow::Result<File> {
    File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("open {path}: no such file or directory"),
        ErrorKind::PermissionDenied => anyhow::anyhow!("open {path}: permission denied"),
        _ => anyhow::anyhow!("open {path}: {error}"),
    })
}
