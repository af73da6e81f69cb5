//! Images made by hand, as registries and archives have them.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use testkit::{Answer, Hostile};
use types::Digest;

use super::tar::Tar;

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its repository.
    pub name: String,
    pub layer: Vec<u8>,
    pub config: Vec<u8>,
    pub manifest: Value,
}

impl Image {
    /// An image whose layer is this archive, which a registry has compressed.
    pub fn new(name: &str, layer: &[u8]) -> Image {
        Image::of_blob(name, gzip(layer), layer)
    }

    /// An image whose layer is this blob, which is said to be `plain` compressed.
    pub fn of_blob(name: &str, blob: Vec<u8>, plain: &[u8]) -> Image {
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": { "Cmd": ["/bin/busybox", "cat", "/name"] },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(plain).to_string()] },
        });
        Image::with_config(name, blob, &config)
    }

    pub fn with_config(name: &str, layer: Vec<u8>, config: &Value) -> Image {
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, &layer)],
        });
        Image { name: name.to_owned(), layer, config, manifest }
    }

    /// An image that nothing is wrong with, and that no other shares anything with.
    pub fn good(name: &str) -> Image {
        Image::new(name, &Tar::default().file("name", name).end())
    }

    /// Lets a registry have it, truthfully.
    pub fn serve(&self, registry: &Hostile) {
        registry.answer(&self.manifest_path(), self.true_manifest());
        registry.answer(&self.config_path(), Answer::new(200).body(self.config.as_slice()));
        registry.answer(&self.layer_path(), Answer::new(200).body(self.layer.as_slice()));
    }

    pub fn true_manifest(&self) -> Answer {
        document(MANIFEST, &self.manifest)
    }

    pub fn manifest_path(&self) -> String {
        self.manifest_path_of("latest")
    }

    /// Where a registry has a manifest or an index of its repository.
    pub fn manifest_path_of(&self, reference: impl std::fmt::Display) -> String {
        format!("/v2/{}/manifests/{reference}", self.name)
    }

    pub fn config_path(&self) -> String {
        format!("/v2/{}/blobs/{}", self.name, Digest::of(&self.config))
    }

    pub fn layer_path(&self) -> String {
        format!("/v2/{}/blobs/{}", self.name, Digest::of(&self.layer))
    }

    /// An archive as `docker save` writes it.
    pub fn archive(&self) -> Vec<u8> {
        let manifest = json!([{
            "Config": "config.json", "Layers": ["layer.tar"], "RepoTags": [format!("{}:latest", self.name)],
        }]);
        let archive = Tar::default().file("layer.tar", &self.layer).file("config.json", &self.config);
        archive.file("manifest.json", manifest.to_string()).end()
    }
}

/// What names `content` in a manifest or an index.
pub fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len() })
}

/// An index of one manifest for a machine of this architecture.
pub fn index(media_type: &str, content: &[u8], architecture: &str) -> Value {
    let mut entry = descriptor(media_type, content);
    entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] })
}

/// A registry's answer with a manifest or an index.
pub fn document(media_type: &str, document: &Value) -> Answer {
    Answer::new(200).header("Content-Type", media_type).body(document.to_string())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// This machine's, as images call it.
pub fn architecture() -> String {
    types::Platform::host().architecture
}

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
