//! The kernel: system calls that rustix lacks, as short safe functions, and the one way to resolve a
//! stranger's paths.
//!
//! The only crate with `unsafe`. Knows Linux and nothing of containers.

pub mod bpf;
pub mod channel;
pub mod loopback;
pub mod mounts;
pub mod process;
pub mod quota;
pub mod root;
pub mod rootless;
pub mod scheduling;
pub mod sealed;
pub mod seccomp;
pub mod signals;
