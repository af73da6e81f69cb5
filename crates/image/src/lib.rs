//! Stores images: blobs, manifests, and the layers unpacked from them.
//!
//! Knows the OCI image format and the disk. Knows nothing of containers, networks, registries' protocol or
//! terminals, and keeps no names: what an image is called, its callers record and hand in where files need it.

pub mod archive;
mod compression;
pub mod config;
mod gzip;
mod hashed;
pub mod layer;
pub mod manifest;
mod pipe;
pub mod store;
pub mod tarball;
pub mod tree;

pub use archive::{ArchiveError, Loaded};
pub use config::Configuration;
pub use store::{
    Basis, Download, Encoding, Fault, Finding, Freed, Held, Image, Layer, Lease, Live, Repair, Share, Staged,
    Store, StoreError, Subject, Usage, Verified,
};
