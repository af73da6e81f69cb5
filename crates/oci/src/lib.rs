//! Containers for other engines: what an OCI runtime does, as its command line's users expect it.
//!
//! Knows bundles, the state of containers by id below one directory, and the order of hooks. Knows nothing of images,
//! networks, logs, or of the containers of our own engine.
//!
//! ```text
//!   <root>/<id>/
//!     state.json    what the container is; its first process, from the moment there is one
//!     config.json   the specification, as it is carried out
//!     gate          a named pipe that the first process has open until it is started
//!     lock          a lock of whoever is about to make, start or delete the container
//! ```
//!
//! Nothing of ours stays beside a container. Its status is found out whenever somebody asks: whether its process exists,
//! whether its cgroup is frozen, whether it stands at its gate.

mod console;
mod container;
mod create;
mod dbus;
mod error;
mod exec;
mod features;
mod foreign;
mod notify;
mod record;
mod stats;
mod store;
mod systemd;
mod template;

pub use container::{Container, Status};
pub use create::{Foreground, Options, Terminal, create};
pub use error::OciError;
pub use exec::{Guest, exec};
pub use features::features;
pub use foreign::{capabilities, parse_process};
pub use record::Record;
pub use runtime::Started;
pub use stats::{Events, stats};
pub use store::Store;
pub use template::template;

/// The newest version of the runtime specification that is known here.
pub const VERSION: &str = "1.2.1";
