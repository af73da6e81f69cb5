//! The store on disk.
//!
//! ```text
//! blobs/sha256/<hex>     as received, or as first written; with index.json and oci-layout an OCI image layout
//! layers/<key>/tree/     an unpacked layer, as overlayfs stacks it; never changed once it has this name
//!             /layer.json  what is recorded of it
//!             /basis ->  another layer, which has those of its files that it has not itself
//! compressed/<hex>       by diff id: what a layer's blob is once it has been compressed here
//! partial/<hex>          what a download got so far of a blob; locked while one goes on
//! replaced/<boot>.<...>/  damaged layers that were replaced while containers may have stood on them; until reboot
//! leases/<random>/       one per command at work: what it claims, and what it has not finished
//!       /gate            locked shared to claim something, exclusively to collect what nobody claims
//! ```
//!
//! A layer's key is its diff id, if it says all about the directories in it. Otherwise it depends on the
//! layers below, and its key is a hash of the diff ids of all of them. A layer that was built here has
//! no blob: packed again, it gives the same bytes.

mod basis;
mod collect;
mod compress;
mod disk;
mod download;
mod index;
mod lease;
mod partial;
mod repair;
mod unpack;
mod usage;
mod verify;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use types::Digest;

pub use basis::Basis;
pub use collect::{Freed, Live};
pub use compress::Encoding;
pub use download::Download;
pub(crate) use index::{IMAGE_NAME, REFERENCE_NAME};
pub use lease::{Held, Lease};
pub use repair::Repair;
pub use unpack::Staged;
pub use usage::{Share, Usage};
pub use verify::{Fault, Finding, Subject, Verified};

use crate::{
    config::Configuration,
    hashed::{Hashed, HashedWriter, copy},
    layer::{PackError, UnpackError, pack},
    manifest::{
        CONFIGURATION_LIMIT, Descriptor, Document, InvalidDocument, MANIFEST_LIMIT, Manifest, OCI_MANIFEST,
        json,
    },
};

/// Blobs and layers below one directory. Any number of processes may use it at once.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// An image that is in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The digest of the manifest: what registries call the image.
    pub manifest: Digest,
    /// The digest of the configuration: docker's image id.
    pub id: Digest,
    pub config: Configuration,
    /// Lowest first.
    pub layers: Vec<Layer>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The digest of the plain archive.
    pub diff_id: Digest,
    /// The archive as the manifest names it, compressed perhaps.
    pub blob: Descriptor,
}

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("blob {0} is not in the store")]
    NoBlob(Digest),
    #[error("layer {0} is not in the store")]
    NoLayer(Digest),
    #[error("blob {expected} is damaged: its content hashes to {actual}")]
    Damaged { expected: Digest, actual: Digest },
    #[error("layer {expected} is damaged: its content hashes to {actual}")]
    DamagedLayer { expected: Digest, actual: Digest },
    #[error("blob {digest} has {actual} bytes, expected {expected}")]
    WrongSize { digest: Digest, expected: u64, actual: u64 },
    #[error("blob {digest} is invalid")]
    Invalid { digest: Digest, source: InvalidDocument },
    #[error("cannot unpack layer {blob}")]
    Unpack { blob: Digest, source: UnpackError },
    #[error("cannot unpack the layer")]
    UnpackUnknown(#[source] UnpackError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("cannot read the blob")]
    Source(#[source] io::Error),
    #[error("cannot write the layer")]
    Target(#[source] io::Error),
    #[error("cannot use {}", .path.display())]
    Disk { path: PathBuf, source: io::Error },
}

impl Store {
    /// Opens the store at `root`, making what is missing of it. Reads nothing else.
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        let store = Store { root: root.to_owned() };
        for directory in [
            root.to_owned(),
            store.blobs(),
            store.layers(),
            store.compressed(),
            store.partials(),
            store.leases(),
        ] {
            disk::make_directory(&directory)?;
        }
        let layout = root.join("oci-layout");
        // By its length: a crash may have left it empty.
        if !fs::metadata(&layout).is_ok_and(|file| file.len() == LAYOUT.len() as u64) {
            fs::write(&layout, LAYOUT).map_err(disk::error(&layout))?;
        }
        Ok(store)
    }

    /// The image whose manifest has this digest, read and verified.
    pub fn image(&self, manifest: &Digest) -> Result<Image, StoreError> {
        let Manifest { config, layers, .. } = self.manifest(manifest)?;
        let bytes = self.read_blob(&config.digest, CONFIGURATION_LIMIT)?;
        let id = config.digest;
        let invalid = |source| StoreError::Invalid { digest: id, source };
        let config: Configuration = json(&bytes, CONFIGURATION_LIMIT).map_err(invalid)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            return Err(invalid(InvalidDocument::LayerCount {
                layers: layers.len(),
                diff_ids: diff_ids.len(),
            }));
        }
        let layers =
            diff_ids.iter().zip(layers).map(|(diff_id, blob)| Layer { diff_id: *diff_id, blob }).collect();
        Ok(Image { manifest: *manifest, id, config, layers })
    }

    /// The manifest with this digest.
    pub fn manifest(&self, digest: &Digest) -> Result<Manifest, StoreError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            media_type: Option<String>,
        }
        let bytes = self.read_blob(digest, MANIFEST_LIMIT)?;
        let invalid = |source| StoreError::Invalid { digest: *digest, source };
        let kind: Kind = json(&bytes, MANIFEST_LIMIT).map_err(invalid)?;
        let kind = kind.media_type.as_deref().unwrap_or(OCI_MANIFEST);
        match Document::parse(&bytes, kind).map_err(invalid)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => Err(invalid(InvalidDocument::UnknownType(kind.to_owned()))),
        }
    }

    /// The directories of an image's layers, topmost first, as overlayfs takes them. A layer may have two.
    pub fn layer_directories(&self, image: &Image) -> Result<Vec<PathBuf>, StoreError> {
        let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
        self.directories(&diff_ids)
    }

    /// The sizes of all files in an image's layers, which is what docker shows.
    pub fn size(&self, image: &Image) -> Result<u64, StoreError> {
        Ok(self.layer_sizes(image)?.iter().sum())
    }

    /// The sizes of all files in each layer, lowest first.
    pub fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>, StoreError> {
        let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
        self.own_directories(&diff_ids)?.iter().map(|tree| Ok(Record::beside(tree)?.size)).collect()
    }

    /// Whether the bytes of a blob are in the store, as they are.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.blob_path(digest);
        path.try_exists().map_err(disk::error(&path))
    }

    /// Opens a blob, without verifying it.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::NoBlob(*digest)),
            result => result.map_err(disk::error(&path)),
        }
    }

    /// A blob of at most `limit` bytes, verified.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(disk::error(&self.blob_path(digest)))?;
        if bytes.len() as u64 > limit {
            return Err(StoreError::Invalid { digest: *digest, source: InvalidDocument::TooLarge { limit } });
        }
        match Digest::of(&bytes) {
            actual if actual == *digest => Ok(bytes),
            actual => Err(StoreError::Damaged { expected: *digest, actual }),
        }
    }

    /// Whether the bytes of a blob that is in the store are those its digest names.
    fn is_sound(&self, blob: &Descriptor) -> Result<bool, StoreError> {
        let hashed = Hashed::new(self.open_blob(&blob.digest)?).finish();
        let (digest, _) = hashed.map_err(disk::error(&self.blob_path(&blob.digest)))?;
        Ok(digest == blob.digest)
    }

    /// Writes the bytes of a layer's blob to `target`: those in the store, or those that packing the layer
    /// gives again. Fails after the last byte if they are not what the digest says.
    pub fn copy_layer(&self, layer: &Layer, target: impl Write) -> Result<(), StoreError> {
        let mut target = HashedWriter::new(target);
        match self.open_blob(&layer.blob.digest) {
            Ok(mut file) => {
                copy(&mut file, &mut target).map_err(StoreError::Target)?;
            }
            Err(StoreError::NoBlob(_)) if layer.blob.digest == layer.diff_id => {
                let tree = self.directory(&layer.diff_id, &layer.diff_id)?;
                let tree = tree.ok_or(StoreError::NoBlob(layer.blob.digest))?;
                pack(&basis::open(&self.trees(tree)?)?, &mut target)?;
            }
            Err(error) => return Err(error),
        }
        match target.finish() {
            (actual, _) if actual != layer.blob.digest => {
                Err(StoreError::Damaged { expected: layer.blob.digest, actual })
            }
            _ => Ok(()),
        }
    }

    /// The directories of these layers, which are named lowest first, topmost first.
    fn directories(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>, StoreError> {
        let own = self.own_directories(diff_ids)?.into_iter().rev();
        let all = own.map(|tree| self.trees(tree)).collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The directories of these layers without those of their bases, lowest first.
    fn own_directories(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>, StoreError> {
        diff_ids
            .iter()
            .zip(stacked_keys(diff_ids))
            .map(|(diff_id, stacked)| self.directory(diff_id, &stacked)?.ok_or(StoreError::NoLayer(*diff_id)))
            .collect()
    }

    /// The directory of one layer, under the key it says all with or the one it has on top of others. One without its
    /// basis is none.
    fn directory(&self, diff_id: &Digest, stacked: &Digest) -> Result<Option<PathBuf>, StoreError> {
        let exists = |tree: &PathBuf| tree.try_exists().map_err(disk::error(tree));
        for key in [diff_id, stacked] {
            let tree = self.layer_path(key).join(TREE);
            if !exists(&tree)? {
                continue;
            }
            let basis = self.basis_of(key)?.map(|basis| self.layer_path(&basis).join(TREE));
            if basis.as_ref().map_or(Ok(true), exists)? {
                return Ok(Some(tree));
            }
        }
        Ok(None)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.partials().join(digest.hex())
    }

    fn layer_path(&self, key: &Digest) -> PathBuf {
        self.layers().join(key.hex())
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    fn compressed(&self) -> PathBuf {
        self.root.join("compressed")
    }

    fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    fn replaced(&self) -> PathBuf {
        self.root.join("replaced")
    }

    fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }
}

/// What is recorded of an unpacked layer, in `layer.json` beside its tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    diff_id: Digest,
    /// The sizes of all files.
    size: u64,
    /// Whether packing the layer gives an archive with this diff id.
    reproducible: bool,
}

impl Record {
    fn beside(tree: &Path) -> Result<Record, StoreError> {
        let path = tree.with_file_name(RECORD);
        let bytes = fs::read(&path).map_err(disk::error(&path))?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::Disk { path, source: error.into() })
    }
}

/// All that has to stay for the topmost of these layers, lowest first, whose blob is `blob`: what [`Live::layers`] names.
pub fn claims_of(blob: &Digest, diff_ids: &[Digest]) -> Vec<Digest> {
    [*blob].into_iter().chain(diff_ids.last().copied()).chain(stacked_keys(diff_ids).last()).collect()
}

/// The keys of layers that depend on those below them.
fn stacked_keys(diff_ids: &[Digest]) -> impl Iterator<Item = Digest> {
    diff_ids.iter().scan(String::new(), |below, diff_id| {
        let key = Digest::of(format!("{below} {diff_id}").as_bytes());
        *below = key.to_string();
        Some(key)
    })
}

const TREE: &str = "tree";
const RECORD: &str = "layer.json";
/// The content of `oci-layout`.
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

#[cfg(test)]
pub(crate) mod tests;
