//! What is left when something is killed, when everything happens at once, and when the disk is full.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use testkit::{Sandbox, base_image};

use crate::{NAME, PROGRAM, SERVER, background, idle, inspect, sandbox};

#[test]
fn run_can_be_killed_at_any_instant() {
    let Some(sandbox) = sandbox() else { return };
    let command = ["run", "--name", "web", "-p", "4000:80", "busybox", "true"];
    let before = Instant::now();
    sandbox.sampan(command).ok();
    let usual = before.elapsed();
    sandbox.sampan(["rm", "web"]).ok();
    for step in 0..24 {
        let delay = usual.mul_f64(f64::from(step) / 20.0);
        let killed = sandbox.start_sampan(command).kill_after(delay);
        // Whatever the next command finds, it is the truth, and it can be removed.
        let listed = sandbox.sampan(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).ok();
        assert!(
            ["", "web created", "web running", "web exited"].contains(&listed.word()),
            "{delay:?}\n{killed}\n{listed}"
        );
        sandbox.sampan(["rm", "-f", "web"]).ok();
        sandbox.is_clean();
        sandbox.sampan(["run", "--rm", "--name", "web", "-p", "4000:80", "busybox", "true"]).ok();
    }
}

#[test]
fn run_rm_can_be_killed_at_any_instant() {
    let Some(sandbox) = sandbox() else { return };
    let command = ["run", "--rm", "--name", "web", "-p", "4000:80", "busybox", "true"];
    let before = Instant::now();
    sandbox.sampan(command).ok();
    let usual = before.elapsed();
    for step in 0..24 {
        let delay = usual.mul_f64(f64::from(step) / 20.0);
        let killed = sandbox.start_sampan(command).kill_after(delay);
        testkit::eventually("the container removes itself, or the next command does it", || {
            match sandbox.sampan(["ps", "-aq"]).ok() {
                listed if listed.word().is_empty() => Ok(()),
                listed => Err(format!("{killed}\n{listed}")),
            }
        });
        sandbox.is_clean();
    }
}

#[test]
fn rm_can_be_killed_at_any_instant() {
    let Some(sandbox) = sandbox() else { return };
    let create = ["run", "--name", "web", "-v", "/data", "busybox", "touch", "/file", "/data/file"];
    let rm = ["rm", "-v", "web"];
    sandbox.sampan(create).ok();
    let before = Instant::now();
    sandbox.sampan(rm).ok();
    let usual = before.elapsed();
    for step in 0..24 {
        sandbox.sampan(create).ok();
        let killed = sandbox.start_sampan(rm).kill_after(usual.mul_f64(f64::from(step) / 20.0));
        // It is there and can be removed, or it is gone.
        if !sandbox.sampan(["ps", "-aq"]).ok().word().is_empty() {
            let outcome = sandbox.sampan(rm);
            assert!(outcome.code == 0, "{killed}\n{outcome}");
        }
        sandbox.is_clean();
        assert_eq!(fs::read_dir(sandbox.root().join("volumes")).unwrap().count(), 0);
    }
}

#[test]
fn a_container_survives_the_command_that_started_it() {
    let Some(sandbox) = sandbox() else { return };
    let mut process =
        sandbox.start_sampan(["run", "--name", "web", "-p", "4000:80", "busybox", "sh", "-c", SERVER]);
    process.wait_for("ready");
    process.kill_after(Duration::ZERO).fails(137);
    assert_eq!(inspect(&sandbox, "web", "{{.State.Status}}"), "running");
    sandbox.ask("127.0.0.1:4000", NAME).unwrap();
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox.is_clean();
}

/// Kills the one monitor of the sandbox.
pub fn kill_the_monitor_of(sandbox: &Sandbox, container: &str) {
    let init: i32 = inspect(sandbox, container, "{{.State.Pid}}").parse().unwrap();
    let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    let command = fs::read_to_string(format!("/proc/{parent}/cmdline")).unwrap();
    assert!(command.starts_with("sampan-monitor"), "{command}");
    let parent = pidfd_open(Pid::from_raw(parent).unwrap(), PidfdFlags::empty()).unwrap();
    pidfd_send_signal(&parent, Signal::KILL).unwrap();
    // A signal is sent before it has come: the next command is to find it gone.
    poll(&mut [PollFd::new(&parent, PollFlags::IN)], None).unwrap();
}

#[test]
fn a_lost_monitor_is_noticed_by_the_next_command() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &["--name", "web", "-p", "4000:80"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    kill_the_monitor_of(&sandbox, "web");
    let listed = sandbox.sampan(["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).ok();
    assert!(listed.stdout.starts_with("web Exited (137) "), "{listed}");
    sandbox.sampan(["ps", "-q"]).ok().prints("");
    sandbox.is_clean_but_for_containers();
    // Its port, its name and its address are free again.
    sandbox.sampan(["run", "--rm", "-p", "4000:80", "busybox", "true"]).ok();
    sandbox.sampan(["start", "web"]).ok();
    let answer = testkit::eventually("the server answers again", || sandbox.ask("127.0.0.1:4000", NAME));
    assert!(answer.ends_with(&format!("{}\n", &id[..12])));
    kill_the_monitor_of(&sandbox, "web");
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox.is_clean();
}

#[test]
fn a_lost_monitor_does_not_hold_its_network() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "blue"]).ok();
    idle(&sandbox, &["--name", "db", "--network", "blue"]);
    kill_the_monitor_of(&sandbox, "db");
    sandbox.sampan(["ps", "-q"]).ok().prints("");
    crate::shell(&sandbox, &["--network", "blue"], "nslookup db").fails(1);
    sandbox.sampan(["network", "rm", "blue"]).ok();
}

#[test]
fn a_monitor_killed_while_its_container_is_waited_for_is_told() {
    let Some(sandbox) = sandbox() else { return };
    let mut process = sandbox.start_sampan([
        "run",
        "--rm",
        "--name",
        "web",
        "busybox",
        "sh",
        "-c",
        "echo up; exec tail -f /dev/null",
    ]);
    process.wait_for("up");
    kill_the_monitor_of(&sandbox, "web");
    process.finish().fails(125).complains("monitor was killed");
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
    sandbox.is_clean();
}

#[test]
fn twenty_containers_at_once_have_twenty_names_and_addresses() {
    let Some(sandbox) = sandbox() else { return };
    let script = "ip -4 -o addr show eth0 | grep -o 'inet [^/]*'; read go";
    let mut running: Vec<_> =
        (0..20).map(|_| sandbox.start_sampan(["run", "-i", "--rm", "busybox", "sh", "-c", script])).collect();
    let addresses: HashSet<String> =
        running.iter_mut().map(|process| process.wait_for("\n").said().trim().to_owned()).collect();
    let names = sandbox.sampan(["ps", "--format", "{{.Names}}"]).ok();
    let names: HashSet<&str> = names.lines().into_iter().collect();
    assert_eq!((addresses.len(), names.len()), (20, 20));
    for mut process in running {
        process.write("go\n");
        process.finish().ok();
    }
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
    sandbox.is_clean();
}

#[test]
fn a_first_command_may_be_twenty() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    let all: Vec<_> = (0..20).map(|_| sandbox.start_sampan(["network", "ls", "-q"])).collect();
    let printed: HashSet<String> = all.into_iter().map(|process| process.finish().ok().stdout).collect();
    assert_eq!(printed.len(), 1, "everybody sees the same default network: {printed:?}");
}

#[test]
fn load_can_be_killed_at_any_instant() {
    let (Some(sandbox), Some(archive)) = (Sandbox::empty(PROGRAM), base_image("busybox:latest")) else {
        return;
    };
    let load = ["load", "-i", archive.to_str().unwrap()];
    let before = Instant::now();
    sandbox.sampan(load).ok();
    let usual = before.elapsed();
    sandbox.sampan(["rmi", "busybox"]).ok();
    let nothing = sandbox.files();
    for step in 0..12 {
        let _ = sandbox.start_sampan(load).kill_after(usual.mul_f64(f64::from(step) / 12.0));
        // There is an image, which works, or there is none.
        if !sandbox.sampan(["images", "-q"]).ok().word().is_empty() {
            sandbox.sampan(["run", "--rm", "busybox", "true"]).ok();
        }
        sandbox.sampan(load).ok();
        sandbox.sampan(["run", "--rm", "busybox", "true"]).ok();
        sandbox.sampan(["rmi", "busybox"]).ok();
    }
    assert_eq!(sandbox.files(), nothing);
}

#[test]
fn a_full_disk_is_told_and_what_was_there_stays_usable() {
    let Some(archive) = base_image("busybox:latest") else { return };
    let Some(sandbox) = Sandbox::on_small_disk(PROGRAM, "size=12m") else { return };
    sandbox.sampan(["load", "-i", archive.to_str().unwrap()]).ok();
    // Once it runs: a container that is faster than its monitor is one that could not be started.
    idle(&sandbox, &["--name", "filler"]);
    sandbox
        .sampan(["exec", "filler", "dd", "if=/dev/zero", "of=/big", "bs=64k"])
        .fails(1)
        .complains("No space left on device");
    sandbox
        .sampan(["run", "--name", "next", "busybox", "true"])
        .fails(125)
        .complains("No space left on device");
    sandbox.sampan(["ps", "-a", "--format", "{{.Names}}"]).ok().prints("filler\n");
    sandbox.sampan(["rm", "-f", "filler"]).ok();
    has_room_again(&sandbox);
    sandbox.is_clean();
}

/// Removed files are gone when nobody has them open any more, which a monitor has for a moment after its container's end.
#[track_caller]
fn has_room_again(sandbox: &Sandbox) {
    let run = ["run", "--rm", "--name", "next", "busybox", "echo", "room again"];
    let outcome = testkit::eventually("there is room again", || match sandbox.sampan(run) {
        outcome if outcome.code == 0 => Ok(outcome),
        outcome => Err(outcome.to_string()),
    });
    outcome.prints("room again\n");
}

#[test]
fn an_image_that_does_not_fit_leaves_nothing() {
    let Some(archive) = base_image("busybox:latest") else { return };
    let Some(sandbox) = Sandbox::on_small_disk(PROGRAM, "size=3m") else { return };
    sandbox.sampan(["images", "-q"]).ok().prints("");
    let before = sandbox.files();
    sandbox.sampan(["load", "-i", archive.to_str().unwrap()]).fails(1).complains("No space left on device");
    sandbox.sampan(["images", "-q"]).ok().prints("");
    assert_eq!(sandbox.files(), before);
}

#[test]
fn a_disk_that_can_have_no_more_files_is_told_and_what_was_there_stays_usable() {
    let Some(archive) = base_image("busybox:latest") else { return };
    let Some(sandbox) = Sandbox::on_small_disk(PROGRAM, "nr_inodes=3000") else { return };
    sandbox.sampan(["load", "-i", archive.to_str().unwrap()]).ok();
    let fill = "i=0; while : >/f$i; do i=$((i+1)); done";
    idle(&sandbox, &["--name", "filler"]);
    sandbox.sampan(["exec", "filler", "sh", "-c", fill]).fails(1).complains("No space left on device");
    sandbox
        .sampan(["run", "--name", "next", "busybox", "true"])
        .fails(125)
        .complains("No space left on device");
    let context = sandbox.directory().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM busybox\nRUN echo >/a\n").unwrap();
    sandbox.sampan(["build", context.to_str().unwrap()]).fails(1).complains("No space left on device");
    sandbox.sampan(["rm", "-f", "--purge", "filler"]).ok();
    sandbox.sampan(["ps", "-a", "--quiet"]).ok().prints("");
    sandbox.sampan(["image", "verify"]).ok();
    has_room_again(&sandbox);
    sandbox.is_clean();
}

#[test]
fn on_a_full_disk_containers_are_listed_ended_and_removed() {
    let Some(archive) = base_image("busybox:latest") else { return };
    let Some(sandbox) = Sandbox::on_small_disk(PROGRAM, "nr_inodes=1000") else { return };
    sandbox.sampan(["load", "-i", archive.to_str().unwrap()]).ok();
    sandbox.sampan(["network", "create", "blue"]).ok();
    idle(&sandbox, &["--name", "killed", "-p", "4000:80"]);
    idle(&sandbox, &["--name", "stopped", "--network", "blue", "--restart", "always", "--stop-timeout", "0"]);
    idle(&sandbox, &["--name", "removed", "--network", "none"]);
    idle(&sandbox, &["--name", "lost", "--network", "none"]);
    let filling = sandbox.root().join("filling");
    fs::create_dir(&filling).unwrap();
    let fill = || {
        let full =
            (0..).map(|n| fs::File::create_new(filling.join(format!("{n}")))).find_map(|made| match made {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
                made => made.err(),
            });
        assert_eq!(full.unwrap().kind(), std::io::ErrorKind::StorageFull);
    };
    let listed = || sandbox.sampan(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).ok().stdout;
    fill();
    assert_eq!(listed(), "lost running\nremoved running\nstopped running\nkilled running\n");
    sandbox.sampan(["kill", "killed"]).ok();
    fill();
    sandbox.sampan(["stop", "stopped"]).ok();
    fill();
    sandbox.sampan(["rm", "-f", "removed"]).ok();
    fill();
    kill_the_monitor_of(&sandbox, "lost");
    assert_eq!(listed(), "lost exited\nstopped exited\nkilled exited\n");
    sandbox.sampan(["run", "--rm", "busybox", "true"]).fails(125).complains("No space left on device");
    sandbox.sampan(["rm", "lost", "stopped", "killed"]).ok();
    fs::remove_dir_all(&filling).unwrap();
    sandbox.sampan(["network", "rm", "blue"]).ok();
    sandbox.is_clean();
}

#[test]
fn running_out_of_descriptors_is_told_and_leaves_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let context = sandbox.directory().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM busybox\nRUN echo >/a\n").unwrap();
    let archive = base_image("busybox:latest").unwrap();
    for (command, code) in [
        ("run --rm busybox true".to_owned(), 125),
        ("run --detach --rm busybox true".to_owned(), 125),
        (format!("load --quiet --input {}", archive.display()), 1),
        (format!("build --quiet --no-cache {}", context.display()), 1),
    ] {
        let mut failed = 0;
        for limit in 3..40 {
            let script = format!("ulimit -n {limit}; exec $SAMPAN {command}");
            let outcome = sandbox.start(sandbox.shell(&script)).finish();
            if outcome.code != 0 {
                // SQLite does not say why.
                let reasons = ["Too many open files", "unable to open database file"];
                let is_told = reasons.iter().any(|reason| outcome.stderr.contains(reason));
                assert!(is_told && outcome.code == code, "{outcome}");
                failed += 1;
            }
        }
        assert!((5..37).contains(&failed), "{command} failed with {failed} limits of 37");
    }
    sandbox.sampan(["image", "verify"]).ok();
    sandbox.sampan(["ps", "--all", "--quiet"]).ok().prints("");
    sandbox.is_clean();
}

#[test]
fn listing_never_fails_while_containers_come_and_go() {
    let Some(sandbox) = sandbox() else { return };
    let run = sandbox.shell("for i in $(seq 30); do $SAMPAN run --rm busybox true || exit; done");
    let create = sandbox.shell("for i in $(seq 30); do $SAMPAN rm $($SAMPAN create busybox) || exit; done");
    let list = || sandbox.shell("for i in $(seq 40); do $SAMPAN ps -a || exit; done");
    let all = [run, create, list(), list()].map(|command| sandbox.start(command));
    for process in all {
        let outcome = process.finish().ok();
        assert_eq!(outcome.stderr, "", "{outcome}");
    }
    sandbox.is_clean();
}

#[test]
fn the_search_for_leaks_finds_what_a_container_has() {
    let Some(sandbox) = sandbox() else { return };
    assert!(sandbox.left_behind().is_empty());
    idle(&sandbox, &["-p", "4000:80"]);
    let found = sandbox.left_behind();
    for kind in ["file", "cgroup", "process", "network interface", "firewall"] {
        assert!(found.iter().any(|trace| trace.starts_with(kind)), "no {kind} in {found:?}");
    }
}
