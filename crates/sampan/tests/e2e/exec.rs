//! `exec`: one more process in a container that runs.

use crate::{idle, sandbox};

#[test]
fn it_runs_beside_the_containers_own_process() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(&sandbox, &["--name", "host", "-e", "A=container", "-w", "/tmp"]);
    sandbox
        .sampan(["exec", "host", "sh", "-c", "echo $A; pwd; hostname; echo err >&2; exit 4"])
        .fails(4)
        .prints(&format!("container\n/tmp\n{}\n", &id[..12]))
        .complains("err\n");
    sandbox.sampan(["exec", &id[..12], "cat", "/proc/1/cmdline"]).ok().says("tail");
    for namespace in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let script =
            format!("[ $(readlink /proc/1/ns/{namespace}) = $(readlink /proc/self/ns/{namespace}) ]");
        sandbox.sampan(["exec", "host", "sh", "-c", &script]).ok();
    }
    sandbox.sampan(["exec", "host", "cmp", "/proc/1/cgroup", "/proc/self/cgroup"]).ok();
}

#[test]
fn environment_user_and_directory_can_be_chosen() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host", "-u", "nobody", "-e", "A=container"]);
    sandbox.sampan(["exec", "host", "id", "-un"]).ok().prints("nobody\n");
    sandbox
        .sampan([
            "exec",
            "-e",
            "A=exec",
            "-u",
            "1234:5",
            "-w",
            "/etc",
            "host",
            "sh",
            "-c",
            "echo $A $(id -u):$(id -g) $(pwd)",
        ])
        .ok()
        .prints("exec 1234:5 /etc\n");
}

#[test]
fn input_is_piped_in_and_its_end_is_seen() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host"]);
    let mut process = sandbox.start_sampan(["exec", "-i", "host", "cat"]);
    process.write("one\n").wait_for("one\n").close_input();
    process.finish().ok().prints("one\n");
    sandbox.sampan(["exec", "host", "cat"]).ok().prints("");
}

#[test]
fn a_shell_on_a_terminal_is_what_everybody_wants() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host"]);
    let mut terminal = sandbox.on_terminal(["exec", "-it", "host", "sh"]);
    terminal.wait_for("# ").write("tty; stty size\r").wait_for("/dev/pts/").wait_for("24 80");
    terminal.write("exit 5\r");
    terminal.finish().fails(5);
    sandbox.sampan(["exec", "-it", "host", "sh"]).fails(1).complains("the input device is not a TTY");
}

#[test]
fn what_cannot_be_executed_has_its_exit_code() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host"]);
    sandbox
        .sampan(["exec", "host", "nosuch"])
        .fails(127)
        .says("exec: \"nosuch\": executable file not found in $PATH");
    sandbox.sampan(["exec", "host", "/etc/passwd"]).fails(126).says("permission denied");
    sandbox.sampan(["exec", "host", "sh", "-c", "kill -9 $$"]).fails(137);
}

#[test]
fn only_a_running_container_takes_part() {
    let Some(sandbox) = sandbox() else { return };
    let id = sandbox.sampan(["create", "--name", "host", "busybox", "true"]).ok().word().to_owned();
    for _ in 0..2 {
        sandbox
            .sampan(["exec", "host", "true"])
            .fails(1)
            .complains(&format!("container {id} is not running"));
        sandbox.sampan(["start", "-a", "host"]).ok();
    }
    sandbox.sampan(["exec", "nosuch", "true"]).fails(1).complains("No such container: nosuch");
}

#[test]
fn detached_it_goes_on_by_itself() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host"]);
    sandbox.sampan(["exec", "-d", "host", "sh", "-c", "echo done > /sign"]).ok().prints("");
    testkit::eventually("the process in the background", || {
        let outcome = sandbox.sampan(["exec", "host", "cat", "/sign"]);
        if outcome.stdout == "done\n" { Ok(()) } else { Err(outcome) }
    });
}

#[test]
fn it_is_confined_as_the_container_is() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host", "--cap-drop", "CHOWN"]);
    let script = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/$1/status";
    let of = |pid: &str| sandbox.sampan(["exec", "host", "sh", "-c", script, "sh", pid]).ok().stdout;
    assert_eq!(of("1"), of("self"));
    sandbox.sampan(["exec", "host", "chown", "1", "/tmp"]).fails(1);
    sandbox
        .sampan(["exec", "host", "sh", "-c", "cat /proc/self/oom_score_adj; ulimit -n; umask"])
        .ok()
        .prints(&format!("0\n{}\n0022\n", crate::most_files(&sandbox)));
    sandbox.sampan(["exec", "--privileged", "host", "chown", "1", "/tmp"]).ok();
}

#[test]
fn it_ends_with_its_container() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host"]);
    let mut process = sandbox.start_sampan(["exec", "host", "sh", "-c", "echo up; exec tail -f /dev/null"]);
    process.wait_for("up");
    sandbox.sampan(["rm", "-f", "host"]).ok();
    process.finish().fails(137);
    sandbox.is_clean();
}

#[test]
fn detach_keys_leave_it_running_on_its_terminal() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host"]);
    let mut terminal = sandbox.on_terminal(["exec", "-it", "host", "sh"]);
    let script = "for i in 1 2 3 4 5; do echo at work; sleep 0.1; done; test -t 1 && echo done > /sign";
    terminal.wait_for("# ").write(&format!("{script}\r")).wait_for("\nat work").write("\x10\x11");
    terminal.finish().fails(1).says("read escape sequence");
    let done = || {
        let outcome = sandbox.sampan(["exec", "host", "cat", "/sign"]);
        if outcome.stdout == "done\n" { Ok(()) } else { Err(outcome) }
    };
    testkit::eventually("the process that was left", done);
    sandbox.sampan(["exec", "host", "rm", "/sign"]).ok();
    sandbox.sampan(["exec", "-dt", "host", "sh", "-c", script]).ok().prints("");
    testkit::eventually("the process in the background, on a terminal", done);
}
