//! The core of the end-to-end tests, which know nothing of machines, on a kernel with cgroup v2 alone.
//!
//! `SAMPAN_E2E` names others, as arguments of their program do.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use testkit::{
    base_image,
    vm::{Ending, Machine, Manager},
};

use crate::{BUSYBOX, system_with};

#[test]
fn the_core_of_the_end_to_end_tests_passes_on_cgroup_v2() {
    let tests = program();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
    let Some(system) = system_with(&[&tests, &cases]) else { return };
    let mut machine = Machine::boot(&system, &system.disk(), Manager::Init);
    let chosen = env::var("SAMPAN_E2E").unwrap_or_else(|_| CORE.to_owned());
    let images = base_image(BUSYBOX).expect("the system has it");
    let images = images.parent().unwrap().display();
    let command = format!(
        "SAMPAN_IMAGES={images} {} --color never --show-output --test-threads 2 {chosen}",
        tests.display()
    );
    let ending = machine.watch(&command, PATIENCE, |line| eprintln!("  | {line}"));
    assert_eq!(ending, Ending::Exited(0));
    machine.power_off();
}

/// The program of the end-to-end tests, which cargo has put beside this one.
fn program() -> PathBuf {
    let directory = env::current_exe().unwrap().parent().unwrap().to_owned();
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let programs = files.filter(|path| {
        path.extension().is_none() && path.file_name().unwrap().to_string_lossy().starts_with("e2e-")
    });
    let made =
        |path: &PathBuf| path.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    programs.max_by_key(made).expect("`cargo test --test e2e --no-run` makes it")
}

/// Those that the kernel has most say in, or the machine. What other engines' transcripts say (`cases`) is not among them: it
/// was taken down on cgroup v1.
const CORE: &str = "create:: devices:: events:: exec:: faults:: health:: isolation:: kill:: limits:: logs:: mounts:: \
                    network:: pause:: port:: ps:: publish:: restart:: rm:: rootless:: run:: runtime:: start:: stats:: stop:: top:: \
                    update:: volumes:: --skip cases:: --skip running_out_of_descriptors";

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(40 * 60);
