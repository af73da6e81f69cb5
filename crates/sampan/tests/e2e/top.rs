//! `top`: a container's processes.

use crate::{background, inspect, sandbox};

#[test]
fn processes_are_shown_as_the_host_sees_them() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &["--name", "one"], "sleep 1000 & echo ready; exec tail -f /dev/null");
    sandbox.wait_for_log(&id, "ready");
    let pid = inspect(&sandbox, &id, "{{.State.Pid}}");
    let shown = sandbox.sampan(["top", "one"]).ok();
    let lines = shown.lines();
    let header = "UID                 PID                 PPID                C                   STIME               \
                  TTY                 TIME                CMD";
    assert_eq!((lines[0], lines.len()), (header, 3), "{shown}");
    let first: Vec<&str> = lines[1].split_ascii_whitespace().collect();
    assert_eq!((first[0], first[1], first[5]), ("root", pid.as_str(), "?"), "{shown}");
    assert!(lines[1].ends_with("tail -f /dev/null") && lines[2].ends_with("sleep 1000"), "{shown}");
    let second: Vec<&str> = lines[2].split_ascii_whitespace().collect();
    assert_eq!(second[2], pid, "{shown}");

    let expected = format!("PID                 COMMAND\n{pid:<20}tail\n");
    let shown = sandbox.sampan(["top", "one", "-o", "pid,comm"]).ok();
    assert!(shown.stdout.starts_with(&expected), "{shown}");
    sandbox.sampan(["container", "top", "one", "aux"]).ok().says("%CPU");
    sandbox.sampan(["pause", "one"]).ok();
    assert_eq!(sandbox.sampan(["top", "one"]).ok().lines().len(), 3);
}

#[test]
fn what_does_not_run_has_no_processes() {
    let Some(sandbox) = sandbox() else { return };
    let id = sandbox.sampan(["create", "--name", "one", "busybox"]).ok().word().to_owned();
    sandbox
        .sampan(["top", "one"])
        .fails(1)
        .complains(&format!("Error response from daemon: container {id} is not running\n"));
    sandbox.sampan(["top", "nosuch"]).fails(1).complains("No such container: nosuch");
    sandbox.sampan(["start", "one"]).ok();
}
