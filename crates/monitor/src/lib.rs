//! One small process per running container: starts it, keeps its output, records how it ended, cleans up.
//!
//! The same program as everything else, in a role decided before anything else happens. One thread, one event
//! loop, nothing asynchronous: what it keeps in memory is multiplied by the number of containers.
//!
//! Knows the runtime and the container's own end of the network. Knows nothing of images, names, databases or
//! terminals: it is told what to do in an [`Order`] and leaves a record behind.
//!
//! ```text
//!   engine ── Order, lock, part in it ──▶ monitor ── runtime::create ──▶ container
//!          ◀── Report::Started ──────────
//!          ◀── Report::Exited ───────────  (after everything is cleaned up)
//! ```
//!
//! The lock on the container's directory is taken by the engine and handed over with the order, so there is no
//! instant at which a container runs and nobody holds it. The kernel releases it when the monitor ends, however
//! that comes about.

mod audience;
mod connection;
mod control;
pub mod health;
pub mod hold;
mod hooks;
pub mod journal;
mod launch;
pub mod log;
mod order;
pub mod pasta;
mod pause;
pub mod policy;
mod record;
mod role;
mod status;
mod volumes;
mod watch;

pub use connection::way_out;
pub use control::Part;
pub use launch::{Gifts, LaunchError, Running, execute, go_down, join, launch, leave_alone, reconnect};
pub use order::{Input, Network, OnAbandon, Order, TerminalSize};
pub use pause::{announce_freeze, thaw};
pub use policy::Restart;
pub use record::{Ended, Lock, Started};
pub use role::{ROLE, play};
pub use status::{Status, cgroup, status, take_back};
pub use volumes::VolumeUse;
