//! `attach`, and leaving a container that one takes part in.

use rustix::process::Signal;

use crate::{idle, inspect, sandbox};

#[test]
fn several_hear_what_is_said_from_then_on() {
    let Some(sandbox) = sandbox() else { return };
    let mut first = sandbox.start_sampan(["run", "-i", "--name", "talker", "busybox", "cat"]);
    first.write("before\n").wait_for("before\n");
    let mut others = [(); 2].map(|()| sandbox.start_sampan(["attach", "--no-stdin", "talker"]));
    for other in &mut others {
        testkit::eventually("the other is there", || {
            first.write("ping\n");
            if other.hears("ping\n") { Ok(()) } else { Err("silence") }
        });
    }
    first.write("after\n").close_input();
    first.finish().ok().says("before\nping\n");
    for other in others {
        let outcome = other.finish().ok();
        assert!(outcome.stdout.ends_with("ping\nafter\n") && !outcome.stdout.contains("before"), "{outcome}");
    }
}

#[test]
fn who_attaches_can_type_and_ends_the_input_or_does_not() {
    let Some(sandbox) = sandbox() else { return };
    // Its maker had no part in it: its input stays open.
    sandbox.sampan(["run", "-di", "--name", "open", "busybox", "cat"]).ok();
    let mut typist = sandbox.start_sampan(["attach", "open"]);
    typist.write("one\n").wait_for("one\n").close_input();
    typist.signal(Signal::KILL);
    let _ = typist.finish();
    let mut next = sandbox.start_sampan(["attach", "open"]);
    next.write("two\n").wait_for("two\n");
    sandbox.sampan(["rm", "-f", "open"]).ok();
    next.finish().fails(137);

    // The first who could type decides.
    sandbox.sampan(["create", "-i", "--name", "once", "busybox", "cat"]).ok();
    sandbox.sampan(["start", "once"]).ok();
    let mut typist = sandbox.start_sampan(["attach", "once"]);
    typist.write("three\n").wait_for("three\n").close_input();
    typist.finish().ok();
    assert_eq!(inspect(&sandbox, "once", "{{.State.Status}}"), "exited");
}

#[test]
fn output_and_errors_stay_apart_and_the_exit_code_is_the_containers() {
    let Some(sandbox) = sandbox() else { return };
    let script = "read x; echo out $x; echo err >&2; exit 7";
    sandbox.sampan(["run", "-di", "--name", "asker", "busybox", "sh", "-c", script]).ok();
    let mut attached = sandbox.start_sampan(["attach", "asker"]);
    attached.write("now\n");
    let outcome = attached.finish().fails(7).prints("out now\n");
    assert_eq!(outcome.stderr, "err\n");
}

#[test]
fn signals_are_for_the_container_unless_that_is_not_wanted() {
    let Some(sandbox) = sandbox() else { return };
    // What it says now and then shows that somebody is attached.
    let script = "trap 'echo caught; exit 3' TERM; while :; do echo tick; sleep 0.1; done";
    sandbox.sampan(["run", "-di", "--name", "trap", "busybox", "sh", "-c", script]).ok();
    let mut aside = sandbox.start_sampan(["attach", "--sig-proxy=false", "trap"]);
    aside.wait_for("tick").signal(Signal::TERM);
    aside.finish().fails(143);
    assert_eq!(inspect(&sandbox, "trap", "{{.State.Running}}"), "true");
    let mut attached = sandbox.start_sampan(["attach", "trap"]);
    attached.wait_for("tick").signal(Signal::TERM).wait_for("caught\n");
    attached.finish().fails(3);
}

#[test]
fn only_what_runs_can_be_attached_to() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "idle", "busybox", "true"]).ok();
    sandbox
        .sampan(["attach", "idle"])
        .fails(1)
        .complains("You cannot attach to a stopped container, start it first");
    sandbox.sampan(["attach", "nosuch"]).fails(1).complains("No such container: nosuch");
}

#[test]
fn detach_keys_leave_a_container_running_and_attach_comes_back_to_it() {
    let Some(sandbox) = sandbox() else { return };
    let mut terminal = sandbox.on_terminal(["run", "-it", "--name", "shell", "busybox", "sh"]);
    terminal.wait_for("# ").write("x=kept\r").wait_for("# ").write("\x10\x11");
    terminal.finish().ok();
    assert_eq!(inspect(&sandbox, "shell", "{{.State.Running}}"), "true");

    let mut again = sandbox.on_terminal(["attach", "shell"]);
    again.write("echo $x $((6 * 7))\r").wait_for("kept 42\r\n").write("\x10\x11");
    again.finish().fails(1).says("read escape sequence");

    let mut third = sandbox.on_terminal(["attach", "--detach-keys", "ctrl-a,x", "shell"]);
    third.write("echo \x10\x11third\r").wait_for("# ").write("\x01x");
    third.finish().fails(1).says("read escape sequence");

    let mut last = sandbox.on_terminal(["attach", "shell"]);
    last.write("exit 4\r");
    last.finish().fails(4);
}

#[test]
fn the_terminal_has_the_size_of_whoever_looks_at_it() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "-dit", "--name", "shell", "busybox", "sh"]).ok();
    let mut terminal = sandbox.on_terminal(["attach", "shell"]);
    terminal.write("stty size\r").wait_for("24 80\r\n");
    terminal.resize(132, 50);
    testkit::eventually("the terminal has grown", || {
        terminal.write("stty size\r");
        if terminal.hears("50 132\r\n") { Ok(()) } else { Err("not yet") }
    });
    terminal.write("\x10\x11");
    terminal.finish().fails(1).says("read escape sequence");
}

#[test]
fn a_container_that_removes_itself_does_so_after_everybody_left() {
    let Some(sandbox) = sandbox() else { return };
    let mut terminal = sandbox.on_terminal(["run", "-it", "--rm", "--name", "shell", "busybox", "sh"]);
    terminal.wait_for("# ").write("\x10\x11");
    terminal.finish().ok();
    let mut again = sandbox.on_terminal(["attach", "shell"]);
    again.write("exit 0\r");
    again.finish().ok();
    testkit::eventually("it is removed", || {
        let listed = sandbox.sampan(["ps", "-aq"]).ok();
        if listed.stdout.is_empty() { Ok(()) } else { Err(listed) }
    });
}

#[test]
fn detach_keys_that_are_none_are_refused() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "host"]);
    let message = "Error response from daemon: Invalid detach keys (shift-a) provided";
    sandbox.sampan(["attach", "--detach-keys", "shift-a", "host"]).fails(1).complains(message);
    sandbox.sampan(["run", "--detach-keys", "shift-a", "busybox"]).fails(125).complains(message);
}

#[test]
fn a_pipe_that_nobody_empties_holds_up_the_container_and_not_its_monitor() {
    let Some(sandbox) = sandbox() else { return };
    // Something is said for sure when it has begun, and then more than anything has room for.
    let script = "trap 'exit 0' TERM; zeros() { dd if=/dev/zero bs=64k count=$1 2>/dev/null; }; \
        zeros 1; zeros 64 & echo begun >&2; while :; do wait; done";
    let mut command = sandbox
        .shell("mkfifo stop; $SAMPAN run --name full busybox sh -c \"$SCRIPT\" | { read x < stop; wc -c; }");
    command.env("SCRIPT", script).current_dir(sandbox.directory());
    let mut process = sandbox.start(command);
    process.wait_for_error("begun\n");
    // The monitor notices the end and records it, though the last output is not taken yet.
    sandbox.sampan(["stop", "full"]).ok();
    assert_eq!(inspect(&sandbox, "full", "{{.State.Status}}"), "exited");
    std::fs::write(sandbox.directory().join("stop"), "now\n").unwrap();
    let outcome = process.finish().ok();
    let count: u64 = outcome.word().parse().unwrap();
    assert!((65536..65 * 65536).contains(&count), "{outcome}");
}
