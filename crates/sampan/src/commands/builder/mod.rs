//! Commands about the cache of builds.

pub mod du;
pub mod prune;
