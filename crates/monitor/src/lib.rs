//! One small process per running container: starts it, keeps its output, records how it ended, cleans up.
//!
//! The same program as everything else, in a role decided before anything else happens. One thread, one event
//! loop, nothing asynchronous: what it keeps in memory is multiplied by the number of containers.
//!
//! Knows the runtime and the container's own end of the network. Knows nothing of images, names, databases or
//! terminals: it is told what to do in an [`Order`] and leaves a record behind.
//!
//! ```text
//!   engine ── Order, lock, foreground output ──▶ monitor ── runtime::create ──▶ container
//!          ◀── Report::Started, its input ──────
//!          ◀── Report::Exited ──────────────────  (after everything is cleaned up)
//! ```
//!
//! The lock on the container's directory is taken by the engine and handed over with the order, so there is no
//! instant at which a container runs and nobody holds it. The kernel releases it when the monitor ends, however
//! that comes about.

mod connection;
mod launch;
pub mod log;
mod order;
mod record;
mod role;
mod status;
mod watch;

pub use launch::{Foreground, Gifts, LaunchError, Running, launch};
pub use order::{Input, Network, OnAbandon, Order, TerminalSize};
pub use record::{Ended, Lock, Started};
pub use role::{ROLE, play};
pub use status::{Status, status};
