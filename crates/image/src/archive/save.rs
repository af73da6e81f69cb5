//! `save`: images as one archive that is an OCI image layout and a docker archive at once.

use std::{
    collections::HashSet,
    io::{self, BufWriter, Write},
};

use types::{Digest, Reference};

use super::{ArchiveError, DOCKER_MANIFEST_FILE, DockerImage, INDEX_FILE, LAYOUT_FILE};
use crate::{
    hashed::BUFFER,
    manifest::{CONFIGURATION_LIMIT, Index, MANIFEST_LIMIT},
    store::{Image, LAYOUT, Store},
    tarball::{Entry, Kind, Time, Writer},
};

/// Writes `images`, each with its names, to `target`; what several of them have in common, once.
///
/// The documents come first, so that a reader of the stream knows what the blobs are.
pub fn save(
    store: &Store,
    images: &[(Image, Vec<Reference>)],
    target: impl Write,
) -> Result<(), ArchiveError> {
    let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, target));
    let (mut manifests, mut docker) = (Vec::new(), Vec::new());
    for (image, names) in images {
        for name in names {
            manifests.push(store.named(name, &image.manifest)?);
        }
        if names.is_empty() {
            manifests.push(store.describe_manifest(&image.manifest)?);
        }
        docker.push(DockerImage {
            config: blob_name(&image.id),
            repo_tags: Some(names.iter().map(Reference::familiar).collect()),
            layers: Some(image.layers.iter().map(|layer| blob_name(&layer.blob.digest)).collect()),
        });
    }
    let index = serde_json::to_vec(&Index::new(manifests)).expect("strings and numbers serialise");
    let docker = serde_json::to_vec(&docker).expect("strings and numbers serialise");
    file(&mut writer, LAYOUT_FILE, LAYOUT.as_bytes())?;
    file(&mut writer, INDEX_FILE, &index)?;
    file(&mut writer, DOCKER_MANIFEST_FILE, &docker)?;
    for directory in ["blobs/", "blobs/sha256/"] {
        writer.entry(&entry(directory, Kind::Directory, 0o755)).map_err(ArchiveError::Write)?;
    }
    let mut written = HashSet::new();
    for (image, _) in images {
        for (digest, limit) in [(image.manifest, MANIFEST_LIMIT), (image.id, CONFIGURATION_LIMIT)] {
            if written.insert(digest) {
                file(&mut writer, &blob_name(&digest), &store.read_blob(&digest, limit)?)?;
            }
        }
    }
    for layer in images.iter().flat_map(|(image, _)| &image.layers) {
        if written.insert(layer.blob.digest) {
            let header = entry(&blob_name(&layer.blob.digest), Kind::File { size: layer.blob.size }, 0o644);
            let mut content = writer.begin(&header).map_err(ArchiveError::Write)?;
            store.copy_layer(layer, &mut content)?;
            content.finish().map_err(ArchiveError::Write)?;
        }
    }
    writer.finish().and_then(|mut target| target.flush()).map_err(ArchiveError::Write)
}

fn file<W: Write>(writer: &mut Writer<W>, name: &str, content: &[u8]) -> Result<(), ArchiveError> {
    let entry = entry(name, Kind::File { size: content.len() as u64 }, 0o644);
    writer.file(&entry, io::Cursor::new(content)).map_err(ArchiveError::Write)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn entry(name: &str, kind: Kind, mode: u32) -> Entry {
    Entry { path: name.into(), kind, mode, uid: 0, gid: 0, mtime: Time::default(), xattrs: Vec::new() }
}
