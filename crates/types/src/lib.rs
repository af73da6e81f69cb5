//! The words everyone shares: digests, references, ids, ports, signals, sizes, patterns.
//!
//! Pure values, valid once they exist: each is parsed at the edge and printed the way docker's users
//! know it. Knows nothing of files, processes, networks or formats.

mod bytes;
mod digest;
mod id;
mod name;
mod platform;
mod port;
mod reference;
mod signal;
pub mod wildcard;

pub use bytes::{Bytes, InvalidSize};
pub use digest::{Digest, Hasher, InvalidDigest};
pub use id::{ContainerId, Id, InvalidId, NetworkId};
pub use name::{InvalidName, InvalidNetworkName, Name, NetworkName};
pub use platform::Platform;
pub use port::{InvalidPort, Port, Protocol, Publish};
pub use reference::{InvalidReference, Reference};
pub use signal::{InvalidSignal, Signal};
