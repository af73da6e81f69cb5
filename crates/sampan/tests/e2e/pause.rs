//! `pause` and `unpause`: containers that stand still, and what can be done with them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use testkit::Sandbox;

use crate::{background, idle, inspect, sandbox};

/// A container that notes each line it is told in a volume of the host; paused.
fn paused(sandbox: &Sandbox, name: &str) -> String {
    let id = idle(sandbox, &["--name", name]);
    sandbox.sampan(["pause", name]).ok().prints(&format!("{name}\n"));
    id
}

#[test]
fn a_paused_container_stands_still_until_it_may_go_on() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().join("ticks");
    fs::create_dir(&directory).unwrap();
    let script = "while :; do echo x >> /ticks/file; usleep 1000; done";
    let id = background(&sandbox, &["-v", &format!("{}:/ticks", directory.display())], script);
    let ticks = || fs::metadata(directory.join("file")).map_or(0, |file| file.len());
    let goes_on = || {
        let before = ticks();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while ticks() == before && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        ticks() > before
    };
    assert!(goes_on());
    sandbox.sampan(["pause", &id]).ok();
    let before = ticks();
    assert_eq!(
        inspect(&sandbox, &id, "{{.State.Status}} {{.State.Paused}} {{.State.Running}}"),
        "paused true true"
    );
    let listed = sandbox.sampan(["ps", "--format", "{{.State}} {{.Status}}"]).ok();
    assert!(listed.word().starts_with("paused Up ") && listed.word().ends_with(" (Paused)"), "{listed}");
    sandbox.sampan(["ps", "-q", "--filter", "status=paused"]).ok().prints(&format!("{}\n", &id[..12]));
    assert_eq!(ticks(), before);
    sandbox.sampan(["unpause", &id]).ok().prints(&format!("{id}\n"));
    assert!(goes_on());
    assert_eq!(inspect(&sandbox, &id, "{{.State.Status}}"), "running");
}

#[test]
fn what_cannot_be_done_while_it_stands_still_is_said_as_docker_says_it() {
    let Some(sandbox) = sandbox() else { return };
    let id = paused(&sandbox, "still");
    let fails = |arguments: &[&str], text: &str| {
        sandbox.sampan(arguments).fails(1).complains(&format!("Error response from daemon: {text}\n"));
    };
    fails(&["pause", "still"], &format!("Container {id} is already paused"));
    fails(&["exec", "still", "true"], "Container still is paused, unpause the container before exec");
    fails(&["start", "still"], "cannot start a paused container, try unpause instead");
    fails(
        &["rm", "still"],
        "cannot remove container \"still\": container is paused and must be unpaused first",
    );
    sandbox.sampan(["commit", "still", "kept"]).ok();
    assert_eq!(inspect(&sandbox, "still", "{{.State.Status}}"), "paused");
    sandbox.sampan(["unpause", "still"]).ok();
    fails(&["unpause", "still"], &format!("Container {id} is not paused"));
    sandbox.sampan(["kill", "still"]).ok();
    fails(&["pause", "still"], &format!("container {id} is not running"));
    fails(&["pause", "nosuch"], "No such container: nosuch");
    sandbox.sampan(["pause"]).fails(1).complains("requires at least 1 argument");
}

#[test]
fn a_paused_container_can_be_stopped_killed_restarted_and_removed() {
    let Some(sandbox) = sandbox() else { return };
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    let id = background(&sandbox, &["--name", "one"], script);
    sandbox.wait_for_log(&id, "ready");
    sandbox.sampan(["pause", "one"]).ok();
    sandbox.sampan(["stop", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}} {{.State.ExitCode}}"), "exited 7");
    sandbox.sampan(["start", "one"]).ok();
    sandbox.sampan(["pause", "one"]).ok();
    sandbox.sampan(["restart", "--timeout", "0", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "running");
    sandbox.sampan(["pause", "one"]).ok();
    sandbox.sampan(["kill", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    sandbox.sampan(["start", "one"]).ok();
    sandbox.sampan(["pause", "one"]).ok();
    sandbox.sampan(["rm", "--force", "one"]).ok();
    sandbox.is_clean();
}

#[test]
fn a_paused_container_whose_monitor_is_killed_is_taken_back() {
    let Some(sandbox) = sandbox() else { return };
    let id = paused(&sandbox, "still");
    let pid: i32 = inspect(&sandbox, &id, "{{.State.Pid}}").parse().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(monitor).unwrap(), Signal::KILL).unwrap();
    assert_eq!(sandbox.sampan(["wait", &id]).ok().word(), "137");
    assert_eq!(inspect(&sandbox, &id, "{{.State.Status}}"), "exited");
    sandbox.is_clean_but_for_containers();
}
