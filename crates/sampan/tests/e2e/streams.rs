//! `run -i` and `run -t`: pipes and terminals.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::{sandbox, shell};

#[test]
fn input_is_piped_in_and_its_end_is_seen() {
    let Some(sandbox) = sandbox() else { return };
    let mut process = sandbox.start_sampan(["run", "-i", "--rm", "busybox", "cat"]);
    process.write("one\n").wait_for("one\n").write("two\n").close_input();
    process.finish().ok().prints("one\ntwo\n");
}

#[test]
fn a_large_input_comes_in_complete() {
    let Some(sandbox) = sandbox() else { return };
    let text: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    let file = sandbox.file("input", &text);
    let mut command = sandbox.command(["run", "-i", "--rm", "busybox", "cat"]);
    command.stdin(std::fs::File::open(file).unwrap());
    let outcome = sandbox.start(command).finish().ok();
    assert!(outcome.stdout == text, "{} of {} bytes came back", outcome.stdout.len(), text.len());
}

#[test]
fn without_i_there_is_nothing_to_read() {
    let Some(sandbox) = sandbox() else { return };
    let mut process = sandbox.start_sampan(["run", "--rm", "busybox", "cat"]);
    process.write("never read\n");
    process.finish().ok().prints("");
}

#[test]
fn a_command_that_ends_does_not_wait_for_its_input_to_end() {
    let Some(sandbox) = sandbox() else { return };
    let process = sandbox.start_sampan(["run", "-i", "--rm", "busybox", "echo", "done"]);
    process.finish().ok().prints("done\n");
}

#[test]
fn t_gives_a_terminal_of_the_callers_size() {
    let Some(sandbox) = sandbox() else { return };
    let script = "tty; stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all three";
    let outcome = sandbox.on_terminal(["run", "-it", "--rm", "busybox", "sh", "-c", script]).finish().ok();
    assert_eq!(outcome.lines(), ["/dev/pts/0", "24 80", "xterm", "all three"], "{outcome}");
}

#[test]
fn keys_reach_a_shell_on_the_terminal_and_interrupt_it() {
    let Some(sandbox) = sandbox() else { return };
    let mut terminal = sandbox.on_terminal(["run", "-it", "--rm", "busybox", "sh"]);
    terminal.wait_for("# ").write("echo $((6 * 7))\r").wait_for("\n42\r\n");
    terminal.wait_for("# ").write("sh -c 'echo begun; exec sleep 1000'\r").wait_for("\nbegun\r\n");
    terminal.write("\x03").wait_for("# ").write("exit 5\r");
    terminal.finish().fails(5);
}

#[test]
fn the_terminal_follows_the_callers_size() {
    let Some(sandbox) = sandbox() else { return };
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 1 & wait $!; done";
    let mut terminal = sandbox.on_terminal(["run", "-it", "--rm", "busybox", "sh", "-c", script]);
    terminal.wait_for("ready").resize(132, 50).wait_for("50 132");
    terminal.finish().ok();
}

#[test]
fn t_without_a_terminal_to_read_from_is_refused() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["run", "-it", "--rm", "busybox", "true"])
        .fails(1)
        .complains("the input device is not a TTY");
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
}

#[test]
fn a_terminal_without_input_still_ends_lines_as_terminals_do() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["-t"], "echo out; echo err >&2").ok().prints("out\r\nerr\r\n");
}

#[test]
fn the_callers_terminal_is_put_back() {
    let Some(sandbox) = sandbox() else { return };
    let script =
        "stty -g > before; $SAMPAN run -it --rm busybox true; stty -g > after; cmp before after && echo same";
    let mut command = sandbox.shell(script);
    command.current_dir(sandbox.directory());
    sandbox.start_on_terminal(command).finish().ok().says("same");
}

#[test]
fn streams_can_be_chosen() {
    let Some(sandbox) = sandbox() else { return };
    let script = "echo out; echo err >&2";
    let errors = shell(&sandbox, &["-a", "stderr"], script).ok().prints("");
    assert_eq!(errors.stderr, "err\n");
    let output = shell(&sandbox, &["-a", "STDOUT"], script).ok().prints("out\n");
    assert_eq!(output.stderr, "");
    sandbox.sampan(["run", "-a", "stdwhat", "busybox", "true"]).fails(125).complains(
        "invalid argument \"stdwhat\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR",
    );
    sandbox
        .sampan(["run", "-d", "-a", "stdout", "busybox", "true"])
        .fails(1)
        .complains("conflicting options: cannot specify both --attach and --detach");
}

#[test]
fn who_only_feeds_a_container_leaves_when_that_is_done() {
    let Some(sandbox) = sandbox() else { return };
    let script = "cat > /fed; tail -f /dev/null";
    let mut feeder = sandbox.start_sampan(["run", "-i", "-a", "stdin", "busybox", "sh", "-c", script]);
    feeder.write("some\n").close_input();
    let id = feeder.finish().ok().word().to_owned();
    assert_eq!(crate::inspect(&sandbox, &id, "{{.State.Running}} {{.Config.AttachStdin}}"), "true true");
    testkit::eventually("it has read that", || {
        let fed = sandbox.sampan(["exec", &id, "cat", "/fed"]);
        if fed.stdout == "some\n" { Ok(()) } else { Err(fed) }
    });
}

#[test]
fn a_signal_reaches_a_process_that_does_not_read_what_it_is_given() {
    let Some(sandbox) = sandbox() else { return };
    let file = sandbox.file("much", "x".repeat(1 << 20));
    let script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let mut command = sandbox.command(["run", "-i", "--rm", "busybox", "sh", "-c", script]);
    command.stdin(std::fs::File::open(file).unwrap());
    let mut process = sandbox.start(command);
    process.wait_for("up").signal(Signal::TERM);
    process.finish().fails(9);
}

#[test]
fn what_nobody_reads_ends_a_command_without_a_word() {
    let Some(sandbox) = sandbox() else { return };
    for command in [&["images"][..], &["images", "--quiet"], &["inspect", "busybox"], &["run", "--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = sandbox.command(command).stdout(writer).output().unwrap();
        assert_eq!(ended.status.signal(), Some(Signal::PIPE.as_raw()), "{command:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{command:?}");
    }
}
