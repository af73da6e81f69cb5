//! `--restart`: containers that are started again when they have ended.

use std::{fs, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use testkit::Sandbox;

use crate::{idle, inspect, sandbox};

/// A directory of the host where a container counts its starts, and the option that gives it that.
fn counter(sandbox: &Sandbox) -> (PathBuf, String) {
    let directory = sandbox.directory().join("counter");
    fs::create_dir_all(&directory).unwrap();
    let option = format!("{}:/counter", directory.display());
    (directory.join("starts"), option)
}

fn starts(file: &PathBuf) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// Counts a start, and ends with a code that depends on how many there were.
const SCRIPT: &str = "echo x >> /counter/starts; exit $((5 - $(wc -l < /counter/starts)))";

fn kill_monitor(sandbox: &Sandbox, id: &str) {
    let pid = inspect(sandbox, id, "{{.State.Pid}}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(monitor).unwrap(), Signal::KILL).unwrap();
    let is_gone = || {
        let stat = fs::read_to_string(format!("/proc/{monitor}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
    };
    while !is_gone() {
        std::thread::yield_now();
    }
}

#[test]
fn what_fails_is_started_again_until_it_does_not() {
    let Some(sandbox) = sandbox() else { return };
    let (file, option) = counter(&sandbox);
    let options = ["run", "-d", "--restart", "on-failure", "-v", &option, "busybox", "sh", "-c", SCRIPT];
    let id = sandbox.sampan(options).ok().word().to_owned();
    assert_eq!(sandbox.sampan(["wait", &id]).ok().word(), "0");
    assert_eq!(starts(&file), 5);
    assert_eq!(inspect(&sandbox, &id, "{{.RestartCount}} {{.State.Status}}"), "4 exited");
    let policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(inspect(&sandbox, &id, policy), "on-failure 0");
    sandbox.is_clean_but_for_containers();
}

#[test]
fn it_is_started_again_only_so_often() {
    let Some(sandbox) = sandbox() else { return };
    let (file, option) = counter(&sandbox);
    let options = ["run", "-d", "--restart=on-failure:2", "-v", &option, "busybox", "sh", "-c", SCRIPT];
    let id = sandbox.sampan(options).ok().word().to_owned();
    assert_eq!(sandbox.sampan(["wait", &id]).ok().word(), "2");
    assert_eq!((starts(&file), inspect(&sandbox, &id, "{{.RestartCount}}").as_str()), (3, "2"));
    // Whoever starts it begins to count anew.
    sandbox.sampan(["start", &id]).ok();
    assert_eq!(sandbox.sampan(["wait", &id]).ok().word(), "0");
    assert_eq!(starts(&file), 5);
}

#[test]
fn in_the_foreground_the_first_end_is_the_commands() {
    let Some(sandbox) = sandbox() else { return };
    let (_, option) = counter(&sandbox);
    let options = ["run", "--name", "one", "--restart=always", "-v", &option, "busybox", "sh", "-c", SCRIPT];
    sandbox.sampan(options).fails(4);
    let status = inspect(&sandbox, "one", "{{.State.Running}}");
    assert_eq!(status, "true");
    sandbox.sampan(["rm", "one"]).fails(1).complains("stop the container before removing or force remove");
    sandbox.sampan(["rm", "-f", "one"]).ok();
    sandbox.is_clean();
}

#[test]
fn a_container_that_waits_for_its_next_start_is_shown_so_and_can_be_stopped() {
    let Some(sandbox) = sandbox() else { return };
    let run = ["run", "-d", "--name", "one", "--restart=always", "busybox", "false"];
    let id = sandbox.sampan(run).ok().word().to_owned();
    // By the sixth time it waits for seconds.
    while inspect(&sandbox, "one", "{{.RestartCount}} {{.State.Restarting}}") != "6 true" {
        std::thread::yield_now();
    }
    let template = "{{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.ExitCode}}";
    assert_eq!(inspect(&sandbox, "one", template), "restarting true 0 1");
    sandbox.sampan(["ps", "--format", "{{.Status}}"]).ok().says("Restarting (1) ");
    let restarting = format!("Container {id} is restarting, wait until the container is running");
    sandbox.sampan(["exec", "one", "true"]).fails(1).complains(&restarting);
    sandbox.sampan(["pause", "one"]).fails(1).complains(&restarting);
    sandbox.sampan(["rm", "one"]).fails(1).complains("container is restarting: stop the container");
    sandbox.sampan(["stop", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}} {{.State.ExitCode}}"), "exited 1");
    sandbox.is_clean_but_for_containers();
}

#[test]
fn one_that_ends_again_and_again_can_be_killed_and_removed_at_any_time() {
    let Some(sandbox) = sandbox() else { return };
    for round in 0..5 {
        let run = ["run", "-d", "--name", "one", "--restart=always", "busybox", "sleep", "0.05"];
        sandbox.sampan(run).ok();
        if round % 2 == 0 {
            sandbox.sampan(["kill", "one"]).ok();
            assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "exited");
        }
        sandbox.sampan(["rm", "-f", "one"]).ok();
        sandbox.is_clean();
    }
}

#[test]
fn what_somebody_stops_stays_stopped_until_somebody_starts_it() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "one", "--restart", "unless-stopped", "--stop-timeout", "0"]);
    sandbox.sampan(["stop", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "exited");
    sandbox.sampan(["restart", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "running");
    // Its end that nobody asked for is no stop.
    let before = inspect(&sandbox, "one", "{{.State.Pid}}");
    kill_process(Pid::from_raw(before.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    while inspect(&sandbox, "one", "{{.State.Status}} {{.RestartCount}}") != "running 1" {
        std::thread::yield_now();
    }
    sandbox.sampan(["kill", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}} {{.RestartCount}}"), "exited 1");
}

#[test]
fn a_container_whose_monitor_is_killed_is_started_again_by_the_next_command() {
    let Some(sandbox) = sandbox() else { return };
    let always = idle(&sandbox, &["--restart", "always", "-p", "8080:80"]);
    let never = idle(&sandbox, &[]);
    kill_monitor(&sandbox, &always);
    kill_monitor(&sandbox, &never);
    let listed = sandbox.sampan(["ps", "--format", "{{.ID}} {{.State}} {{.Ports}}", "--all"]).ok();
    let expected = format!("{} exited \n{} running 0.0.0.0:8080->80/tcp", &never[..12], &always[..12]);
    assert!(listed.stdout.starts_with(&expected), "{listed}");
    kill_monitor(&sandbox, &always);
    sandbox.sampan(["exec", &always, "true"]).ok();
    assert_eq!(inspect(&sandbox, &always, "{{.RestartCount}}"), "2");
}

#[test]
fn a_policy_can_be_changed_and_must_make_sense() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "-d", "--name", "one", "--restart=always", "busybox", "false"]).ok();
    sandbox.sampan(["update", "--restart", "no", "one"]).ok().prints("one\n");
    assert_eq!(sandbox.sampan(["wait", "one"]).ok().word(), "1");
    assert_eq!(inspect(&sandbox, "one", "{{.HostConfig.RestartPolicy.Name}}"), "no");
    let run = |options: &[&str], text: &str| {
        sandbox.sampan([&["run"], options, &["busybox", "true"]].concat()).fails(125).complains(text);
    };
    run(&["--rm", "--restart=always"], "conflicting options: cannot specify both --restart and --rm");
    run(&["--restart=never"], "invalid restart policy: unknown policy 'never'; use one of 'no', 'always'");
    idle(&sandbox, &["--rm", "--name", "two"]);
    sandbox
        .sampan(["update", "--restart=always", "two"])
        .fails(1)
        .complains("Restart policy cannot be updated because AutoRemove is enabled for the container");
}
