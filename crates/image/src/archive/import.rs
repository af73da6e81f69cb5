//! `import`: an image of one layer from an archive of a root file system.

use std::io::Read;

use super::ArchiveError;
use crate::{
    config::Configuration,
    store::{Image, Layer, Lease},
};

/// Makes an image of the files in an archive, which may be compressed and come through a pipe.
/// The lease must live until it is recorded.
pub fn import(lease: &Lease, source: impl Read, config: Configuration) -> Result<Image, ArchiveError> {
    let staged = lease.unpack(source, None)?;
    let layer = Layer { diff_id: staged.diff_id, blob: staged.blob.clone() };
    lease.place(&[layer.diff_id], vec![staged])?;
    Ok(lease.write_image(config, &[layer])?)
}
