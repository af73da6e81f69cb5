//! `logs`: what a container said.

use crate::{background, sandbox};

#[test]
fn output_and_errors_are_kept_apart() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &[], "echo out; echo err >&2; printf unfinished");
    sandbox.sampan(["wait", &id]).ok();
    let outcome = sandbox.sampan(["logs", &id]).ok().prints("out\nunfinished");
    assert_eq!(outcome.stderr, "err\n");
}

#[test]
fn the_last_lines_can_be_asked_for() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--name", "counter", "busybox", "seq", "1", "1000"]).ok();
    sandbox.sampan(["logs", "--tail", "2", "counter"]).ok().prints("999\n1000\n");
    sandbox.sampan(["logs", "-n", "0", "counter"]).ok().prints("");
    assert_eq!(sandbox.sampan(["logs", "--tail", "all", "counter"]).ok().lines().len(), 1000);
}

#[test]
fn following_ends_with_the_container() {
    let Some(sandbox) = sandbox() else { return };
    let mut container = sandbox.start_sampan(["run", "-i", "--name", "talker", "busybox", "cat"]);
    container.write("one\n").wait_for("one\n");
    let mut logs = sandbox.start_sampan(["logs", "-f", "talker"]);
    logs.wait_for("one\n");
    container.write("two\n");
    logs.wait_for("two\n");
    container.close_input();
    container.finish().ok();
    logs.finish().ok().prints("one\ntwo\n");
}

#[test]
fn timestamps_stand_before_each_line_and_choose() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--name", "talker", "busybox", "echo", "hello"]).ok();
    let stamped = sandbox.sampan(["logs", "-t", "talker"]).ok();
    let (time, rest) = stamped.stdout.split_once(' ').unwrap();
    assert_eq!(rest, "hello\n");
    assert!(time.len() == "2026-01-02T03:04:05.000000006Z".len() && time.ends_with('Z'), "{stamped}");
    sandbox.sampan(["logs", "--since", "1h", "talker"]).ok().prints("hello\n");
    sandbox.sampan(["logs", "--until", "1h", "talker"]).ok().prints("");
    sandbox.sampan(["logs", "--since", time, "talker"]).ok().prints("hello\n");
    sandbox.sampan(["logs", "--since", "gestern", "talker"]).fails(1).complains("gestern");
}

#[test]
fn the_log_of_what_is_not_there_is_an_error() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["logs", "nosuch"]).fails(1).complains("No such container: nosuch");
    sandbox.sampan(["create", "--name", "silent", "busybox"]).ok();
    sandbox.sampan(["logs", "silent"]).ok().prints("");
}

#[test]
fn bytes_that_are_no_text_pass_unharmed() {
    let Some(sandbox) = sandbox() else { return };
    let script = "printf 'a\\0b\\377c\\r\\n\\n\\n'; head -c 100000 /dev/zero | tr '\\0' x; echo";
    let mut check = sandbox.shell("$SAMPAN run --name odd busybox sh -c \"$SCRIPT\" > said; $SAMPAN logs odd > logged; cmp said logged && wc -c < logged");
    check.env("SCRIPT", script).current_dir(sandbox.directory());
    sandbox.start(check).finish().ok().prints("100010\n");
}

#[test]
fn a_line_that_comes_in_parts_has_one_timestamp() {
    let Some(sandbox) = sandbox() else { return };
    let mut container = sandbox.start_sampan(["run", "-i", "--name", "slow", "busybox", "cat"]);
    container
        .write("one ")
        .wait_for("one ")
        .write("two ")
        .wait_for("two ")
        .write("three\n")
        .wait_for("three\n");
    container.close_input();
    container.finish().ok();
    let stamped = sandbox.sampan(["logs", "-t", "slow"]).ok();
    assert!(stamped.stdout.ends_with("Z one two three\n") && stamped.lines().len() == 1, "{stamped}");
}
