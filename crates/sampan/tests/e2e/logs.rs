//! `logs`: what a container said.

use crate::{background, inspect, sandbox};

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

#[test]
fn json_file_is_dockers_file_where_inspect_says() {
    let Some(sandbox) = sandbox() else { return };
    let options = ["--log-driver", "json-file", "--log-opt", "labels-regex=^w", "--log-opt", "tag={{.Name}}"];
    let script = "echo out; echo err >&2; printf unfinished";
    let id =
        background(&sandbox, &[&options[..], &["--name", "talker", "--label", "who=me"]].concat(), script);
    sandbox.sampan(["wait", "talker"]).ok();
    let path = inspect(&sandbox, "talker", "{{.LogPath}}");
    assert!(path.ends_with(&format!("{id}/{id}-json.log")), "{path}");
    let text = std::fs::read_to_string(path).unwrap();
    let first = text.lines().find(|line| line.contains("out")).unwrap();
    let start =
        "{\"log\":\"out\\n\",\"stream\":\"stdout\",\"attrs\":{\"tag\":\"talker\",\"who\":\"me\"},\"time\":\"";
    assert!(first.starts_with(start) && first.ends_with("Z\"}"), "{first}");
    let outcome = sandbox.sampan(["logs", "talker"]).ok().prints("out\nunfinished");
    assert_eq!(outcome.stderr, "err\n");
    sandbox.sampan(["logs", "--details", "talker"]).ok().says("tag=talker,who=me out\n");
    assert_eq!(inspect(&sandbox, "talker", "{{.HostConfig.LogConfig.Type}}"), "json-file");
}

#[test]
fn a_log_that_is_not_kept_cannot_be_read() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["run", "--log-driver", "none", "--name", "quiet", "busybox", "echo", "said"])
        .ok()
        .prints("said\n");
    sandbox
        .sampan(["logs", "quiet"])
        .fails(1)
        .complains("Error response from daemon: configured logging driver does not support reading");
    assert_eq!(inspect(&sandbox, "quiet", "{{.LogPath}}"), "");
}

#[test]
fn drivers_and_options_that_do_not_exist_are_refused() {
    let Some(sandbox) = sandbox() else { return };
    let refused = |options: &[&str], why: &str| {
        sandbox.sampan([&["run", "--rm"], options, &["busybox", "true"]].concat()).fails(125).complains(why)
    };
    refused(&["--log-driver", "paper"], "logger: no log driver named 'paper' is registered");
    refused(&["--log-opt", "colour=red"], "unknown log opt 'colour' for log driver local");
    refused(
        &["--log-opt", "max-file=0"],
        "failed to initialize logging driver: max-file cannot be less than 1",
    );
    let expression = ["--log-driver", "json-file", "--log-opt", "env-regex=("];
    refused(&expression, "failed to initialize logging driver: error parsing regexp: missing closing ): `(`");
    refused(&["--log-opt", "mode=lazy"], "logger: logging mode not supported: lazy");
    refused(&["--log-driver", "none", "--log-opt", "max-size=1m"], "invalid logging opts for driver none");
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
}

#[test]
fn a_log_that_is_full_goes_on_in_another_file_and_is_compressed() {
    full_files_are_compressed("seq 1 5000; exec tail -f /dev/null");
}

#[test]
fn what_a_container_has_said_to_its_end_without_a_pause_is_compressed_too() {
    full_files_are_compressed("seq 1 5000");
}

fn full_files_are_compressed(script: &str) {
    let Some(sandbox) = sandbox() else { return };
    let options = ["--log-opt", "max-size=100k", "--log-opt", "max-file=4", "--name", "counter"];
    let id = background(&sandbox, &options, script);
    let directory = sandbox.root().join("containers").join(&id);
    testkit::eventually("the full files are compressed", || {
        let names = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> =
            names.filter_map(|name| name.into_string().ok()).filter(|n| n.starts_with("log")).collect();
        names.sort();
        if names == ["log", "log.1.gz", "log.2.gz"] { Ok(()) } else { Err(names.join(" ")) }
    });
    let all: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    let outcome = sandbox.sampan(["logs", "counter"]).ok();
    assert!(outcome.stdout == all, "{} lines", outcome.lines().len());
    let last: String = (1001..=5000).map(|number| format!("{number}\n")).collect();
    let outcome = sandbox.sampan(["logs", "-n", "4000", "counter"]).ok();
    assert!(outcome.stdout == last, "{} lines", outcome.lines().len());
}

#[test]
fn following_goes_on_from_file_to_file() {
    let Some(sandbox) = sandbox() else { return };
    let options = ["--log-opt", "max-size=200k", "--log-opt", "max-file=100"];
    let script = "read go; seq 1 40000";
    let command = ["busybox", "sh", "-c", script];
    let mut counter =
        sandbox.start_sampan([&["run", "-i", "--name", "counter"], &options[..], &command].concat());
    testkit::eventually("it runs", || {
        let listed = sandbox.sampan(["ps", "-q"]).ok();
        if listed.stdout.is_empty() { Err(listed) } else { Ok(()) }
    });
    let follower = sandbox.start_sampan(["logs", "-f", "counter"]);
    counter.write("go\n");
    let all: String = (1..=40000).map(|number| format!("{number}\n")).collect();
    assert!(counter.finish().ok().stdout == all);
    let outcome = follower.finish().ok();
    assert!(outcome.stdout == all, "{} lines", outcome.lines().len());
}
