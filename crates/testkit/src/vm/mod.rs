//! Virtual machines: a distribution's kernel with cgroup v2, in qemu, for what the host does not have or would not
//! survive.
//!
//! ```text
//! System    what is booted: Debian's kernel and files, the program, and what tests want beside it
//!   │
//! Disk      starts with the system's files; keeps what machines write, and can lose power or fail
//!   │       (over NBD)
//! Machine   one boot: qemu, and in it a shell that does what the test says
//! ```
//!
//! qemu translates instructions (TCG), so that neither /dev/kvm nor privileges are needed; a machine is up in some four
//! seconds.

mod disk;
mod initramfs;
mod machine;
mod nbd;
mod system;

pub use disk::Disk;
pub use machine::{Ending, Machine, Manager};
pub use system::System;
use tempfile::TempDir;

/// A directory for what is gone with its owner.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("sampan-vm-").tempdir().expect("a directory in TMPDIR")
}
