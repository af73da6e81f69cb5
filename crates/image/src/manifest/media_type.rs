//! What manifests call things, in both families' words, and which of them are parts of an image.

/// Whether registries hand out a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    Ordinary,
    /// Its owner wants it to be had from elsewhere only: it can be used if it is here, and not be pulled or pushed.
    Foreign,
}

/// Why a part of a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableType {
    #[error("it is an artifact of type {0:?}, not an image")]
    Artifact(String),
    #[error("it has a layer of type {0:?}, which cannot be unpacked")]
    Layer(String),
    #[error("it has an encrypted layer, of type {0:?}")]
    Encrypted(String),
    #[error("it has a layer that registries do not hand out, of type {0:?}")]
    Foreign(String),
}

/// Whether a layer of this type can be unpacked at all, and then whether registries hand it out. How it is
/// compressed is seen in its first bytes.
pub fn layer_distribution(media_type: &str) -> Result<Distribution, UnusableType> {
    match media_type {
        OCI_LAYER | OCI_LAYER_GZIP | OCI_LAYER_ZSTD | OCI_LAYER_XZ | OCI_LAYER_BZIP2 | DOCKER_LAYER
        | DOCKER_LAYER_GZIP | DOCKER_LAYER_ZSTD => Ok(Distribution::Ordinary),
        _ if FOREIGN.contains(&media_type) => Ok(Distribution::Foreign),
        _ if media_type.ends_with("+encrypted") => Err(UnusableType::Encrypted(media_type.to_owned())),
        _ => Err(UnusableType::Layer(media_type.to_owned())),
    }
}

/// Whether something of this type configures an image.
pub fn is_image_config(media_type: &str) -> bool {
    // The last is what some registries made of it when images were new; docker takes it too.
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG | "application/octet-stream")
}

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// The specification has no names for these two; they follow its pattern.
pub const OCI_LAYER_XZ: &str = "application/vnd.oci.image.layer.v1.tar+xz";
pub const OCI_LAYER_BZIP2: &str = "application/vnd.oci.image.layer.v1.tar+bzip2";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

const FOREIGN: [&str; 5] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_told_apart_by_what_can_be_done_with_them() {
        use Distribution::{Foreign, Ordinary};
        let docker = "application/vnd.docker.image.rootfs";
        let oci = "application/vnd.oci.image.layer";
        for (media_type, expected) in [
            (format!("{docker}.diff.tar.gzip"), Ok(Ordinary)),
            (format!("{docker}.diff.tar"), Ok(Ordinary)),
            (format!("{docker}.foreign.diff.tar.gzip"), Ok(Foreign)),
            (format!("{oci}.v1.tar+zstd"), Ok(Ordinary)),
            (format!("{oci}.nondistributable.v1.tar+gzip"), Ok(Foreign)),
            (format!("{oci}.v1.tar+gzip+encrypted"), Err("encrypted")),
            ("application/vnd.in-toto+json".to_owned(), Err("cannot be unpacked")),
            (String::new(), Err("cannot be unpacked")),
        ] {
            match (layer_distribution(&media_type), expected) {
                (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{media_type}"),
            }
        }
    }
}
