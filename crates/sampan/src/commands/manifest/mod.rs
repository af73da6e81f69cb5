//! Commands about manifests in registries.

pub mod inspect;
