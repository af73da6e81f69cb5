//! `pull`: what of an image is missing here, from a registry into the store.

use std::{
    io::{self, Read},
    sync::atomic::{AtomicBool, Ordering},
};

use distribution::{Blob, Client, ClientError, Fetched, Repository, Selector, for_each_at_once};
use image::{
    Configuration, Download, Lease, Staged, StoreError,
    manifest::{self, CONFIGURATION_LIMIT, Descriptor, InvalidDocument, Manifest, Resolved, json},
    store::Held,
};
use types::{Digest, Platform, Reference};

use super::{Event, Observer, Step, inspect::configuration};
use crate::{Engine, error::EngineError};

/// What came of a pull.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// What the registry calls it: the digest of its index if it is for several platforms, else of its manifest.
    pub digest: Digest,
    pub image: image::Image,
    /// Whether the name stood for something else before, or for nothing.
    pub newer: bool,
}

impl Engine {
    /// Brings an image here and lets `reference` stand for it. Of one that is for several platforms, the part for
    /// `platform` is taken.
    ///
    /// All layers are downloaded, verified and unpacked at once. What was downloaded when it fails, for whatever reason,
    /// is not downloaded again by the next try.
    pub fn pull(
        &self,
        client: &Client,
        reference: &Reference,
        platform: &Platform,
        observer: &dyn Observer,
    ) -> Result<Pulled, EngineError> {
        let repository = client.repository(reference.registry(), reference.path());
        let named = repository.manifest(&Selector::from(reference))?;
        let digest = named.digest;
        let Resolved { digest: manifest, bytes, manifest: document, indexes } =
            resolve(&repository, named, reference, platform)?;
        document.check_image(|blob| self.images.has_blob(&blob.digest).unwrap_or(false))?;
        observer.event(Event::Begun);

        let lease = self.images.lease()?;
        let known = self.image(&reference.familiar()).ok().filter(|row| row.id == document.config.digest);
        let newer = known.is_none();
        if let Some(row) = known
            && let Ok(image) = lease.publish(&manifest)
        {
            self.record_digest(reference, &digest, &row.manifest)?;
            self.note_transfer(&image, "pull", reference);
            return Ok(Pulled { digest, image, newer });
        }

        // What led to the manifest is kept as well: other tools that read the store come the same way.
        for bytes in indexes.iter().map(|(_, bytes)| bytes).chain([&bytes]) {
            lease.put_blob(bytes)?;
        }
        let diff_ids = fetch_configuration(&lease, &repository, &document)?;
        let (missing, again) = missing(&lease, &document.layers, &diff_ids, observer)?;
        let staged =
            for_each_at_once(missing, |layer, stop| layer.fetch(&lease, &repository, observer, stop))?;
        let mut staged: Vec<Staged> = staged.into_iter().flatten().collect();
        for layer in again.iter().filter(|layer| !layer.held.tree) {
            staged.push(lease.unpack_blob(layer.blob, layer.diff_id)?);
        }
        lease.place(&diff_ids, staged)?;

        let image = lease.publish(&manifest)?;
        let name = reference.digest().is_none().then_some(reference);
        self.record_image(&lease, &image, name.map(std::slice::from_ref).unwrap_or_default())?;
        self.record_digest(reference, &digest, &manifest)?;
        self.note_transfer(&image, "pull", reference);
        Ok(Pulled { digest, image, newer })
    }
}

/// The manifest that `named` is, or of an index the one for `platform`.
pub(super) fn resolve(
    repository: &Repository<'_>,
    named: Fetched,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, EngineError> {
    let start = Descriptor::new(&named.media_type, named.digest, named.bytes.len() as u64);
    let mut fetch = |wanted: &Descriptor| -> Result<Vec<u8>, EngineError> {
        match wanted.digest == named.digest {
            true => Ok(named.bytes.clone()),
            false => Ok(repository.manifest(&Selector::Digest(wanted.digest))?.bytes),
        }
    };
    manifest::resolve(&start, &|index| index.for_platform(platform).cloned(), &mut fetch)?
        .ok_or_else(|| EngineError::NoPlatform { name: reference.familiar(), platform: platform.clone() })
}

/// Makes sure that the image's configuration is here; the layers it names.
fn fetch_configuration(
    lease: &Lease,
    repository: &Repository<'_>,
    manifest: &Manifest,
) -> Result<Vec<Digest>, EngineError> {
    let blob = &manifest.config;
    let bytes = match lease.store().read_blob(&blob.digest, CONFIGURATION_LIMIT) {
        Ok(bytes) => bytes,
        Err(_) => configuration(repository, blob)?,
    };
    lease.put_blob(&bytes)?;
    let invalid = |source| StoreError::Invalid { digest: blob.digest, source };
    let config: Configuration = json(&bytes, CONFIGURATION_LIMIT).map_err(invalid)?;
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(invalid(InvalidDocument::LayerCount { layers, diff_ids }).into());
    }
    Ok(config.rootfs.diff_ids)
}

/// A layer to bring here.
pub(super) struct Missing<'a> {
    pub blob: &'a Descriptor,
    pub diff_id: Digest,
    pub held: Held,
}

/// The layers that the store does not have, each once, and those of them that occur again further up. They are held from
/// now on, and so are those it has.
fn missing<'a>(
    lease: &Lease,
    layers: &'a [Descriptor],
    diff_ids: &[Digest],
    observer: &dyn Observer,
) -> Result<(Vec<Missing<'a>>, Vec<Missing<'a>>), EngineError> {
    let (mut missing, mut again): (Vec<Missing<'_>>, Vec<Missing<'_>>) = Default::default();
    for (position, (blob, diff_id)) in layers.iter().zip(diff_ids).enumerate() {
        let held = lease.hold(blob, &diff_ids[..=position])?;
        let layer = &blob.digest;
        let is_other = |other: &Missing<'_>| (other.diff_id, &other.blob.digest) != (*diff_id, layer);
        if held.blob && held.tree {
            observer.event(Event::Layer { layer, step: Step::Here });
        } else if missing.iter().all(is_other) {
            observer.event(Event::Layer { layer, step: Step::Waiting });
            missing.push(Missing { blob, diff_id: *diff_id, held });
        } else {
            again.push(Missing { blob, diff_id: *diff_id, held });
        }
    }
    Ok((missing, again))
}

impl Missing<'_> {
    /// Downloads the layer, or what is missing of it, and unpacks it if it is not unpacked already.
    pub fn fetch(
        &self,
        lease: &Lease,
        repository: &Repository<'_>,
        observer: &dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Staged>, EngineError> {
        let arrival = Arrival { layer: self, lease, repository, observer, stop };
        let staged = match arrival.bring() {
            // A crash may have spoilt what had come before.
            Err((
                had,
                StoreError::Damaged { .. } | StoreError::DamagedLayer { .. } | StoreError::Unpack { .. },
            )) if had > 0 => arrival.bring(),
            result => result,
        };
        match staged {
            Ok(staged) => {
                arrival.tell(Step::Pulled);
                Ok(staged)
            }
            Err((_, StoreError::Source(error))) => Err(registry_error(error)),
            Err((_, error)) => Err(error.into()),
        }
    }
}

/// A layer on its way here.
struct Arrival<'a> {
    layer: &'a Missing<'a>,
    lease: &'a Lease,
    repository: &'a Repository<'a>,
    observer: &'a dyn Observer,
    /// Set when it is to stop.
    stop: &'a AtomicBool,
}

impl Arrival<'_> {
    /// Brings the layer here. A failure tells how many bytes had been here before.
    fn bring(&self) -> Result<Option<Staged>, (u64, StoreError)> {
        let Missing { blob, diff_id, held } = self.layer;
        let rest = |offset| {
            let source = self.repository.blob(blob, offset).map_err(io::Error::other)?;
            Ok(Counted { source, done: offset, arrival: self })
        };
        let download = self.lease.download(blob).map_err(|error| (0, error))?;
        let had = download.as_ref().map_or(0, Download::length);
        let brought = match download {
            // Another process has brought it meanwhile, or only its tree was missing.
            None if held.tree => Ok(None),
            None => self.lease.unpack_blob(blob, *diff_id).map(Some),
            Some(download) if held.tree => self.lease.finish_download(download, blob, rest).map(|()| None),
            Some(download) => self.lease.unpack_download(download, blob, *diff_id, rest).map(Some),
        };
        brought.map_err(|error| (had, error))
    }

    fn tell(&self, step: Step<'_>) {
        self.observer.event(Event::Layer { layer: &self.layer.blob.digest, step });
    }
}

/// A blob that tells how much of it has come, and stops when it is told to.
struct Counted<'a> {
    source: Blob<'a>,
    done: u64,
    arrival: &'a Arrival<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.arrival.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer failed"));
        }
        let count = self.source.read(buffer)?;
        self.done += count as u64;
        self.arrival.tell(Step::Pulling { done: self.done, total: self.arrival.layer.blob.size });
        Ok(count)
    }
}

/// The client's own error, if that is what is behind an error in reading a blob.
pub(super) fn registry_error(error: io::Error) -> EngineError {
    match error.downcast::<ClientError>() {
        Ok(error) => error.into(),
        Err(error) => error.into(),
    }
}
