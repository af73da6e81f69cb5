//! What the store takes on the disk, counted as `du` does: in whole blocks, several names of one file once,
//! and directories too.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use types::Digest;

use super::{Image, Record, Store, StoreError, TREE, collect::names, disk, stacked_keys};
use crate::{
    manifest::Descriptor,
    tree::{Links, Root, walk},
};

/// Bytes on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub blobs: BTreeMap<Digest, u64>,
    /// Unpacked layers by their keys in the store.
    pub layers: BTreeMap<Digest, u64>,
    /// Downloads that are not complete.
    pub partials: u64,
    /// What commands at work have not finished, or dead ones left.
    pub leases: u64,
    /// The directories above all this, the index, and what else is little.
    pub rest: u64,
    /// The blobs that layers were compressed to, by diff ids.
    compressed: HashMap<Digest, Digest>,
    /// Of layers that are kept as a difference, by their keys.
    bases: HashMap<Digest, Digest>,
}

/// What an image takes, in bytes on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// What other images need too.
    pub shared: u64,
    /// What would be free without the image.
    pub unique: u64,
}

impl Store {
    /// What everything in the store takes. What others add or remove meanwhile may be counted or not.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        for digest in digests(&self.blobs())? {
            let bytes = on_disk(&self.blob_path(&digest))?;
            usage.blobs.insert(digest, bytes);
        }
        for key in digests(&self.layers())? {
            let bytes = on_disk(&self.layer_path(&key))?;
            usage.layers.insert(key, bytes);
            usage.bases.extend(self.basis_of(&key)?.map(|basis| (key, basis)));
        }
        for diff_id in digests(&self.compressed())? {
            let path = self.compressed().join(diff_id.hex());
            usage.rest += on_disk(&path)?;
            if let Ok(blob) = serde_json::from_slice::<Descriptor>(&fs::read(path).unwrap_or_default()) {
                usage.compressed.insert(diff_id, blob.digest);
            }
        }
        usage.partials = within(&self.partials())?;
        usage.leases = within(&self.leases())?;
        usage.rest += on_disk(&self.replaced())?;
        let small = [
            "index.json",
            "oci-layout",
            "blobs",
            "blobs/sha256",
            "layers",
            "compressed",
            "partial",
            "leases",
        ];
        for name in small {
            usage.rest += alone(&self.root.join(name))?;
        }
        Ok(usage)
    }

    /// The bytes in the blob and in all files of the layer that go by `digest`; 0 for what is not here. What
    /// [`Store::space`] measures is about as much, at a much higher price.
    pub fn content_size(&self, digest: &Digest) -> Result<u64, StoreError> {
        let path = self.blob_path(digest);
        let blob = fs::metadata(&path).map(|metadata| metadata.len());
        let blob = missing_is(blob, 0).map_err(disk::error(&path))?;
        if self.basis_of(digest)?.is_some() {
            // What is recorded is the size of the whole.
            return Ok(blob + on_disk(&self.layer_path(digest))?);
        }
        match Record::beside(&self.layer_path(digest).join(TREE)) {
            Err(StoreError::Disk { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(blob),
            record => Ok(blob + record?.size),
        }
    }

    /// What the blob, the layer and the record of its compression take that go by `digest`; 0 for what is not here.
    pub fn space(&self, digest: &Digest) -> Result<u64, StoreError> {
        let places = [self.blob_path(digest), self.layer_path(digest), self.compressed().join(digest.hex())];
        places.iter().map(|path| on_disk(path)).sum()
    }
}

impl Usage {
    /// Everything.
    pub fn total(&self) -> u64 {
        let (blobs, layers): (u64, u64) = (self.blobs.values().sum(), self.layers.values().sum());
        blobs + layers + self.partials + self.leases + self.rest
    }

    /// What each of these images takes, if there are no others, and what goes by the digests `kept` stays in any case.
    pub fn shares(&self, images: &[Image], kept: &HashSet<Digest>) -> Vec<Share> {
        let kept = self.with_bases(kept);
        let parts: Vec<HashMap<Part, u64>> = images.iter().map(|image| self.parts(image)).collect();
        let mut users: HashMap<&Part, usize> = HashMap::new();
        for part in parts.iter().flat_map(HashMap::keys) {
            *users.entry(part).or_default() += 1;
        }
        let share = |parts: &HashMap<Part, u64>| {
            parts.iter().fold(Share::default(), |mut share, (part, bytes)| {
                let is_shared = users[part] > 1 || kept.contains(part.digest());
                let sum = if is_shared { &mut share.shared } else { &mut share.unique };
                *sum += bytes;
                share
            })
        };
        parts.iter().map(share).collect()
    }

    /// What the layers and blobs take that none of these images needs, and that do not go by the digests `kept`.
    pub fn unneeded(&self, images: &[Image], kept: &HashSet<Digest>) -> u64 {
        let kept = self.with_bases(kept);
        let needed: HashMap<Part, u64> = images.iter().flat_map(|image| self.parts(image)).collect();
        let blobs = self.blobs.iter().map(|(digest, bytes)| (Part::Blob(*digest), bytes));
        let all = blobs.chain(self.layers.iter().map(|(key, bytes)| (Part::Layer(*key), bytes)));
        all.filter(|(part, _)| !needed.contains_key(part) && !kept.contains(part.digest()))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    fn with_bases(&self, keys: &HashSet<Digest>) -> HashSet<Digest> {
        let bases = self.bases.iter().filter(|(key, _)| keys.contains(key)).map(|(_, basis)| basis);
        keys.iter().chain(bases).copied().collect()
    }

    fn parts(&self, image: &Image) -> HashMap<Part, u64> {
        let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
        let blobs = [image.manifest, image.id].into_iter();
        let blobs = blobs.chain(image.layers.iter().map(|layer| layer.blob.digest));
        let blobs = blobs.chain(diff_ids.iter().filter_map(|diff_id| self.compressed.get(diff_id).copied()));
        let blobs = blobs.filter_map(|digest| Some((Part::Blob(digest), *self.blobs.get(&digest)?)));
        let keys = diff_ids.iter().zip(stacked_keys(&diff_ids)).filter_map(|(diff_id, stacked)| {
            let key = [*diff_id, stacked].into_iter().find(|key| self.layers.contains_key(key))?;
            Some(std::iter::once(key).chain(self.bases.get(&key).copied()))
        });
        let layers = keys.flatten().filter_map(|key| Some((Part::Layer(key), *self.layers.get(&key)?)));
        blobs.chain(layers).collect()
    }
}

/// What an image consists of.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Part {
    Blob(Digest),
    Layer(Digest),
}

impl Part {
    fn digest(&self) -> &Digest {
        let (Part::Blob(digest) | Part::Layer(digest)) = self;
        digest
    }
}

fn digests(directory: &Path) -> Result<impl Iterator<Item = Digest>, StoreError> {
    Ok(names(directory)?.into_iter().filter_map(|name| Digest::from_hex(&name).ok()))
}

/// What everything in a directory takes, without the directory itself. A lease's may just have been removed by its owner.
pub(super) fn within(directory: &Path) -> Result<u64, StoreError> {
    let names = match names(directory) {
        Err(StoreError::Disk { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(0),
        names => names?,
    };
    names.iter().map(|name| on_disk(&directory.join(name))).sum()
}

/// What a file takes, or a directory with all that is in it.
pub(super) fn on_disk(path: &Path) -> Result<u64, StoreError> {
    let mut sum = alone(path)?;
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        let mut several_names = HashSet::new();
        let walked = Root::open(path, Links::Refused).and_then(|tree| {
            walk(&tree, Path::new(""), &mut |found| -> io::Result<bool> {
                let stat = found.stat;
                let is_directory = found.file_type().is_dir();
                if is_directory || stat.st_nlink < 2 || several_names.insert(stat.st_ino) {
                    sum += stat.st_blocks as u64 * BLOCK;
                }
                Ok(is_directory)
            })
        });
        missing_is(walked, ()).map_err(disk::error(path))?;
    }
    Ok(sum)
}

/// What a file or a directory takes by itself.
fn alone(path: &Path) -> Result<u64, StoreError> {
    let blocks = fs::symlink_metadata(path).map(|metadata| metadata.blocks());
    Ok(missing_is(blocks, 0).map_err(disk::error(path))? * BLOCK)
}

/// Puts `value` for what is not there, or not any more.
fn missing_is<T>(result: io::Result<T>, value: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(value),
        result => result,
    }
}

/// The unit of `st_blocks`. See stat(3type).
const BLOCK: u64 = 512;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{
        store::tests::{image_of, sandbox},
        tarball::tests::Raw,
    };

    /// What du says, without the directory itself.
    fn du(directory: &Path) -> u64 {
        let run = |arguments: &[&str]| {
            let output = Command::new("du").args(arguments).arg(directory).output().unwrap().stdout;
            String::from_utf8(output).unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        run(&["-s", "-B1"]) - alone(directory).unwrap()
    }

    #[test]
    fn the_sum_is_what_du_says() {
        let Some(sandbox) = sandbox() else { return };
        let lease = sandbox.store.lease().unwrap();
        let layer = Raw::default()
            .file("large", &[1; 100_000])
            .hard_link("again", "large")
            .directory("d/")
            .symlink("d/link", &"x".repeat(100))
            .end();
        let image = image_of(&lease, &[layer]);
        lease.compress(&image.layers[0], &|_| ()).unwrap();
        sandbox.store.write_index([("a:1".parse().unwrap(), image.manifest)]).unwrap();
        fs::write(sandbox.store.partial_path(&image.id), [1; 9000]).unwrap();
        let usage = sandbox.store.usage().unwrap();
        assert_eq!(usage.total(), du(&sandbox.store.root));
        assert!(usage.layers[&image.layers[0].diff_id] > 100_000);
        assert!(usage.layers[&image.layers[0].diff_id] < 200_000, "one file under two names");
        assert_eq!(usage.partials, 12288);
        assert_eq!(within(&sandbox.store.root.join("gone")).unwrap(), 0);
    }

    #[test]
    fn images_take_what_no_other_needs_and_share_the_rest() {
        let Some(sandbox) = sandbox() else { return };
        let lease = sandbox.store.lease().unwrap();
        let base = Raw::default().directory("d/").file("d/base", &[1; 50_000]).end();
        let own = Raw::default().directory("d/").file("d/own", &[2; 9_000]).end();
        let images = [image_of(&lease, std::slice::from_ref(&base)), image_of(&lease, &[base, own])];
        let usage = sandbox.store.usage().unwrap();
        let nothing = HashSet::new();
        let shares = usage.shares(&images, &nothing);
        assert_eq!(shares[0].shared, shares[1].shared);
        let base = images[0].layers[0].diff_id;
        assert_eq!(shares[0].shared, usage.layers[&base] + usage.blobs[&base]);
        assert!(shares[1].unique > 9_000 && shares[1].unique < 50_000);
        assert_eq!(usage.unneeded(&images, &nothing), 0);
        assert_eq!(usage.unneeded(&images[..1], &nothing), shares[1].unique);
        let kept = HashSet::from([images[1].layers[1].diff_id]);
        assert_eq!(usage.shares(&images, &kept)[1].unique, usage.unneeded(&images[..1], &kept));
        assert!(usage.unneeded(&images[..1], &kept) < 9_000, "what is kept is not the image's alone");
        let alone = usage.shares(&images[..1], &nothing)[0];
        assert_eq!(alone.shared, 0, "nobody to share with");
        let before = sandbox.store.usage().unwrap().total();
        drop(lease);
        let live = crate::Live { manifests: vec![images[0].manifest], ..Default::default() };
        let freed = sandbox.store.collect(|| Ok::<_, StoreError>(live)).unwrap();
        assert_eq!(freed.bytes, shares[1].unique, "removing says what it frees");
        assert!(before - sandbox.store.usage().unwrap().total() >= freed.bytes);
    }
}
