//! `kill`: a signal, now.

use crate::{background, idle, inspect, sandbox};

#[test]
fn kill_ends_a_container_at_once() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "victim"]);
    sandbox.sampan(["kill", "victim"]).ok().prints("victim\n");
    sandbox.sampan(["ps", "-q"]).ok().prints("");
    assert_eq!(inspect(&sandbox, "victim", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    sandbox.is_clean_but_for_containers();
}

#[test]
fn any_signal_can_be_sent_by_name_or_number() {
    let Some(sandbox) = sandbox() else { return };
    let script =
        "trap 'echo one' USR1; trap 'echo two; exit 0' USR2; echo ready; while :; do sleep 1 & wait $!; done";
    let id = background(&sandbox, &[], script);
    sandbox.wait_for_log(&id, "ready");
    sandbox.sampan(["kill", "-s", "USR1", &id]).ok();
    sandbox.wait_for_log(&id, "one");
    sandbox.sampan(["kill", "--signal", "12", &id]).ok();
    sandbox.sampan(["wait", &id]).ok().prints("0\n");
    sandbox.sampan(["kill", "-s", "NOSUCH", &id]).fails(1).complains("NOSUCH");
}

#[test]
fn what_does_not_run_cannot_be_killed() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--name", "over", "busybox", "true"]).ok();
    sandbox
        .sampan(["kill", "over"])
        .fails(1)
        .complains("Error response from daemon: cannot kill container: over: container ");
}
