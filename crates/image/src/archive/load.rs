//! `load`: images from an archive of docker's, old or new, or of an OCI image layout.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Read,
    sync::{Mutex, mpsc},
    thread,
};

use types::{Digest, Platform, Reference};

use super::{
    ArchiveError, DOCKER_MANIFEST_FILE, DockerImage, INDEX_FILE,
    spool::{Spool, Spooled},
};
use crate::{
    compression::Compression,
    config::Configuration,
    manifest::{
        CONFIGURATION_LIMIT, Descriptor, Document, Index, InvalidDocument, MANIFEST_LIMIT, Manifest,
        OCI_INDEX, Resolved, json, owned_json, resolve,
    },
    store::{IMAGE_NAME, Image, Lease, REFERENCE_NAME, Staged, StoreError},
};

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub image: Image,
    /// What the archive calls it; may be nothing.
    pub names: Vec<Reference>,
}

/// Adds all images of an archive, which may be compressed and come through a pipe, to the store. Of one for many
/// platforms it takes what is for `platform`, by default this machine's. The lease must live until they are
/// recorded.
pub fn load(
    lease: &Lease,
    source: impl Read,
    platform: Option<&Platform>,
) -> Result<Vec<Loaded>, ArchiveError> {
    thread::scope(|scope| {
        // Lets the disk begin with the first large files while the last are still read and unpacked. What fails
        // here fails again when everything is synced, and is told then.
        let (large, files) = mpsc::sync_channel::<File>(SYNCED_EARLY);
        let early = move || files.into_iter().for_each(|file| drop(file.sync_data()));
        thread::Builder::new().spawn_scoped(scope, early).map_err(ArchiveError::Read)?;
        let written = move |file: File| {
            if file.metadata().is_ok_and(|metadata| metadata.len() >= LARGE) {
                // If it has enough to do, this one waits until everything is synced.
                let _ = large.try_send(file);
            }
        };
        let spool = Spool::read(source, lease, written)?;
        from_spool(lease, &spool, platform.unwrap_or(&Platform::host()))
    })
}

fn from_spool(lease: &Lease, spool: &Spool, platform: &Platform) -> Result<Vec<Loaded>, ArchiveError> {
    let docker = match spool.has(DOCKER_MANIFEST_FILE) {
        true => {
            let bytes = spool.file(DOCKER_MANIFEST_FILE)?.content(DOCKER_MANIFEST_FILE, MANIFEST_LIMIT)?;
            owned_json(&bytes, MANIFEST_LIMIT).map_err(invalid(DOCKER_MANIFEST_FILE))?
        }
        false => Vec::new(),
    };
    let found = if spool.has(INDEX_FILE) {
        from_layout(spool, &docker, platform)?
    } else if spool.has(DOCKER_MANIFEST_FILE) {
        docker.iter().map(|image| from_docker(spool, image)).collect::<Result<_, _>>()?
    } else {
        return Err(ArchiveError::NotImages);
    };
    if found.is_empty() {
        return Err(ArchiveError::NoImage);
    }
    found.into_iter().map(|found| add(lease, found)).collect()
}

/// An image in the archive, all of whose parts are there.
struct Found<'a> {
    names: Vec<Reference>,
    /// The manifest's bytes, if the archive has one.
    manifest: Option<Vec<u8>>,
    config: Vec<u8>,
    layers: Vec<(Descriptor, Digest, &'a Spooled)>,
}

/// The images that `index.json` names. Docker's manifest, if there is one too, may know more names.
fn from_layout<'a>(
    spool: &'a Spool,
    docker: &[DockerImage],
    platform: &Platform,
) -> Result<Vec<Found<'a>>, ArchiveError> {
    let bytes = spool.file(INDEX_FILE)?.content(INDEX_FILE, MANIFEST_LIMIT)?;
    let Document::Index(index) = Document::parse(&bytes, OCI_INDEX).map_err(invalid(INDEX_FILE))? else {
        return Err(ArchiveError::NotImages);
    };
    let mut found: Vec<Found<'a>> = Vec::new();
    let mut known: HashMap<Digest, usize> = HashMap::new();
    for descriptor in &index.manifests {
        let Some(Resolved { digest, bytes, manifest, .. }) = manifest(spool, descriptor, platform)? else {
            continue;
        };
        let position = match known.get(&digest) {
            Some(position) => *position,
            None => {
                found.push(from_manifest(spool, bytes, manifest, docker)?);
                known.insert(digest, found.len() - 1);
                found.len() - 1
            }
        };
        let names = &mut found[position].names;
        names.extend(name(descriptor).filter(|name| !names.contains(name)));
    }
    Ok(found)
}

/// The manifest that a descriptor stands for: of an image for many platforms, the one for `platform`.
fn manifest(
    spool: &Spool,
    descriptor: &Descriptor,
    platform: &Platform,
) -> Result<Option<Resolved>, ArchiveError> {
    let in_archive = |source| invalid(&descriptor.digest.to_string())(source);
    let fetch = |wanted: &Descriptor| -> Result<Vec<u8>, Unresolved> {
        let file = spool.blob(&wanted.digest).map_err(Unresolved::Archive)?;
        file.content(&wanted.digest.to_string(), MANIFEST_LIMIT).map_err(Unresolved::Archive)
    };
    resolve(descriptor, &|index| chosen(spool, index, platform), &mut { fetch }).map_err(
        |error| match error {
            Unresolved::Archive(error) => error,
            Unresolved::Document(source) => in_archive(source),
        },
    )
}

/// Why no manifest was found.
enum Unresolved {
    Archive(ArchiveError),
    Document(InvalidDocument),
}

impl From<InvalidDocument> for Unresolved {
    fn from(error: InvalidDocument) -> Unresolved {
        Unresolved::Document(error)
    }
}

/// Of an index, the manifest for `platform`, or the only one that the archive has at all.
fn chosen(spool: &Spool, index: &Index, platform: &Platform) -> Option<Descriptor> {
    let chosen = index.for_platform(platform).or_else(|| {
        let images = |d: &&Descriptor| d.platform.as_ref().is_none_or(|p| p.os != "unknown");
        let mut present = index.manifests.iter().filter(images).filter(|d| spool.blob(&d.digest).is_ok());
        present.next().filter(|_| present.next().is_none())
    });
    chosen.cloned()
}

fn from_manifest<'a>(
    spool: &'a Spool,
    bytes: Vec<u8>,
    manifest: Manifest,
    docker: &[DockerImage],
) -> Result<Found<'a>, ArchiveError> {
    let is_present = |layer: &Descriptor| spool.blob(&layer.digest).is_ok();
    let checked = manifest.check_image(is_present).map_err(InvalidDocument::from);
    checked.map_err(invalid(&Digest::of(&bytes).to_string()))?;
    let name = manifest.config.digest.to_string();
    let config = spool.blob(&manifest.config.digest)?.content(&name, CONFIGURATION_LIMIT)?;
    let diff_ids = diff_ids(&config, &name, manifest.layers.len())?;
    let layers = manifest.layers.into_iter().zip(diff_ids).map(|(blob, diff_id)| {
        let file = spool.blob(&blob.digest)?;
        Ok((blob, diff_id, file))
    });
    let same =
        |image: &&DockerImage| spool.file(&image.config).is_ok_and(|f| f.digest == manifest.config.digest);
    Ok(Found {
        names: docker.iter().filter(same).flat_map(tags).collect(),
        layers: layers.collect::<Result<_, ArchiveError>>()?,
        manifest: Some(bytes),
        config,
    })
}

fn from_docker<'a>(spool: &'a Spool, image: &DockerImage) -> Result<Found<'a>, ArchiveError> {
    let config = spool.file(&image.config)?.content(&image.config, CONFIGURATION_LIMIT)?;
    let files = image.layers.as_deref().unwrap_or_default();
    let diff_ids = diff_ids(&config, &image.config, files.len())?;
    let mut layers = Vec::new();
    for (name, diff_id) in files.iter().zip(diff_ids) {
        let file = spool.file(name)?;
        let mut start = Vec::new();
        let opened = File::open(&file.path).map_err(ArchiveError::Read)?;
        opened.take(16).read_to_end(&mut start).map_err(ArchiveError::Read)?;
        let compression = Compression::of(&start);
        layers.push((Descriptor::new(compression.media_type(), file.digest, file.size), diff_id, file));
    }
    Ok(Found { names: tags(image).collect(), manifest: None, config, layers })
}

fn diff_ids(config: &[u8], name: &str, layers: usize) -> Result<Vec<Digest>, ArchiveError> {
    let config: Configuration = json(config, CONFIGURATION_LIMIT).map_err(invalid(name))?;
    match config.rootfs.diff_ids.len() {
        count if count == layers => Ok(config.rootfs.diff_ids),
        diff_ids => Err(invalid(name)(InvalidDocument::LayerCount { layers, diff_ids })),
    }
}

/// Unpacks the layers that the store does not have, several at once, and writes the image.
fn add(lease: &Lease, found: Found<'_>) -> Result<Loaded, ArchiveError> {
    let diff_ids: Vec<Digest> = found.layers.iter().map(|(_, diff_id, _)| *diff_id).collect();
    let mut missing = Vec::new();
    let mut seen = HashSet::new();
    for (position, (blob, diff_id, file)) in found.layers.iter().enumerate() {
        let held = lease.hold(blob, &diff_ids[..=position])?;
        if !held.tree {
            missing.push((blob, *diff_id, *file, seen.insert(blob.digest)));
        } else if !held.blob && seen.insert(blob.digest) {
            lease.add_blob(File::open(&file.path).map_err(ArchiveError::Read)?, blob)?;
        }
    }
    let staged = unpack_all(lease, missing)?;
    lease.place(&diff_ids, staged)?;
    let image = match found.manifest {
        Some(manifest) => {
            lease.put_blob(&found.config)?;
            let digest = lease.put_blob(&manifest)?;
            lease.publish(&digest)?
        }
        None => {
            let layers = found.layers.into_iter().map(|(blob, ..)| blob).collect();
            lease.write_image_with(&found.config, layers)?
        }
    };
    Ok(Loaded { image, names: found.names })
}

/// A layer to unpack, and whether its file may be taken for the store: one layer may occur twice.
type Missing<'a> = (&'a Descriptor, Digest, &'a Spooled, bool);

/// Unpacks layers on all processors.
fn unpack_all(lease: &Lease, missing: Vec<Missing<'_>>) -> Result<Vec<Staged>, StoreError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(missing.len());
    let left = Mutex::new(missing);
    let work = || -> Result<Vec<Staged>, StoreError> {
        let mut staged = Vec::new();
        loop {
            let next = left.lock().expect("no thread panics holding it").pop();
            let Some((blob, diff_id, file, owned)) = next else { return Ok(staged) };
            let unpacked = lease.unpack_file(&file.path, (file.digest, file.size), blob, diff_id, owned);
            if unpacked.is_err() {
                left.lock().expect("no thread panics holding it").clear();
            }
            staged.push(unpacked?);
        }
    };
    if threads < 2 {
        return work();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().expect("unpacking does not panic")?);
        }
        Ok(all)
    })
}

fn tags(image: &DockerImage) -> impl Iterator<Item = Reference> {
    image.repo_tags.iter().flatten().filter_map(|tag| tag.parse().ok())
}

/// The name in a descriptor's annotations. A tag alone names nothing.
fn name(descriptor: &Descriptor) -> Option<Reference> {
    let annotation = |key: &str| descriptor.annotations.get(key)?.as_str().map(str::to_owned);
    let whole = annotation(REFERENCE_NAME).filter(|name| name.contains(['/', ':']));
    annotation(IMAGE_NAME).or(whole)?.parse().ok()
}

fn invalid(name: &str) -> impl FnOnce(InvalidDocument) -> ArchiveError {
    move |source| ArchiveError::Invalid { name: name.to_owned(), source }
}

/// What is worth to be put on the disk early, in bytes, and how many files may wait for it.
const LARGE: u64 = 1 << 20;
const SYNCED_EARLY: usize = 16;
