//! Runs OCI bundles: a runtime specification in, an isolated process out.
//!
//! Knows namespaces, mounts, cgroups, capabilities, seccomp. Knows nothing of images, container names, the
//! network's layout or what happens to a process's output.

pub mod bundle;
pub mod cgroup;
mod confidential;
mod enter;
mod failure;
mod held;
pub mod hooks;
mod identity;
mod init;
pub mod labels;
mod privileges;
mod process;
mod program;
mod reaper;
mod rootfs;
mod scheduling;
pub mod seccomp;
mod start;
mod users;
mod view;

pub use confidential::Confidential;
pub use enter::{enter, enter_with};
pub use failure::{Failure, FailureKind};
pub use held::{Gate, Held, Way};
pub use privileges::{all_capabilities, resource};
pub use program::DEFAULT_PATH;
pub use rootfs::{join_layers, maps_owners};
pub use start::{Created, Listen, Started, Stdio, create, create_held};
pub use view::View;
