//! `stop`: asking first, killing after the grace.

use std::time::{Duration, Instant};

use crate::{background, inspect, sandbox};

const POLITE: &str = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 1 & wait $!; done";
const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 1 & wait $!; done";

#[test]
fn a_container_that_listens_ends_by_itself() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &[], POLITE);
    sandbox.wait_for_log(&id, "ready");
    sandbox.sampan(["stop", &id]).ok().prints(&format!("{id}\n"));
    assert_eq!(inspect(&sandbox, &id, "{{.State.ExitCode}}"), "3");
    sandbox.sampan(["logs", &id]).ok().says("bye");
}

#[test]
fn one_that_does_not_is_killed_when_its_grace_ends_and_not_before() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &[], DEAF);
    sandbox.wait_for_log(&id, "ready");
    let before = Instant::now();
    sandbox.sampan(["stop", "--timeout", "1", &id]).ok();
    assert!(before.elapsed() >= Duration::from_secs(1), "killed after {:?}", before.elapsed());
    assert_eq!(inspect(&sandbox, &id, "{{.State.ExitCode}}"), "137");
}

#[test]
fn grace_and_signal_may_be_the_containers_own() {
    let Some(sandbox) = sandbox() else { return };
    let script = "trap 'exit 11' INT; trap '' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    let id = background(&sandbox, &["--stop-signal", "SIGINT"], script);
    sandbox.wait_for_log(&id, "ready");
    sandbox.sampan(["stop", &id]).ok();
    assert_eq!(inspect(&sandbox, &id, "{{.State.ExitCode}}"), "11");

    let id = background(&sandbox, &["--stop-timeout", "0"], DEAF);
    sandbox.wait_for_log(&id, "ready");
    let before = Instant::now();
    sandbox.sampan(["stop", &id]).ok();
    assert!(before.elapsed() < Duration::from_secs(10), "took {:?}", before.elapsed());
    assert_eq!(inspect(&sandbox, &id, "{{.State.ExitCode}}"), "137");
}

#[test]
fn what_has_stopped_is_stopped_already() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--name", "over", "busybox", "true"]).ok();
    sandbox.sampan(["stop", "over"]).ok().prints("over\n");
    sandbox
        .sampan(["stop", "nosuch"])
        .fails(1)
        .complains("Error response from daemon: No such container: nosuch");
}
