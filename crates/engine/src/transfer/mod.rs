//! Images between registries and here: pulling and pushing.
//!
//! Knows which parts of an image are missing where, and moves those, several at once. How a registry is spoken to is
//! the client's matter; that nothing unverified or half-done is ever seen under a name is the store's.

mod fetch;
mod inspect;
mod pull;
mod push;

use types::Digest;

pub use distribution::Client;

pub use self::{
    fetch::{fetch_layer, fetch_manifest},
    inspect::{Remote, inspect},
    pull::Pulled,
    push::Pushed,
};

/// Watches a transfer. Called by several threads, at any time.
pub trait Observer: Sync {
    fn event(&self, event: Event<'_>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn event(&self, _: Event<'_>) {}
}

/// Something that happened during a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The other side is there and willing, and what follows is about layers.
    Begun,
    /// A layer, by the digest of its blob when it is pulled and by its diff id when it is pushed.
    Layer { layer: &'a Digest, step: Step<'a> },
}

/// Where a layer is on its way. Amounts are bytes of the layer's blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// It is to be moved, and waits for its turn.
    Waiting,
    /// So much of it has come, and is unpacked already.
    Pulling {
        done: u64,
        total: u64,
    },
    Pulled,
    /// It was here already.
    Here,
    /// So much of the archive to compress has been read.
    Compressing {
        done: u64,
        total: u64,
    },
    Pushing {
        done: u64,
        total: u64,
    },
    Pushed,
    /// The registry had it already, in this repository.
    There,
    /// The registry had it already, in this one.
    MountedFrom(&'a str),
}
