//! `save`: images as one archive that is an OCI image layout and a docker archive at once.

use std::io::Write;

use types::Reference;

use super::{ArchiveError, Layout};
use crate::store::{Image, Store};

/// Writes `images`, each with its names, to `target`; what several of them have in common, once.
pub fn save(
    store: &Store,
    images: &[(Image, Vec<Reference>)],
    target: impl Write,
) -> Result<(), ArchiveError> {
    let mut layout = Layout::default();
    for (image, names) in images {
        layout.list(&store.describe_manifest(&image.manifest)?, names);
        layout.list_for_docker(image, names);
        layout.add(image);
    }
    layout.write_archive(store, target)
}
