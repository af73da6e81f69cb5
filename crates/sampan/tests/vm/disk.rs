//! Disks that are full, that can only be read, and that fail.

use testkit::{
    Random,
    vm::{Machine, Manager},
};

use crate::{load_busybox, system};

#[test]
fn a_full_disk_stops_what_needs_room_and_nothing_else() {
    let Some(system) = system() else { return };
    let mut machine = Machine::boot(system, &system.disk(), Manager::Init);
    load_busybox(&mut machine);
    let _ = machine.run(CONTAINERS).ok();
    let _ = machine.run(FILL).ok();

    let full = "No space left on device";
    for command in NEED_ROOM {
        let outcome = machine.run(&format!("sampan {command}"));
        assert!(outcome.code != 0, "{outcome}");
        let _ = outcome.complains(full);
    }
    let hint = "hint: `sampan system df` shows what uses the disk";
    let _ = machine.run("sampan run --rm busybox true").fails(125).complains(full).complains(hint);
    for command in ONLY_READ {
        let _ = machine.run(&format!("sampan {command} >/dev/null")).ok();
    }
    machine.run("sampan exec web echo hello").ok().prints("hello\n");
    machine.run(STATES).ok().prints("made created\npast exited\nweb running\n");
    // What is there can be ended and removed.
    let _ = machine.run("sampan stop -t 0 web && sampan rm web made && sampan volume rm data").ok();
    machine.run(STATES).ok().prints("past exited\n");

    let _ = machine.run("rm /fill.*").ok();
    expect_to_be_sound(&mut machine);
    machine.power_off();
}

#[test]
fn a_disk_that_can_only_be_read_shows_what_is_on_it() {
    let Some(system) = system() else { return };
    let mut machine = Machine::boot(system, &system.disk(), Manager::Init);
    load_busybox(&mut machine);
    let _ = machine.run(CONTAINERS).ok();
    let _ = machine.run("sampan stop -t 0 web && mount -o remount,ro /").ok();

    for command in NEED_ROOM.iter().chain(&["rm made", "volume rm data", "start web"]) {
        let outcome = machine.run(&format!("sampan {command}"));
        assert!(outcome.code != 0, "{outcome}");
        let _ = outcome.complains("Read-only file system");
    }
    let _ = machine.run("sampan run --rm busybox true").fails(125).complains("Read-only file system");
    for command in ONLY_READ {
        let _ = machine.run(&format!("sampan {command} >/dev/null")).ok();
    }
    machine.run(STATES).ok().prints("made created\npast exited\nweb exited\n");

    let _ = machine.run("mount -o remount,rw /").ok();
    machine.run(STATES).ok().prints("made created\npast exited\nweb exited\n");
    expect_to_be_sound(&mut machine);
    machine.power_off();
}

#[test]
fn what_was_there_before_a_disk_failed_is_there_when_it_works_again() {
    let Some(system) = system() else { return };
    let disk = system.disk();
    let mut machine = Machine::boot(system, &disk, Manager::Init);
    load_busybox(&mut machine);
    let _ = machine.run(CONTAINERS).ok();
    disk.fail();
    // Not even a program may be found any more: nothing is acknowledged.
    let outcome = machine.run("sampan volume create other");
    assert!(outcome.code != 0, "{outcome}");
    machine.cut_power();
    disk.power_up(&mut Random::from(1));

    let mut machine = Machine::boot(system, &disk, Manager::Init);
    machine.run(STATES).ok().prints("made created\npast exited\nweb exited\n");
    machine.run("sampan volume ls -q").ok().prints("data\n");
    expect_to_be_sound(&mut machine);
    machine.power_off();
}

/// Expects that everything works, and that removing everything leaves nothing.
#[track_caller]
fn expect_to_be_sound(machine: &mut Machine) {
    let _ = machine.run("sampan image verify").ok();
    machine.run("sampan run --rm busybox echo hello").ok().prints("hello\n");
    machine.run("sampan build -q context | xargs sampan run --rm").ok().prints("built\n");
    machine.run(crate::CLEAR).ok().prints("");
}

/// A container that runs, one that was run, one that was not; a volume; and something to build.
const CONTAINERS: &str = "
set -e
sampan run -d --name web busybox sh -c 'while :; do date; sleep 1; done'
sampan run --name past busybox true
sampan create --name made busybox true
sampan volume create data
mkdir context
printf 'FROM busybox\nRUN echo built >/built\nCMD [\"cat\", \"/built\"]\n' >context/Dockerfile
sync context/Dockerfile
";

/// Leaves no room for a file.
const FILL: &str = "
for size in 1G 64M 1M 64k 4k; do
    while fallocate -l $size /fill.$((number += 1)) 2>/dev/null; do :; done
done
true
";

const STATES: &str = "sampan ps -a --format '{{.Names}} {{.State}}' | sort";

/// Commands that add something.
const NEED_ROOM: &[&str] = &[
    "create busybox true",
    "build context",
    "commit past other",
    "volume create other",
    "network create other",
    "tag busybox other",
];

/// Commands that change nothing.
const ONLY_READ: &[&str] = &[
    "ps -a",
    "images",
    "inspect past",
    "logs web",
    "history busybox",
    "system df",
    "volume ls",
    "network ls",
    "info",
    "cp past:/etc/passwd -",
    "export past",
    "diff past",
];
