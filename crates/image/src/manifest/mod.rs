//! Manifests and indexes: the small JSON documents that name an image's blobs.
//!
//! Knows both families of media types, OCI's and docker's. Refuses what two programs could read as two
//! different things.

mod media_type;
mod resolve;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use types::{Digest, Platform};

pub use media_type::*;
pub use resolve::{Resolved, resolve};

/// Names a blob: what it is, its digest and its size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescribedPlatform>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
    /// Whatever else its author said of it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a descriptor in an index says of the machines an image is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DescribedPlatform {
    pub architecture: String,
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    pub media_type: Option<String>,
    /// What it is, if it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

/// Several manifests: of the same image for several platforms, or of the images of a layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

/// A document that its descriptor calls a manifest or an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

/// Why a JSON document is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    #[error("it is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("its JSON is nested deeper than {JSON_DEPTH} levels")]
    TooDeep,
    #[error("it is not the JSON expected")]
    Json(#[from] serde_json::Error),
    #[error("its schema version is {0}, expected 2")]
    Schema(u32),
    #[error("it has the fields of both a manifest and an index")]
    Ambiguous,
    #[error("it calls itself {found:?}, but was called {expected:?}")]
    OtherType { expected: String, found: String },
    #[error("{0:?} is neither a manifest nor an index of images")]
    UnknownType(String),
    #[error("it has more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error(transparent)]
    Unusable(#[from] UnusableType),
    #[error("the manifest has {layers} layers and the configuration {diff_ids}")]
    LayerCount { layers: usize, diff_ids: usize },
}

impl Document {
    /// Reads a document that whoever refers to it calls `media_type`.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Document, InvalidDocument> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe<'a> {
            schema_version: u32,
            media_type: Option<String>,
            #[serde(borrow)]
            config: Option<&'a RawValue>,
            #[serde(borrow)]
            layers: Option<&'a RawValue>,
            #[serde(borrow)]
            manifests: Option<&'a RawValue>,
        }
        let probe: Probe<'_> = json(bytes, MANIFEST_LIMIT)?;
        if probe.schema_version != 2 {
            return Err(InvalidDocument::Schema(probe.schema_version));
        }
        if probe.manifests.is_some() && (probe.config.is_some() || probe.layers.is_some()) {
            return Err(InvalidDocument::Ambiguous);
        }
        if let Some(found) = probe.media_type.filter(|found| found != media_type) {
            return Err(InvalidDocument::OtherType { expected: media_type.to_owned(), found });
        }
        match media_type {
            OCI_MANIFEST | DOCKER_MANIFEST => {
                let manifest: Box<Manifest> = serde_json::from_slice(bytes)?;
                limit("layers", manifest.layers.len(), LAYERS_LIMIT)?;
                Ok(Document::Manifest(manifest))
            }
            OCI_INDEX | DOCKER_INDEX => {
                let index: Index = serde_json::from_slice(bytes)?;
                limit("manifests", index.manifests.len(), INDEX_LIMIT)?;
                Ok(Document::Index(index))
            }
            other => Err(InvalidDocument::UnknownType(other.to_owned())),
        }
    }
}

impl Manifest {
    /// An OCI manifest of these blobs.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        let media_type = Some(OCI_MANIFEST.to_owned());
        let annotations = Map::new();
        Manifest { schema_version: 2, media_type, artifact_type: None, config, layers, annotations }
    }

    /// Checks that this is an image whose layers can all be unpacked. `is_present` tells which blobs are at hand:
    /// only of those may registries refuse to be the source.
    pub fn check_image(&self, is_present: impl Fn(&Descriptor) -> bool) -> Result<(), UnusableType> {
        if !is_image_config(&self.config.media_type) {
            let kind = self.artifact_type.as_ref().unwrap_or(&self.config.media_type);
            return Err(UnusableType::Artifact(kind.clone()));
        }
        for layer in &self.layers {
            let distribution = layer_distribution(&layer.media_type)?;
            if distribution == Distribution::Foreign && !is_present(layer) {
                return Err(UnusableType::Foreign(layer.media_type.clone()));
            }
        }
        Ok(())
    }
}

impl Index {
    /// An OCI index of these manifests.
    pub fn new(manifests: Vec<Descriptor>) -> Index {
        let media_type = Some(OCI_INDEX.to_owned());
        Index { schema_version: 2, media_type, manifests, annotations: Map::new() }
    }

    /// The manifest for `platform`: one for the very variant if there is one, else one that names none
    /// or another. Attestations, which say `unknown/unknown`, are for no machine.
    pub fn for_platform(&self, platform: &Platform) -> Option<&Descriptor> {
        let matches = |d: &&Descriptor| {
            d.platform
                .as_ref()
                .is_some_and(|p| p.os == platform.os && p.architecture == platform.architecture)
        };
        let exact = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.variant == platform.variant);
        let mut candidates = self.manifests.iter().filter(matches);
        candidates.clone().find(exact).or_else(|| candidates.next())
    }
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: Map::new(),
            other: Map::new(),
        }
    }
}

/// Reads a JSON document of at most `limit` bytes from a stranger.
pub fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: u64) -> Result<T, InvalidDocument> {
    if bytes.len() as u64 > limit {
        return Err(InvalidDocument::TooLarge { limit });
    }
    if depth(bytes) > JSON_DEPTH {
        return Err(InvalidDocument::TooDeep);
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// [`json`] for types that keep nothing of `bytes`.
pub fn owned_json<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> Result<T, InvalidDocument> {
    json(bytes, limit)
}

fn limit(what: &'static str, count: usize, limit: usize) -> Result<(), InvalidDocument> {
    if count > limit { Err(InvalidDocument::TooMany { what, limit }) } else { Ok(()) }
}

/// How deep objects and arrays are nested.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => bytes.next(),
                    Some(b'"') | None => break,
                    Some(_) => None,
                };
            },
            _ => {}
        }
    }
    deepest
}

pub const MANIFEST_LIMIT: u64 = 4 << 20;
pub const CONFIGURATION_LIMIT: u64 = 8 << 20;
const LAYERS_LIMIT: usize = 127;
const INDEX_LIMIT: usize = 1000;
const JSON_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Configuration;

    fn refused(text: &str, media_type: &str, why: &str) {
        let error = Document::parse(text.as_bytes(), media_type).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_document_is_only_what_its_referrer_calls_it() {
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(Document::parse(index.as_bytes(), OCI_INDEX), Ok(Document::Index(_))));
        refused(index, OCI_MANIFEST, "JSON");
        refused(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, OCI_INDEX, "both");
        refused(
            &format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","manifests":[]}}"#),
            OCI_INDEX,
            "calls",
        );
        refused(r#"{"schemaVersion":1}"#, OCI_INDEX, "version");
        refused(r#"{"schemaVersion":2}"#, "text/html", "neither");
    }

    #[test]
    fn an_artifact_is_no_image_and_what_cannot_be_had_is_no_layer() {
        let descriptor = |media_type: &str| Descriptor::new(media_type, Digest::of(b""), 0);
        let image = |config: &str, layer: &str| Manifest::new(descriptor(config), vec![descriptor(layer)]);
        let verdict = |manifest: &Manifest, is_present: bool| {
            manifest.check_image(|_| is_present).map_err(|error| error.to_string())
        };
        assert_eq!(verdict(&image(DOCKER_CONFIG, DOCKER_LAYER_GZIP), false), Ok(()));
        let chart = image("application/vnd.cncf.helm.config.v1+json", OCI_LAYER);
        assert!(verdict(&chart, false).unwrap_err().contains("helm.config.v1+json\", not an image"));
        let mut signature = image("application/vnd.oci.empty.v1+json", OCI_LAYER);
        signature.artifact_type = Some("application/signature".to_owned());
        assert!(verdict(&signature, false).unwrap_err().contains("\"application/signature\""));
        let foreign = image(OCI_CONFIG, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        assert!(verdict(&foreign, false).unwrap_err().contains("do not hand out"));
        assert_eq!(verdict(&foreign, true), Ok(()));
    }

    #[test]
    fn documents_have_limits() {
        let many = "{},".repeat(1001);
        refused(
            &format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, many.trim_end_matches(',')),
            OCI_INDEX,
            "JSON",
        );
        let entry = serde_json::to_string(&Descriptor::new(OCI_MANIFEST, Digest::of(b""), 0)).unwrap();
        let many = vec![entry; 1001].join(",");
        refused(&format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#), OCI_INDEX, "more than 1000");
        let deep = format!(r#"{{"schemaVersion":2,"x":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        refused(&deep, OCI_INDEX, "nested");
        assert_eq!(depth(br#"{"a\"[[[":["]"]}"#), 2);
        let large = format!(r#"{{"schemaVersion":2,"x":"{}"}}"#, "x".repeat(MANIFEST_LIMIT as usize));
        refused(&large, OCI_INDEX, "larger");
    }

    #[test]
    fn the_manifest_of_the_nearest_platform_is_taken() {
        let entry = |name: &str| {
            let platform: Platform = name.parse().unwrap();
            let mut descriptor = Descriptor::new(OCI_MANIFEST, Digest::of(name.as_bytes()), 0);
            descriptor.platform = Some(DescribedPlatform {
                architecture: platform.architecture,
                os: platform.os,
                variant: platform.variant,
                other: Map::new(),
            });
            descriptor
        };
        let index =
            Index::new(["unknown/unknown", "linux/arm64", "linux/arm/v6", "linux/arm/v7"].map(entry).into());
        let chosen = |platform: &str| index.for_platform(&platform.parse().unwrap()).map(|d| d.digest);
        assert_eq!(chosen("linux/arm/v7"), Some(Digest::of(b"linux/arm/v7")));
        assert_eq!(chosen("linux/arm64/v8"), Some(Digest::of(b"linux/arm64")));
        assert_eq!(chosen("linux/amd64"), None);
    }

    #[test]
    fn documents_that_nobody_would_write_are_refused_or_stay_what_they_are() {
        // Not the fields that nobody knows: numbers there may be larger than what holds them.
        let blobs = |document: &Document| -> Vec<(Digest, u64)> {
            let all = match document {
                Document::Manifest(manifest) => {
                    [std::slice::from_ref(&manifest.config), &manifest.layers].concat()
                }
                Document::Index(index) => index.manifests.clone(),
            };
            all.iter().map(|blob| (blob.digest, blob.size)).collect()
        };
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/manifest");
        let words = [
            "\"schemaVersion\":2,",
            "\"mediaType\":",
            "\"layers\":[",
            "\"manifests\":[",
            "\"config\":{",
            "\"platform\":{",
            "null",
            "[]",
            "{}",
            "-1",
            "1e999",
            "18446744073709551616",
            "\"\\ud800\"",
            "[[[[[[[[",
            "]",
            "}",
            "\"",
            ",",
            "sha256:",
        ];
        testkit::fuzz(&corpus, &words, |bytes| {
            for media_type in [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX] {
                let Ok(document) = Document::parse(bytes, media_type) else { continue };
                let written = match &document {
                    Document::Manifest(manifest) => {
                        let _ = manifest.check_image(|_| true);
                        serde_json::to_vec(manifest)
                    }
                    Document::Index(index) => {
                        let _ = index.for_platform(&Platform::host());
                        serde_json::to_vec(index)
                    }
                };
                let again = Document::parse(&written.expect("writable"), media_type).expect("readable");
                assert_eq!(blobs(&again), blobs(&document));
            }
            if let Ok(config) = owned_json::<Configuration>(bytes, CONFIGURATION_LIMIT) {
                let written = serde_json::to_vec(&config).expect("writable");
                let again: Configuration = owned_json(&written, CONFIGURATION_LIMIT).expect("readable");
                let (again_runs, runs) = (again.config, config.config);
                assert_eq!(
                    (again_runs.env, again_runs.cmd, again_runs.labels),
                    (runs.env, runs.cmd, runs.labels)
                );
                assert_eq!(again.rootfs, config.rootfs);
            }
        });
    }
}
