//! `push`: what of an image a registry does not have, from the store to there.

use std::{
    cmp::Reverse,
    collections::HashMap,
    io::{self, Read, Seek, SeekFrom},
    sync::atomic::{AtomicBool, Ordering},
};

use distribution::{Client, Mounted, Repository, Selector, for_each_at_once};
use image::{
    Lease,
    manifest::{Descriptor, MANIFEST_LIMIT, OCI_MANIFEST},
    store::Layer,
};
use types::{Digest, Platform, Reference};

use super::{Event, Observer, Step, Unwatched};
use crate::{Engine, error::EngineError};

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest that the registry has now.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
}

impl Engine {
    /// Gives a registry the image that `reference` names, under this name.
    ///
    /// An image that came from a registry leaves as the same bytes. Layers that are not compressed, such as those built
    /// here, are compressed once, in a way that gives the same bytes every time. What the registry has already is not
    /// sent: layers of other repositories there are mounted across. Fails if the image is not for `platform`.
    pub fn push(
        &self,
        client: &Client,
        reference: &Reference,
        platform: Option<&Platform>,
        observer: &dyn Observer,
    ) -> Result<Pushed, EngineError> {
        let not_here = || EngineError::NotHere(reference.familiar());
        let row = self.state.image_by_name(reference)?.ok_or_else(not_here)?;
        let lease = self.images.lease()?;
        let image = self.unless_removed(&row.manifest, || Ok(lease.publish(&row.manifest)?))?;
        let image = image.ok_or_else(not_here)?;
        if let Some(platform) = platform.filter(|platform| !image.config.platform().will_do_for(platform)) {
            return Err(EngineError::NoPlatform { name: reference.familiar(), platform: platform.clone() });
        }
        observer.event(Event::Begun);
        for layer in &image.layers {
            observer.event(Event::Layer { layer: &layer.diff_id, step: Step::Waiting });
        }
        let pushed =
            self.send(client, &lease, &image, reference, Some(&Selector::from(reference)), observer)?;
        self.record_digest(reference, &pushed.digest, &row.manifest)?;
        self.note_transfer(&image, "push", reference);
        self.write_index()?;
        Ok(pushed)
    }

    /// Gives a registry images that `lease` holds, recorded or not, and lets `reference` stand there for the only one, or
    /// for `index`, which lists them by the manifests that they have here.
    pub fn push_images(
        &self,
        client: &Client,
        lease: &Lease,
        images: &[image::Image],
        index: Option<&Descriptor>,
        reference: &Reference,
    ) -> Result<Pushed, EngineError> {
        let selector = Selector::from(reference);
        let Some(index) = index else {
            let [image] = images else {
                return Err(EngineError::Invalid("several images need an index".into()));
            };
            let pushed = self.send(client, lease, image, reference, Some(&selector), &Unwatched)?;
            self.record_digest(reference, &pushed.digest, &image.manifest)?;
            return Ok(pushed);
        };
        for image in images {
            self.send(client, lease, image, reference, None, &Unwatched)?;
            self.record_digest(reference, &image.manifest, &image.manifest)?;
        }
        let bytes = lease.store().read_blob(&index.digest, MANIFEST_LIMIT)?;
        let repository = client.repository(reference.registry(), reference.path());
        repository.put_manifest(&selector, &index.media_type, &bytes)?;
        Ok(Pushed { digest: index.digest, size: index.size })
    }

    /// Sends what the registry does not have of an image, and its manifest last, as `selector` says, or by its digest.
    fn send(
        &self,
        client: &Client,
        lease: &Lease,
        image: &image::Image,
        reference: &Reference,
        selector: Option<&Selector>,
        observer: &dyn Observer,
    ) -> Result<Pushed, EngineError> {
        let repository = client.repository(reference.registry(), reference.path());
        let push = Push { lease, repository: &repository, elsewhere: self.known_in(reference)?, observer };
        if let Some(manifest) = push.finished_manifest(image)? {
            let selector = selector.cloned().unwrap_or(Selector::Digest(manifest.digest));
            if repository.find_manifest(&selector)?.is_some_and(|there| there.digest == manifest.digest) {
                for layer in &image.layers {
                    observer.event(Event::Layer { layer: &layer.diff_id, step: Step::There });
                }
                return Ok(manifest.pushed());
            }
        }

        // The largest first: what is left to send when all is compressed should be little.
        let mut layers: Vec<&Layer> = image.layers.iter().collect();
        layers.sort_by_key(|layer| (Reverse(layer.blob.size), layer.diff_id));
        layers.dedup_by_key(|layer| layer.diff_id);
        let sent = for_each_at_once(layers, |layer: &Layer, stop| {
            push.layer(layer, stop).map(|blob| (layer.diff_id, blob))
        })?;
        let sent: HashMap<Digest, Descriptor> = sent.into_iter().collect();
        push.blob(
            &Descriptor::new("", image.id, push.size_of(&image.id)?),
            &|_| {},
            &AtomicBool::new(false),
        )?;

        let layers = image.layers.iter().map(|layer| sent[&layer.diff_id].clone()).collect();
        let manifest = push.manifest(image, layers)?;
        let selector = selector.cloned().unwrap_or(Selector::Digest(manifest.digest));
        repository.put_manifest(&selector, &manifest.media_type, &manifest.bytes)?;
        Ok(manifest.pushed())
    }

    /// All names that are tags of the same repository as `reference`.
    pub fn names_in(&self, reference: &Reference) -> Result<Vec<Reference>, EngineError> {
        let same = |name: &Reference| {
            name.registry() == reference.registry() && name.path() == reference.path() && name.tag().is_some()
        };
        let names: Vec<_> = self.state.tags()?.into_iter().map(|tag| tag.name).filter(same).collect();
        match names.is_empty() {
            true => Err(EngineError::NotHere(reference.familiar_name())),
            false => Ok(names),
        }
    }

    /// In which other repositories of the same registry each blob was seen, pulled from there or pushed to there.
    fn known_in(&self, reference: &Reference) -> Result<HashMap<Digest, Vec<String>>, EngineError> {
        let mut known: HashMap<Digest, Vec<String>> = HashMap::new();
        for seen in self.state.digests()? {
            let Some((registry, path)) = seen.repository.split_once('/') else { continue };
            if registry != reference.registry() || path == reference.path() {
                continue;
            }
            // An index says nothing of layers, the image it was pulled for does.
            let manifest = self.images.manifest(&seen.digest).or_else(|_| self.images.manifest(&seen.image));
            let Ok(manifest) = manifest else { continue };
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                let repositories = known.entry(blob.digest).or_default();
                if !repositories.iter().any(|other| other == path) && repositories.len() < MOUNT_TRIES {
                    repositories.push(path.to_owned());
                }
            }
        }
        Ok(known)
    }
}

/// One push at work.
struct Push<'a> {
    lease: &'a Lease,
    repository: &'a Repository<'a>,
    /// Which repositories of the registry have a blob.
    elsewhere: HashMap<Digest, Vec<String>>,
    observer: &'a dyn Observer,
}

/// A manifest as it is sent.
struct PushedManifest {
    digest: Digest,
    media_type: String,
    bytes: Vec<u8>,
}

impl PushedManifest {
    fn pushed(&self) -> Pushed {
        Pushed { digest: self.digest, size: self.bytes.len() as u64 }
    }
}

impl Push<'_> {
    /// The manifest to send, if it is known without compressing anything.
    fn finished_manifest(&self, image: &image::Image) -> Result<Option<PushedManifest>, EngineError> {
        let blobs = image.layers.iter().map(|layer| self.lease.store().compressed_blob(layer));
        blobs.collect::<Option<Vec<_>>>().map(|blobs| self.manifest(image, blobs)).transpose()
    }

    /// The image's manifest, with these blobs as its layers: as it is, if it names the same already.
    fn manifest(&self, image: &image::Image, layers: Vec<Descriptor>) -> Result<PushedManifest, EngineError> {
        let mut bytes = self.lease.store().read_blob(&image.manifest, MANIFEST_LIMIT)?;
        let mut digest = image.manifest;
        let invalid = |error| image::StoreError::Invalid { digest: image.manifest, source: error };
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| invalid(error.into()))?;
        if !layers.iter().map(|blob| blob.digest).eq(image.layers.iter().map(|layer| layer.blob.digest)) {
            manifest["layers"] = serde_json::to_value(layers).expect("strings and numbers serialise");
            bytes = serde_json::to_vec(&manifest).expect("strings and numbers serialise");
            digest = self.lease.put_blob(&bytes)?;
        }
        let media_type = manifest["mediaType"].as_str().unwrap_or(OCI_MANIFEST).to_owned();
        Ok(PushedManifest { digest, media_type, bytes })
    }

    /// Makes sure that the registry has a layer, compressed; its blob there.
    fn layer(&self, layer: &Layer, stop: &AtomicBool) -> Result<Descriptor, EngineError> {
        let tell = |step| self.observer.event(Event::Layer { layer: &layer.diff_id, step });
        let known = self.lease.store().compressed_blob(layer);
        // There is no need for its bytes if the registry has them.
        if let Some(blob) = &known
            && self.repository.has_blob(&blob.digest)?.is_some()
        {
            tell(Step::There);
            return Ok(blob.clone());
        }
        let blob = self.compress(layer)?;
        let sent = |done| tell(Step::Pushing { done, total: blob.size });
        match self.blob(&blob, &sent, stop)? {
            Sent::Uploaded => tell(Step::Pushed),
            Sent::There => tell(Step::There),
            Sent::Mounted(from) => tell(Step::MountedFrom(from)),
        }
        Ok(blob)
    }

    fn compress(&self, layer: &Layer) -> Result<Descriptor, EngineError> {
        let (layer_id, total) = (&layer.diff_id, layer.blob.size);
        let told = |done| {
            self.observer.event(Event::Layer { layer: layer_id, step: Step::Compressing { done, total } });
        };
        Ok(self.lease.compress(layer, &told)?)
    }

    /// Makes sure that the registry has a blob of the store.
    fn blob(
        &self,
        blob: &Descriptor,
        sent: &(dyn Fn(u64) + Sync),
        stop: &AtomicBool,
    ) -> Result<Sent<'_>, EngineError> {
        let Descriptor { digest, .. } = blob;
        if self.repository.has_blob(digest)?.is_some() {
            return Ok(Sent::There);
        }
        let mut session = None;
        for from in self.elsewhere.get(digest).into_iter().flatten() {
            match self.repository.mount_blob(digest, from)? {
                Mounted::Yes => return Ok(Sent::Mounted(from)),
                Mounted::No(opened) => session = Some(opened),
            }
        }
        let open = |offset| -> io::Result<Box<dyn Read + Send + '_>> {
            let mut file = self.lease.store().open_blob(digest).map_err(io::Error::other)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(Box::new(Leaving { file, stop }))
        };
        match session {
            Some(session) => self.repository.continue_upload(session, blob, &open, sent)?,
            None => self.repository.upload_blob(blob, &open, sent)?,
        }
        Ok(Sent::Uploaded)
    }

    fn size_of(&self, digest: &Digest) -> Result<u64, EngineError> {
        Ok(self.lease.store().open_blob(digest)?.metadata()?.len())
    }
}

/// How the registry came by a blob.
enum Sent<'a> {
    Uploaded,
    There,
    Mounted(&'a str),
}

/// A blob on its way to a registry, which stops when it is told to.
struct Leaving<'a> {
    file: std::fs::File,
    stop: &'a AtomicBool,
}

impl Read for Leaving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("another layer failed")),
            false => self.file.read(buffer),
        }
    }
}

/// How many repositories are asked for a blob before it is uploaded.
const MOUNT_TRIES: usize = 3;
