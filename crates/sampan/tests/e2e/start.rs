//! `start`, `restart` and `wait`.

use crate::{background, idle, inspect, sandbox};

#[test]
fn a_container_that_ended_starts_again_with_its_files() {
    let Some(sandbox) = sandbox() else { return };
    let id =
        background(&sandbox, &["--name", "again"], "echo run >> /count; cat /count; exit $(wc -l < /count)");
    sandbox.sampan(["wait", "again"]).ok().prints("1\n");
    sandbox.sampan(["start", "again"]).ok().prints("again\n");
    sandbox.sampan(["wait", &id[..6]]).ok().prints("2\n");
    sandbox.sampan(["start", "--attach", "again"]).fails(3).prints("run\nrun\nrun\n");
    sandbox.sampan(["logs", "again"]).ok().prints(&"run\n".repeat(6));
}

#[test]
fn starting_what_runs_changes_nothing() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "busy"]);
    let pid = inspect(&sandbox, "busy", "{{.State.Pid}}");
    sandbox.sampan(["start", "busy"]).ok().prints("busy\n");
    assert_eq!(inspect(&sandbox, "busy", "{{.State.Pid}}"), pid);
}

#[test]
fn starting_what_is_not_there_is_an_error_and_the_rest_is_started() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "there", "busybox", "true"]).ok();
    sandbox
        .sampan(["start", "nosuch", "there"])
        .fails(1)
        .prints("there\n")
        .complains("Error response from daemon: No such container: nosuch");
}

#[test]
fn restart_gives_a_new_process() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "busy", "-p", "8080:80"]);
    let pid = inspect(&sandbox, "busy", "{{.State.Pid}}");
    sandbox.sampan(["restart", "-t", "0", "busy"]).ok().prints("busy\n");
    assert_ne!(inspect(&sandbox, "busy", "{{.State.Pid}}"), pid);
    assert_eq!(inspect(&sandbox, "busy", "{{.State.Running}}"), "true");
}

#[test]
fn wait_returns_when_the_container_ends_and_not_before() {
    let Some(sandbox) = sandbox() else { return };
    let mut container = sandbox.start_sampan([
        "run",
        "-i",
        "--name",
        "slow",
        "busybox",
        "sh",
        "-c",
        "echo up; read x; exit 6",
    ]);
    container.wait_for("up");
    let waiting = sandbox.start_sampan(["wait", "slow"]);
    assert_eq!(inspect(&sandbox, "slow", "{{.State.Running}}"), "true");
    container.write("go\n");
    waiting.finish().ok().prints("6\n");
    container.finish().fails(6);
}
