//! Compressing a layer, which happens when it first leaves this machine.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    thread::available_parallelism,
};

use types::Digest;

use super::{Layer, Lease, Store, StoreError, disk};
use crate::{
    gzip::gzip,
    hashed::HashedWriter,
    manifest::{Descriptor, OCI_LAYER_GZIP, OCI_LAYER_ZSTD},
};

/// How a layer that was built here leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    Plain,
    #[default]
    Gzip,
    Zstd,
}

impl Store {
    /// What [`Lease::compress`] made of a layer, and will make again; none if it never was compressed here.
    /// The blob itself may have been collected since.
    pub fn compressed_blob(&self, layer: &Layer) -> Option<Descriptor> {
        if !is_plain(layer) {
            return Some(layer.blob.clone());
        }
        // What a crash left half written is worth nothing, and costs nothing but the time to make it again.
        serde_json::from_slice(&fs::read(self.compressed_path(&layer.diff_id)).ok()?).ok()
    }

    pub(super) fn compressed_path(&self, diff_id: &Digest) -> PathBuf {
        self.compressed().join(diff_id.hex())
    }
}

impl Lease {
    /// The blob that a layer leaves this machine as: compressed with gzip, the same bytes each time, or, if it
    /// came compressed, as it came. When this returns the blob is in the store.
    ///
    /// `progress` is told how much of the plain archive has been compressed so far, in bytes.
    pub fn compress(&self, layer: &Layer, progress: &dyn Fn(u64)) -> Result<Descriptor, StoreError> {
        let store = self.store();
        if let Some(blob) = store.compressed_blob(layer) {
            self.claim(&[blob.digest, layer.diff_id])?;
            if store.has_blob(&blob.digest)? {
                return Ok(blob);
            }
            if !is_plain(layer) {
                return Err(StoreError::NoBlob(blob.digest));
            }
        }
        let threads = available_parallelism().map_or(1, usize::from);
        let blob = self.encode(layer, OCI_LAYER_GZIP, |target| {
            gzip(target, threads, |archive| {
                self.store().copy_layer(layer, Watched { target: archive, count: 0, progress })
            })
        })?;
        self.remember(layer, &blob)?;
        Ok(blob)
    }

    /// [`Lease::compress`] with a choice. A layer that came compressed stays as it came.
    pub fn compress_as(
        &self,
        layer: &Layer,
        encoding: Encoding,
        progress: &dyn Fn(u64),
    ) -> Result<Descriptor, StoreError> {
        match encoding {
            Encoding::Plain if is_plain(layer) => Ok(layer.blob.clone()),
            Encoding::Zstd if is_plain(layer) => self.encode(layer, OCI_LAYER_ZSTD, |target| {
                let mut archive = zstd::Encoder::new(target, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                let copied =
                    self.store().copy_layer(layer, Watched { target: &mut archive, count: 0, progress });
                archive.finish()?;
                Ok(copied)
            }),
            Encoding::Gzip | Encoding::Plain | Encoding::Zstd => self.compress(layer, progress),
        }
    }

    /// Adds what `write` makes of a layer as a blob.
    fn encode(
        &self,
        layer: &Layer,
        media_type: &str,
        write: impl FnOnce(&mut HashedWriter<disk::Early>) -> io::Result<Result<(), StoreError>>,
    ) -> Result<Descriptor, StoreError> {
        self.claim(&[layer.diff_id])?;
        let path = self.new_path();
        let mut target = HashedWriter::new(disk::Early::create(&path)?);
        // One layer at a time has all processors: it is synced and sent while the next one is compressed.
        let turn = self.compressing.lock().expect("compressing does not panic");
        let written = write(&mut target);
        drop(turn);
        written.map_err(disk::error(&path))??;
        let (digest, size) = target.finish();
        let blob = Descriptor::new(media_type, digest, size);
        File::open(&path).and_then(|file| file.sync_data()).map_err(disk::error(&path))?;
        self.claim(&[digest])?;
        disk::rename(&path, &self.store().blob_path(&digest))?;
        Ok(blob)
    }

    fn remember(&self, layer: &Layer, blob: &Descriptor) -> Result<(), StoreError> {
        let path = self.new_path();
        let bytes = serde_json::to_vec(blob).expect("strings and numbers serialise");
        fs::write(&path, bytes).map_err(disk::error(&path))?;
        disk::rename(&path, &self.store().compressed_path(&layer.diff_id))
    }
}

/// Whether a layer's blob is its plain archive.
fn is_plain(layer: &Layer) -> bool {
    layer.blob.digest == layer.diff_id
}

/// Tells how much was written.
struct Watched<'a, W> {
    target: W,
    count: u64,
    progress: &'a dyn Fn(u64),
}

impl<W: io::Write> io::Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.target.write(bytes)?;
        self.count += count as u64;
        (self.progress)(self.count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Read};

    use flate2::bufread::MultiGzDecoder;

    use super::*;
    use crate::{
        Live,
        store::tests::{image_of, sandbox},
        tarball::tests::Raw,
    };

    #[test]
    fn a_layer_leaves_as_the_same_bytes_each_time() {
        let Some(sandbox) = sandbox() else { return };
        let store = &sandbox.store;
        let lease = store.lease().unwrap();
        let upper = sandbox.top.path().join("upper");
        fs::create_dir(&upper).unwrap();
        fs::write(upper.join("file"), "built here ".repeat(300_000)).unwrap();
        let built = lease.commit_layer(&upper).unwrap();
        let image = lease.write_image(Default::default(), std::slice::from_ref(&built)).unwrap();
        assert_eq!(store.compressed_blob(&built), None);
        let seen = Cell::new(0);
        let blob = lease.compress(&built, &|count| seen.set(count)).unwrap();
        assert_eq!(seen.get(), built.blob.size);
        assert_eq!(blob.media_type, OCI_LAYER_GZIP);
        let mut plain = Vec::new();
        let bytes = fs::read(store.blob_path(&blob.digest)).unwrap();
        MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(Digest::of(&plain), built.diff_id);

        let again = lease.compress(&built, &|_| panic!("it is there already")).unwrap();
        assert_eq!(again, blob);
        drop(lease);
        let live = || Ok::<_, StoreError>(Live { manifests: vec![image.manifest], ..Live::default() });
        assert_eq!(store.collect(live).unwrap().blobs, [blob.digest]);
        assert_eq!(store.compressed_blob(&built), Some(blob.clone()), "it is known what it would be");
        let lease = store.lease().unwrap();
        assert_eq!(lease.compress(&built, &|_| ()).unwrap(), blob);
        assert!(store.is_sound(&blob).unwrap());
        drop(lease);
        store.collect(|| Ok::<_, StoreError>(Live::default())).unwrap();
        assert_eq!(store.compressed_blob(&built), None, "nothing is remembered of what is gone");
    }

    #[test]
    fn a_layer_leaves_in_the_form_that_is_asked_for() {
        let Some(sandbox) = sandbox() else { return };
        let lease = sandbox.store.lease().unwrap();
        let upper = sandbox.top.path().join("upper");
        fs::create_dir(&upper).unwrap();
        fs::write(upper.join("file"), "built here ".repeat(30_000)).unwrap();
        let built = lease.commit_layer(&upper).unwrap();
        assert_eq!(lease.compress_as(&built, Encoding::Plain, &|_| ()).unwrap(), built.blob);
        let blob = lease.compress_as(&built, Encoding::Zstd, &|_| ()).unwrap();
        assert_eq!(blob.media_type, OCI_LAYER_ZSTD);
        let bytes = fs::read(sandbox.store.blob_path(&blob.digest)).unwrap();
        assert_eq!(Digest::of(&zstd::decode_all(bytes.as_slice()).unwrap()), built.diff_id);
        let gzipped = lease.compress_as(&built, Encoding::Gzip, &|_| ()).unwrap();
        assert_eq!(sandbox.store.compressed_blob(&built), Some(gzipped), "zstd is never what is remembered");
    }

    #[test]
    fn what_came_compressed_leaves_as_it_came_and_a_damaged_layer_not_at_all() {
        let Some(sandbox) = sandbox() else { return };
        let store = &sandbox.store;
        let lease = store.lease().unwrap();
        let image = image_of(&lease, &[Raw::default().file("a", b"x").end()]);
        let gzipped = Descriptor::new(OCI_LAYER_GZIP, Digest::of(b"gzipped"), 7);
        let layer = Layer { blob: gzipped.clone(), ..image.layers[0].clone() };
        assert!(matches!(lease.compress(&layer, &|_| ()), Err(StoreError::NoBlob(_))));
        lease.put_blob(b"gzipped").unwrap();
        assert_eq!(lease.compress(&layer, &|_| ()).unwrap(), gzipped);

        let damaged = &image.layers[0];
        fs::write(store.blob_path(&damaged.diff_id), "something else").unwrap();
        assert!(matches!(lease.compress(damaged, &|_| ()), Err(StoreError::Damaged { .. })));
        assert_eq!(store.compressed_blob(damaged), None);
    }
}
