//! The program on machines of its own: another kernel and cgroup layout, boots, power cuts, disks that are full or
//! fail. `make test-vm` runs these tests, and `cargo test` alone does not.

#![allow(clippy::unwrap_used, reason = "what serves tests may panic as tests do")]

mod boot;
mod disk;
mod power;
mod scope;
mod suite;

use std::{env, path::Path, str::FromStr, sync::LazyLock};

use testkit::{
    base_image,
    vm::{Machine, System},
};

/// What machines boot: the program, and the image busybox. `None` where there can be no machines.
fn system() -> Option<&'static System> {
    static SYSTEM: LazyLock<Option<System>> = LazyLock::new(|| system_with(&[]));
    SYSTEM.as_ref()
}

/// The same with more files of this machine.
fn system_with(files: &[&Path]) -> Option<System> {
    let busybox = base_image(BUSYBOX)?;
    System::new(Path::new(env!("CARGO_BIN_EXE_sampan")), &[&[busybox.as_path()], files].concat())
}

/// Gives a machine's engine its first image.
#[track_caller]
fn load_busybox(machine: &mut Machine) {
    let archive = base_image(BUSYBOX).expect("the system has it");
    let _ = machine.run(&format!("sampan load -q -i {}", archive.display())).ok();
}

/// What the caller's environment says of the test.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

const BUSYBOX: &str = "busybox:latest";

/// Removes everything, and says what is left of it.
const CLEAR: &str = r#"
{
    sampan rm -v $(sampan ps -aq)
    sampan system prune --all --volumes --force
    sampan image prune --all --force
    sampan volume prune --all --force
    sampan builder prune --all --force
    sampan trash empty --force
} >/dev/null
cd /var/lib/sampan
find blobs/sha256 layers partial containers volumes leases trash -mindepth 1 ! -path leases/gate
"#;
