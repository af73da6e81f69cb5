//! Commands about builds and their cache.

pub mod diff;
pub mod du;
pub mod history;
pub mod prune;
pub mod retry;
pub mod shell;
pub mod visit;
