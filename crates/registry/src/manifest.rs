//! What a registry has to know of a manifest or an index: what it is, and what it refers to.
//!
//! Everything else in it is the business of those who push and pull; the bytes are kept as they came.

use image::manifest::{
    DOCKER_INDEX, DOCKER_MANIFEST, InvalidDocument, MANIFEST_LIMIT, OCI_INDEX, OCI_MANIFEST, json,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::digest::Digest;

/// A manifest or an index, as far as a registry reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub media_type: String,
    /// Blobs that have to be in the repository.
    pub blobs: Vec<Digest>,
    /// Manifests, or whatever else an index lists.
    pub children: Vec<Child>,
    /// Blobs that may be elsewhere: layers under licences, layers with addresses of their own.
    pub foreign: Vec<Digest>,
    /// The manifest this one says something about. It need not exist.
    pub subject: Option<Digest>,
    artifact_type: Option<String>,
    annotations: Map<String, Value>,
}

/// An entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    pub digest: Digest,
    /// By its media type; build caches list layers in indexes.
    pub is_manifest: bool,
}

/// Why something is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    #[error(transparent)]
    Document(#[from] InvalidDocument),
    #[error("no media type")]
    Untyped,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("more than {ENTRIES} entries")]
    TooMany,
}

impl Manifest {
    /// Reads `bytes`, which were sent with the header `Content-Type: <content_type>`.
    pub fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, InvalidManifest> {
        let document: Document = json(bytes, MANIFEST_LIMIT)?;
        if document.schema_version != 2 {
            return Err(InvalidDocument::Schema(document.schema_version).into());
        }
        // Two programs must not read one document as two different things (CVE-2021-41190).
        if document.manifests.is_some() && (document.layers.is_some() || document.config.is_some()) {
            return Err(InvalidDocument::Ambiguous.into());
        }
        let said = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
        let media_type = match (said.filter(|said| !said.is_empty()), &document.media_type) {
            (Some(said), Some(inside)) if said != inside => {
                let (expected, found) = (said.to_owned(), inside.clone());
                return Err(InvalidDocument::OtherType { expected, found }.into());
            }
            (Some(said), _) => said.to_owned(),
            (None, Some(inside)) => inside.clone(),
            (None, None) => return Err(InvalidManifest::Untyped),
        };
        match media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => document.into_image(media_type),
            OCI_INDEX | DOCKER_INDEX => document.into_index(media_type),
            _ => Err(InvalidDocument::UnknownType(media_type).into()),
        }
    }

    /// The descriptor under which the subject's list of referrers shows this manifest.
    pub fn as_referrer(&self, digest: &Digest, size: usize) -> Value {
        let mut descriptor = json!({ "mediaType": self.media_type, "digest": digest, "size": size });
        if let Some(artifact_type) = &self.artifact_type {
            descriptor["artifactType"] = artifact_type.as_str().into();
        }
        if !self.annotations.is_empty() {
            descriptor["annotations"] = self.annotations.clone().into();
        }
        descriptor
    }

    /// Everything it refers to but its subject.
    pub fn references(&self) -> impl Iterator<Item = Digest> {
        let children = self.children.iter().map(|child| child.digest);
        self.blobs.iter().copied().chain(self.foreign.iter().copied()).chain(children)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Document {
    fn into_image(self, media_type: String) -> Result<Manifest, InvalidManifest> {
        let config = self.config.ok_or(InvalidManifest::Missing("config"))?;
        let layers = self.layers.ok_or(InvalidManifest::Missing("layers"))?;
        if layers.len() > ENTRIES {
            return Err(InvalidManifest::TooMany);
        }
        let (foreign, own): (Vec<_>, Vec<_>) = layers.into_iter().partition(Descriptor::is_foreign);
        let mut blobs = vec![config.digest];
        blobs.extend(own.iter().map(|layer| layer.digest));
        Ok(Manifest {
            media_type,
            blobs,
            children: Vec::new(),
            foreign: foreign.iter().map(|layer| layer.digest).collect(),
            subject: self.subject.map(|subject| subject.digest),
            artifact_type: self.artifact_type.filter(|text| !text.is_empty()).or(Some(config.media_type)),
            annotations: self.annotations.unwrap_or_default(),
        })
    }

    fn into_index(self, media_type: String) -> Result<Manifest, InvalidManifest> {
        let entries = self.manifests.ok_or(InvalidManifest::Missing("manifests"))?;
        if entries.len() > ENTRIES {
            return Err(InvalidManifest::TooMany);
        }
        let child = |entry: &Descriptor| {
            let is_manifest = matches!(
                entry.media_type.as_str(),
                OCI_MANIFEST | DOCKER_MANIFEST | OCI_INDEX | DOCKER_INDEX | ""
            );
            Child { digest: entry.digest, is_manifest }
        };
        Ok(Manifest {
            media_type,
            blobs: Vec::new(),
            children: entries.iter().map(child).collect(),
            foreign: Vec::new(),
            subject: self.subject.map(|subject| subject.digest),
            artifact_type: self.artifact_type.filter(|text| !text.is_empty()),
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

impl Descriptor {
    /// Whether clients do not push the blob: OCI's non-distributable layers, docker's foreign ones.
    fn is_foreign(&self) -> bool {
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
            || self.media_type.contains(".nondistributable.")
            || self.media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
    }
}

/// Layers of a manifest and entries of an index.
const ENTRIES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, content_type: Option<&str>, why: &str) {
        let error = Manifest::read(text.as_bytes(), content_type).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }

    fn descriptor(media_type: &str, content: &[u8]) -> String {
        format!(
            r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
            Digest::of(content),
            content.len()
        )
    }

    #[test]
    fn a_manifest_needs_its_configuration_and_layers_but_not_the_foreign_ones() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{},{}]}}"#,
            descriptor("application/x.config", b"c"),
            descriptor("application/vnd.oci.image.layer.v1.tar", b"l"),
            descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", b"n")
        );
        let manifest =
            Manifest::read(text.as_bytes(), Some(&format!("{OCI_MANIFEST}; charset=utf-8"))).unwrap();
        assert_eq!(manifest.blobs, [Digest::of(b"c"), Digest::of(b"l")]);
        assert_eq!(manifest.foreign, [Digest::of(b"n")]);
        let shown = manifest.as_referrer(&Digest::of(b"m"), 1);
        assert_eq!(shown["artifactType"], "application/x.config");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        refused(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, Some(OCI_INDEX), "both");
        let typed = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        refused(&typed, Some(OCI_MANIFEST), "calls itself");
        assert!(Manifest::read(typed.as_bytes(), None).is_ok());
        refused(r#"{"schemaVersion":2,"manifests":[]}"#, None, "no media type");
        refused(r#"{"schemaVersion":1}"#, Some(OCI_MANIFEST), "version");
        refused(r#"{"schemaVersion":2}"#, Some(OCI_MANIFEST), "config");
        refused("[]", Some(OCI_MANIFEST), "JSON");
        refused(r#"{"schemaVersion":2}"#, Some("text/html"), "neither");
    }

    #[test]
    fn an_index_lists_manifests_and_whatever_caches_put_there() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
            descriptor(OCI_MANIFEST, b"m"),
            descriptor("application/vnd.oci.image.layer.v1.tar", b"l")
        );
        let index = Manifest::read(text.as_bytes(), Some(OCI_INDEX)).unwrap();
        assert_eq!(index.children.iter().map(|child| child.is_manifest).collect::<Vec<_>>(), [true, false]);
    }
}
