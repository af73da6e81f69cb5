//! A registry of images: OCI's distribution specification, served from a directory or an object store.
//!
//! ```text
//! http      connections: TLS, limits, an orderly end
//!   server    the protocol: paths, methods, headers, errors
//!     auth      who may do what
//!     contents  repositories, manifests, tags, referrers
//!       storage   documents, blobs and uploads, on disk or elsewhere
//!     upstream  the registry behind a cache
//!   observe   counters, the log, the operator's address
//!   collect   what nobody refers to any more
//! ```
//!
//! Knows the protocol's server side and what manifests refer to. Knows nothing of this machine's images, of layers'
//! contents, or of terminals.

mod auth;
mod collect;
mod contents;
mod digest;
mod http;
mod manifest;
mod name;
mod observe;
mod range;
mod serve;
mod server;
mod storage;
mod upstream;

pub use auth::Issuer;
pub use collect::Untagged;
pub use http::Limits;
pub use serve::{Collection, Identity, Listening, Location, OperatorAddress, Options, ServeError, serve};
pub use server::Writes;
#[cfg(feature = "s3")]
pub use storage::{InvalidLocation, S3Location};
pub use upstream::{Proxied, UpstreamError};
