//! Runs OCI bundles: a runtime specification in, an isolated process out.
//!
//! Knows namespaces, mounts, cgroups, capabilities, seccomp. Knows nothing of images, container names, the
//! network's layout or what happens to a process's output.

pub mod bundle;
pub mod cgroup;
mod confidential;
mod enter;
mod failure;
mod identity;
mod init;
mod privileges;
mod process;
mod program;
mod reaper;
mod rootfs;
pub mod seccomp;
mod start;
mod view;

pub use confidential::Confidential;
pub use enter::enter;
pub use failure::{Failure, FailureKind};
pub use privileges::{all_capabilities, resource};
pub use program::DEFAULT_PATH;
pub use rootfs::join_layers;
pub use start::{Created, Started, Stdio, create};
pub use view::View;
