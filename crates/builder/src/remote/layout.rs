//! An image in a directory: the OCI image layout, version 1.0.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use image::{
    ArchiveError, Image, Lease, archive,
    manifest::{Descriptor, Document, Index, InvalidDocument, MANIFEST_LIMIT, OCI_INDEX},
    tarball::{Entry, Kind, Time, Writer},
    tree::{Links, Root},
};
use types::{Digest, InvalidDigest, Platform};

/// One image of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub path: PathBuf,
    /// What it is called there.
    pub tag: String,
    /// Which one it is, whatever it is called.
    pub digest: Option<Digest>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("invalid store at {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{name} is not what an image layout has there")]
    Invalid { name: String, source: InvalidDocument },
    #[error("oci-layout reference {0:?} could not be resolved: failed to resolve digest")]
    NotFound(String),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Layout {
    /// Reads `path[:tag][@digest]`.
    pub fn parse(text: &str) -> Result<Layout, InvalidDigest> {
        let (place, digest) = match text.split_once('@') {
            Some((place, digest)) => (place, Some(digest.parse()?)),
            None => (text, None),
        };
        let (path, tag) = place.split_once(':').unwrap_or((place, "latest"));
        Ok(Layout { path: path.into(), tag: tag.to_owned(), digest })
    }

    /// Adds the image to the store, where `lease` holds it; of one for many platforms what is for `platform`. `aside`
    /// is a file for what is on its way.
    pub fn load(&self, lease: &Lease, platform: &Platform, aside: File) -> Result<Image, LayoutError> {
        let read = |source| LayoutError::Read { path: self.path.clone(), source };
        let root = Root::open(&self.path, Links::StayInside).map_err(read)?;
        let wanted = self.descriptor(&root)?;
        let mut aside = self.pack(&root, &wanted, aside)?;
        aside.rewind().map_err(read)?;
        let loaded = archive::load(lease, aside, Some(platform))?;
        let image = loaded.into_iter().next().map(|loaded| loaded.image);
        image.ok_or_else(|| LayoutError::NotFound(self.path.display().to_string()))
    }

    /// The manifest, or index, that is meant: the one of this name, or else the only one.
    fn descriptor(&self, root: &Root) -> Result<Descriptor, LayoutError> {
        let index = self.index(root, INDEX, OCI_INDEX)?;
        let found = match &self.digest {
            Some(digest) => index.manifests.iter().find(|descriptor| descriptor.digest == *digest),
            None => {
                let is_called = |descriptor: &&Descriptor| {
                    NAMES.iter().any(|name| {
                        descriptor.annotations.get(*name).and_then(|name| name.as_str()) == Some(&self.tag)
                    })
                };
                index.manifests.iter().find(is_called).or(match index.manifests.as_slice() {
                    [only] => Some(only),
                    _ => None,
                })
            }
        };
        found.cloned().ok_or_else(|| LayoutError::NotFound(self.path.display().to_string()))
    }

    /// Writes an archive with what is meant, and all that it refers to.
    fn pack(&self, root: &Root, wanted: &Descriptor, target: File) -> Result<File, LayoutError> {
        let write = |source| LayoutError::Read { path: self.path.clone(), source };
        let mut archive = Writer::new(target);
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        add(&mut archive, "oci-layout", marker.len() as u64, &marker[..]).map_err(write)?;
        let index = serde_json::to_vec(&Index::new(vec![wanted.clone()]))
            .map_err(|error| write(io::Error::other(error)))?;
        add(&mut archive, INDEX, index.len() as u64, index.as_slice()).map_err(write)?;
        let mut rest = VecDeque::from([wanted.clone()]);
        while let Some(descriptor) = rest.pop_front() {
            let name = format!("blobs/sha256/{}", descriptor.digest.hex());
            let file = match root.file(Path::new(&name)) {
                // A layout may have less than its index tells: what is for other platforms.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(write)?,
            };
            let size = file.metadata().map_err(write)?.len();
            if size <= MANIFEST_LIMIT && descriptor.media_type.contains("json") {
                let bytes = content(root, &name).map_err(write)?;
                match Document::parse(&bytes, &descriptor.media_type) {
                    Ok(Document::Index(index)) => rest.extend(index.manifests),
                    Ok(Document::Manifest(manifest)) => {
                        rest.extend(manifest.layers);
                        rest.push_back(manifest.config);
                    }
                    // A configuration is a document too.
                    Err(_) => {}
                }
            }
            add(&mut archive, &name, size, file).map_err(write)?;
        }
        archive.finish().map_err(write)
    }

    fn index(&self, root: &Root, name: &str, media_type: &str) -> Result<Index, LayoutError> {
        let bytes =
            content(root, name).map_err(|source| LayoutError::Read { path: self.path.join(name), source })?;
        match Document::parse(&bytes, media_type) {
            Ok(Document::Index(index)) => Ok(index),
            Ok(Document::Manifest(_)) => Err(LayoutError::NotFound(self.path.display().to_string())),
            Err(source) => Err(LayoutError::Invalid { name: name.to_owned(), source }),
        }
    }
}

fn content(root: &Root, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(root.file(Path::new(name))?, MANIFEST_LIMIT), &mut bytes)?;
    Ok(bytes)
}

fn add<W: Write>(archive: &mut Writer<W>, name: &str, size: u64, content: impl io::Read) -> io::Result<()> {
    let entry = Entry {
        path: name.into(),
        kind: Kind::File { size },
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        xattrs: Vec::new(),
    };
    archive.file(&entry, content)
}

const INDEX: &str = "index.json";

/// Under which annotations tools write what an image is called.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_in_a_layout_is_named_by_tag_or_digest() {
        let digest = Digest::of(b"x");
        let layout = |path: &str, tag: &str, digest| Layout { path: path.into(), tag: tag.into(), digest };
        for (text, expected) in [
            ("a/b", layout("a/b", "latest", None)),
            ("/a:v1", layout("/a", "v1", None)),
            (&format!("/a:v1@{digest}"), layout("/a", "v1", Some(digest))),
        ] {
            assert_eq!(Layout::parse(text).ok(), Some(expected), "{text}");
        }
        assert!(Layout::parse("/a@sha256:x").is_err());
    }
}
