//! Adding to the store: what a command brings in is safe from collection until the command has recorded who
//! needs it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};
use types::Digest;

use super::{
    Basis, Image, Layer, RECORD, Record, Staged, Store, StoreError, TREE,
    basis::{self, BASIS},
    claims_of, disk, stacked_keys, usage,
};
use crate::{
    config::Configuration,
    hashed::{BUFFER, Copied, Hashed, HashedWriter},
    layer::{self, Form, PackError},
    manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER},
    pipe::{Feed, Flow, pipe},
    tarball::Reader,
    tree::{Attributes, Links, Root},
};

/// A right to add to the store, and a place to prepare what is added.
///
/// Blobs and layers that a lease added or found present stay until it is dropped, whatever is collected.
/// Threads may share it. If its process dies, the next collection clears up.
pub struct Lease {
    store: Store,
    directory: PathBuf,
    claims: File,
    /// Locked as long as the lease lives.
    _lock: OwnedFd,
    serial: AtomicU64,
    /// Held while a layer is compressed.
    pub(super) compressing: Mutex<()>,
}

/// What the store already has of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The blob, or the means to make it again.
    pub blob: bool,
    /// The unpacked layer.
    pub tree: bool,
}

impl Store {
    /// Begins to add something.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        let _gate = self.gate(FlockOperation::LockShared)?;
        let mut random = [0; 16];
        let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        filled.map_err(|e| disk::error(&self.leases())(e.into()))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let directory = self.leases().join(name);
        disk::make_directory(&directory)?;
        // Who only looks for what is in use may have it for a moment.
        let lock = lock(&directory, FlockOperation::LockExclusive).map_err(disk::error(&directory))?;
        let claims = directory.join(CLAIMS);
        let claims =
            OpenOptions::new().append(true).create_new(true).open(&claims).map_err(disk::error(&claims))?;
        let store = self.clone();
        Ok(Lease {
            store,
            directory,
            claims,
            _lock: lock,
            serial: AtomicU64::new(0),
            compressing: Mutex::new(()),
        })
    }

    /// Locks the gate: shared to claim, exclusively to decide what nobody claims. Open it by dropping it, soon.
    pub(super) fn gate(&self, operation: FlockOperation) -> Result<OwnedFd, StoreError> {
        let path = self.leases().join(GATE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = OwnedFd::from(file.map_err(disk::error(&path))?);
        loop {
            match rustix::fs::flock(&file, operation) {
                Err(Errno::INTR) => continue,
                result => return result.map(|()| file).map_err(|e| disk::error(&path)(e.into())),
            }
        }
    }
}

impl Lease {
    /// What the store has of the topmost of these layers, lowest first, whose blob is `blob`. From now on
    /// it stays.
    pub fn hold(&self, blob: &Descriptor, diff_ids: &[Digest]) -> Result<Held, StoreError> {
        let (Some(diff_id), Some(stacked)) = (diff_ids.last(), stacked_keys(diff_ids).last()) else {
            return Ok(Held { blob: false, tree: false });
        };
        self.claim(&claims_of(&blob.digest, diff_ids))?;
        let tree = self.store.directory(diff_id, &stacked)?;
        let reproducible = match &tree {
            Some(tree) if blob.digest == *diff_id => Record::beside(tree)?.reproducible,
            _ => false,
        };
        Ok(Held { blob: reproducible || self.store.has_blob(&blob.digest)?, tree: tree.is_some() })
    }

    /// Adds a small blob, a manifest or a configuration.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.claim(&[digest])?;
        // A damaged one is as good as none.
        if self.store.read_blob(&digest, bytes.len() as u64).is_err() {
            let path = self.new_path();
            disk::write_synced(&path, bytes)?;
            disk::rename(&path, &self.store.blob_path(&digest))?;
        }
        Ok(digest)
    }

    /// Adds a blob from a stream, once it proves to be what `expected` says.
    pub fn add_blob(&self, source: impl Read, expected: &Descriptor) -> Result<(), StoreError> {
        self.claim(&[expected.digest])?;
        let path = self.new_path();
        let file = File::create_new(&path).map_err(disk::error(&path))?;
        let synced = file.try_clone().map_err(disk::error(&path))?;
        let source = Copied { source, copy: Some(file) };
        let (digest, size) =
            Hashed::new(source).limited(expected.size).finish().map_err(StoreError::Source)?;
        expected.check(digest, size)?;
        synced.sync_data().map_err(disk::error(&path))?;
        disk::rename(&path, &self.store.blob_path(&digest))
    }

    /// Puts layers in their places. `diff_ids` names all layers of an image, lowest first; those that are not in the
    /// store must be among `staged`, as often as they occur. When this returns, the layers are on the disk.
    pub fn place(&self, diff_ids: &[Digest], mut staged: Vec<Staged>) -> Result<(), StoreError> {
        let mut below: Vec<PathBuf> = Vec::new(); // topmost first
        let mut places = Vec::new();
        for (diff_id, stacked) in diff_ids.iter().zip(stacked_keys(diff_ids)) {
            let position = staged.iter().position(|layer| layer.diff_id == *diff_id);
            let trees = match (self.store.directory(diff_id, &stacked)?, position) {
                (Some(tree), _) => self.store.trees(tree)?,
                (None, None) => return Err(StoreError::NoLayer(*diff_id)),
                (None, Some(position)) => {
                    let layer = staged.swap_remove(position);
                    let tree = layer.directory.join(TREE);
                    let key = if layer.implied.is_empty() { *diff_id } else { stacked };
                    self.claim(&[key, layer.blob.digest])?;
                    let root = Root::open(&tree, Links::Refused).map_err(disk::error(&tree))?;
                    layer::adopt(&root, &layer.implied, &below).map_err(disk::error(&tree))?;
                    let record = Record { diff_id: *diff_id, size: layer.size, reproducible: false };
                    record.write(&layer.directory.join(RECORD))?;
                    places.push((layer, key));
                    vec![tree]
                }
            };
            below.splice(0..0, trees);
        }
        // Of layers that are there already, the blob may be new.
        let blobs: Vec<Digest> = staged.iter().map(|layer| layer.blob.digest).collect();
        self.claim(&blobs)?;
        disk::sync_all(&self.directory)?;
        for layer in places.iter().map(|(layer, _)| layer).chain(&staged) {
            if let Some(bytes) = &layer.bytes {
                disk::rename(bytes, &self.store.blob_path(&layer.blob.digest))?;
            }
        }
        for (layer, key) in places {
            self.settle(&layer.directory, &key)?;
        }
        Ok(())
    }

    /// Makes `directory`, the upper directory of an overlay or one filled by other means, a layer.
    /// The directory moves into the store: it must be on the same file system, and mounted nowhere.
    pub fn commit_layer(&self, directory: &Path) -> Result<Layer, StoreError> {
        self.commit(directory, None)
    }

    /// Makes a layer of what `basis` has, and what `directory` has otherwise: [`Lease::commit_layer`] for a layer most of
    /// which is in the store already.
    pub fn commit_difference(&self, directory: &Path, basis: &Basis) -> Result<Layer, StoreError> {
        self.commit(directory, Some(basis))
    }

    fn commit(&self, directory: &Path, basis: Option<&Basis>) -> Result<Layer, StoreError> {
        let whole = basis.map(|basis| basis.tree.clone());
        let trees = basis::open(&std::iter::once(directory.to_owned()).chain(whole).collect::<Vec<_>>())?;
        // One thread reads the files, another hashes.
        let pack = |feed: Feed| {
            let mut filler = feed.filler();
            layer::pack(&trees, &mut filler).inspect(|_| filler.finish())
        };
        let hash = |mut flow: Flow| {
            let mut hashed = HashedWriter::new(io::sink());
            loop {
                let part = flow.fill_buf()?;
                if part.is_empty() {
                    return io::Result::Ok(hashed.finish());
                }
                hashed.write_all(part)?;
                let length = part.len();
                flow.consume(length);
            }
        };
        let (packed, hashed) = pipe(pack, hash).map_err(StoreError::Source)?;
        let packed = packed?;
        let (diff_id, archive_size) = hashed.map_err(StoreError::Source)?;
        self.claim(&[diff_id])?;
        let staged = self.new_path();
        disk::make_directory(&staged)?;
        disk::rename(directory, &staged.join(TREE))?;
        if let Some(basis) = basis {
            let link = staged.join(BASIS);
            std::os::unix::fs::symlink(basis::link_to(&basis.key), &link).map_err(disk::error(&link))?;
        }
        let record = Record { diff_id, size: packed.size, reproducible: true };
        record.write(&staged.join(RECORD))?;
        disk::sync_all(&self.directory)?;
        if !self.settle(&staged, &diff_id)? {
            // It was there, from an archive perhaps that did not say it could be made again.
            disk::rename(&staged.join(RECORD), &self.store.layer_path(&diff_id).join(RECORD))?;
        }
        Ok(Layer { diff_id, blob: Descriptor::new(OCI_LAYER, diff_id, archive_size) })
    }

    /// Makes a layer of a copy of `directory`, the upper directory of an overlay that stays in use.
    pub fn copy_layer_of(&self, directory: &Path) -> Result<Layer, StoreError> {
        let tree = [Root::open(directory, Links::Refused).map_err(disk::error(directory))?];
        let copy = self.new_path();
        disk::make_directory(&copy)?;
        let target = Root::open(&copy, Links::Refused).map_err(disk::error(&copy))?;
        let (reader, writer) = io::pipe().map_err(StoreError::Source)?;
        let (packed, unpacked) = std::thread::scope(|scope| {
            let packing = scope.spawn(|| layer::pack(&tree, io::BufWriter::new(writer)));
            let mut archive = Reader::new(io::BufReader::with_capacity(BUFFER, reader));
            let unpacked = layer::unpack(&mut archive, &target, Form::Layer);
            drop(archive);
            (packing.join().expect("nothing in it panics"), unpacked)
        });
        // Without a reader, the writer fails too, and without a writer, the reader.
        match (packed, unpacked) {
            (Err(PackError::Write(_)), unpacked) => drop(unpacked.map_err(StoreError::UnpackUnknown)?),
            (packed, unpacked) => drop((packed?, unpacked.map_err(StoreError::UnpackUnknown)?)),
        }
        let attributes = tree[0].open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY);
        let root =
            attributes.and_then(|root| Attributes::of(root.as_fd())).map_err(disk::error(directory))?;
        let own = target.open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY);
        own.and_then(|own| root.apply(own.as_fd())).map_err(disk::error(&copy))?;
        self.commit_layer(&copy)
    }

    /// Writes an image of layers that are in the store. The configuration's diff ids are set from them.
    pub fn write_image(&self, mut config: Configuration, layers: &[Layer]) -> Result<Image, StoreError> {
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        let bytes = serde_json::to_vec(&config).expect("strings and numbers serialise");
        self.write_image_with(&bytes, layers.iter().map(|layer| layer.blob.clone()).collect())
    }

    /// [`Lease::write_image`] with a configuration whose bytes are given.
    pub(crate) fn write_image_with(
        &self,
        config: &[u8],
        layers: Vec<Descriptor>,
    ) -> Result<Image, StoreError> {
        let id = self.put_blob(config)?;
        let manifest = Manifest::new(Descriptor::new(OCI_CONFIG, id, config.len() as u64), layers);
        let manifest = serde_json::to_vec(&manifest).expect("strings and numbers serialise");
        let manifest = self.put_blob(&manifest)?;
        self.publish(&manifest)
    }

    /// Writes another manifest for the configuration of `image`, whose layers are these blobs, and lets `change` change
    /// it: the same image, as it leaves this machine.
    pub fn write_manifest(
        &self,
        image: &Image,
        blobs: Vec<Descriptor>,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<Image, StoreError> {
        let mut manifest = Manifest::new(self.store.manifest(&image.manifest)?.config, blobs);
        change(&mut manifest);
        let bytes = serde_json::to_vec(&manifest).expect("strings and numbers serialise");
        let layers = image.layers.iter().zip(manifest.layers);
        let layers = layers.map(|(layer, blob)| Layer { blob, ..layer.clone() }).collect();
        Ok(Image { manifest: self.put_blob(&bytes)?, layers, ..image.clone() })
    }

    /// Checks that all an image needs is in the store, and makes sure that it is on the disk.
    /// Only then may a name be given to it.
    pub fn publish(&self, manifest: &Digest) -> Result<Image, StoreError> {
        // Claimed first, and looked at then: what was seen before could be collected meanwhile.
        self.claim(&[*manifest])?;
        self.claim(&[self.store.manifest(manifest)?.config.digest])?;
        let image = self.store.image(manifest)?;
        let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
        for (position, layer) in image.layers.iter().enumerate() {
            let held = self.hold(&layer.blob, &diff_ids[..=position])?;
            if !held.tree {
                return Err(StoreError::NoLayer(layer.diff_id));
            }
            if !held.blob {
                return Err(StoreError::NoBlob(layer.blob.digest));
            }
        }
        disk::sync_directory(&self.store.blobs())?;
        disk::sync_directory(&self.store.layers())?;
        Ok(image)
    }

    /// The store this adds to.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A path in the lease's directory that nothing has.
    pub(crate) fn new_path(&self) -> PathBuf {
        self.directory.join(self.serial.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Keeps these digests and keys from being collected. What is found present afterwards stays.
    pub(super) fn claim(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let _gate = self.store.gate(FlockOperation::LockShared)?;
        let lines: String = digests.iter().map(|digest| format!("{}\n", digest.hex())).collect();
        (&self.claims).write_all(lines.as_bytes()).map_err(disk::error(&self.directory))
    }

    /// Takes a blob out of the store. It goes when the lease does.
    pub(super) fn set_aside(&self, digest: &Digest) -> Result<(), StoreError> {
        disk::rename(&self.store.blob_path(digest), &self.new_path())
    }

    /// What was moved here to be removed, in bytes on the disk.
    pub(super) fn removed_size(&self) -> Result<u64, StoreError> {
        let claims = usage::on_disk(&self.directory.join(CLAIMS))?;
        Ok(usage::within(&self.directory)? - claims)
    }

    /// Moves a complete layer into its place; false if one is there.
    fn settle(&self, staged: &Path, key: &Digest) -> Result<bool, StoreError> {
        let place = self.store.layer_path(key);
        match rustix::fs::renameat_with(CWD, staged, CWD, &place, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            Err(error) => Err(disk::error(&place)(error.into())),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What cannot be removed now, the next collection removes.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Record {
    pub(super) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(self).expect("strings and numbers serialise");
        fs::write(path, bytes).map_err(disk::error(path))
    }
}

/// Opens a lease's directory and locks it; `WouldBlock` if its owner is alive.
pub(super) fn lock(directory: &Path, operation: FlockOperation) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, operation))?;
    Ok(directory)
}

pub(super) const CLAIMS: &str = "claims";
pub(super) const GATE: &str = "gate";
