//! Going back to the steps of recent builds: `build shell`, `diff`, `retry`, and their records.

use std::{fs, path::PathBuf};

use rustix::process::Signal;
use testkit::{Outcome, Sandbox};

use crate::sandbox;

/// A context with this Dockerfile and a file `a`; its path.
fn context(sandbox: &Sandbox, dockerfile: &str) -> String {
    let directory = sandbox.directory().join("context");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    fs::write(directory.join("a"), "of the context\n").unwrap();
    directory.to_str().unwrap().to_owned()
}

/// Runs a script in the place of a step.
fn visit(sandbox: &Sandbox, step: &str, script: &str) -> Outcome {
    sandbox.sampan(["build", "shell", step, "sh", "-c", script])
}

/// One column of the records, the latest build first.
fn listed(sandbox: &Sandbox, column: &str) -> Vec<String> {
    let format = format!("{{{{.{column}}}}}");
    let outcome = sandbox.sampan(["buildx", "history", "ls", "--format", &format]).ok();
    outcome.lines().into_iter().map(str::to_owned).collect()
}

const FAILING: &str =
    "FROM busybox\nENV GREETING=hello\nWORKDIR /work\nRUN echo one >first\nRUN echo two >second; exit 3\n";

#[test]
fn a_shell_finds_what_a_step_left_whether_it_passed_or_failed() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, FAILING);
    sandbox.sampan(["build", &context]).fails(1);
    visit(&sandbox, "4", "cat first second; pwd; echo $GREETING").ok().prints("one\ntwo\n/work\nhello\n");
    visit(&sandbox, "[3/4]", "ls").ok().prints("first\n");
    visit(&sandbox, "2", "ls; pwd; echo $GREETING").ok().prints("/work\nhello\n");
    // Without a command it is a shell, and what it reads may come from anywhere.
    let mut shell = sandbox.start_sampan(["build", "shell", "4"]);
    shell.write("cat second\nrm second\nexit 7\n").close_input();
    shell.finish().fails(7).prints("two\n");
    // Nothing of that is kept, and a build is found by its id.
    let id = &listed(&sandbox, "Ref")[0];
    visit(&sandbox, &id[..6], "cat second").ok().prints("two\n");
    visit(&sandbox, &format!("{id}:4"), "cat second").ok().prints("two\n");
    // The next build does not take it for a result.
    sandbox.sampan(["build", &context]).fails(1).complains("exit code: 3");
    sandbox.is_clean();
}

#[test]
fn a_shell_has_the_mounts_of_its_step() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(
        &sandbox,
        "FROM busybox AS other\nRUN echo of-a-stage >/b\nFROM busybox\nRUN --mount=type=cache,target=/c \\\n\
         --mount=type=bind,source=a,target=/m/a --mount=type=bind,from=other,source=/b,target=/m/b \\\n\
         --mount=type=secret,id=s --mount=type=tmpfs,target=/t --network=none \\\n  echo warm >/c/x && false\n",
    );
    let secret = sandbox.file("secret", "very-secret\n");
    sandbox.sampan(["build", "--secret", &format!("id=s,src={secret}"), &context]).fails(1);
    let script = "cat /c/x /m/a /m/b /run/secrets/s; mount | grep -c ' /t type tmpfs'; ls /sys/class/net";
    let expected = "warm\nof the context\nof-a-stage\nvery-secret\n1\nlo\n";
    visit(&sandbox, "stage-1/2", script).ok().prints(expected);
    sandbox.is_clean();
}

#[test]
fn on_a_terminal_a_failed_step_offers_a_shell() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, FAILING);
    let mut build = sandbox.on_terminal(["build", "--shell-on-fail", &context]);
    build.wait_for("/work #").write("cat second | tr a-z A-Z; exit\n").wait_for("TWO");
    build.finish().fails(1);
    // Elsewhere, and without the wish, the command is told.
    let hint = "hint: to look around where it failed: `sampan build shell ";
    sandbox.on_terminal(["build", &context]).finish().fails(1).says(hint);
    let mut in_ci = sandbox.command(["build", "--shell-on-fail", &context]);
    in_ci.env("CI", "true");
    sandbox.start_on_terminal(in_ci).finish().fails(1).says(hint);
    let piped = sandbox.sampan(["build", "--shell-on-fail", &context]).fails(1);
    assert!(!piped.stderr.contains("hint:"), "{piped}");
    sandbox.is_clean();
}

#[test]
fn steps_and_builds_are_compared_file_by_file() {
    let Some(sandbox) = sandbox() else { return };
    let dockerfile = "FROM busybox\nRUN echo 1 >/changed; echo 1 >/gone; echo 1 >/same\n\
                      RUN echo 2 >/changed; rm /gone; mkdir /new; chmod 700 /same\n";
    let path = context(&sandbox, dockerfile);
    sandbox.sampan(["build", &path]).ok();
    let diff = |first: &str, second: &str| sandbox.sampan(["build", "diff", first, second]).ok();
    diff("2", "3").prints("C /changed (content)\nD /gone\nA /new\nC /same (mode)\n");
    diff("3", "3").prints("");
    let json = sandbox.sampan(["build", "diff", "--format", "json", "2", "3"]).ok();
    json.says("{\"kind\":\"C\",\"path\":\"/same\",\"differs\":[\"mode\"]}\n");
    context(&sandbox, &format!("{dockerfile}RUN echo more >/more\n"));
    sandbox.sampan(["build", &path]).ok();
    let ids = listed(&sandbox, "Ref");
    diff(&ids[1], &ids[0]).prints("A /more\n");
    diff("^1", "^0").prints("A /more\n");
}

#[test]
fn a_build_is_done_again_from_any_step() {
    let Some(sandbox) = sandbox() else { return };
    let path = context(
        &sandbox,
        "FROM busybox\nARG V\nRUN echo $V\nRUN cat /proc/sys/kernel/random/uuid >/a\nRUN true\n",
    );
    sandbox.sampan(["build", "-t", "app", "--build-arg", "V=seven", "--progress", "plain", &path]).ok();
    let retry = |options: &[&str]| sandbox.sampan([&["build", "retry"], options].concat());
    let cached = |outcome: &Outcome| outcome.stderr.matches("CACHED").count();
    let image = || sandbox.sampan(["images", "-q", "--no-trunc", "app"]).ok().stdout;
    let first = image();
    let all = retry(&["^0"]).ok();
    assert_eq!(cached(&all), 3, "{all}");
    assert_eq!(image(), first);
    let some = retry(&["--from", "3"]).ok();
    assert_eq!(cached(&some), 1, "{some}");
    assert_ne!(image(), first);
    // A stage can be meant as well.
    let none = sandbox.sampan(["build", "--no-cache-filter", "x", "--build-arg", "V=seven", &path]).ok();
    assert_eq!(cached(&none), 3, "{none}");
    retry(&["--from", "9"]).fails(1).complains("has no step \"9\"\nhint: `sampan buildx history inspect");
    // What came from elsewhere cannot be had again.
    let mut build = sandbox.start_sampan(["build", "-"]);
    build.write("FROM busybox\nRUN true\n").close_input();
    build.finish().ok();
    retry(&["^0"]).fails(1).complains("cannot be done again: it read its standard input\nhint: ");
}

#[test]
fn a_context_may_be_called_like_a_command() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["shell", "diff", "retry"] {
        fs::create_dir(sandbox.directory().join(name)).unwrap();
        sandbox.file(&format!("{name}/Dockerfile"), "FROM busybox\nRUN true\n");
        let mut build = sandbox.command(["build", name]);
        build.current_dir(sandbox.directory());
        sandbox.start(build).finish().ok();
    }
}

#[test]
fn records_tell_how_builds_went_and_what_they_had_to_say() {
    let Some(sandbox) = sandbox() else { return };
    let path = context(&sandbox, FAILING);
    sandbox
        .sampan(["buildx", "history", "ls"])
        .ok()
        .prints("BUILD ID   NAME      STATUS    CREATED AT   DURATION\n");
    sandbox
        .sampan(["buildx", "history", "inspect"])
        .fails(1)
        .complains("ERROR: no build is recorded\nhint: ");
    sandbox.sampan(["build", &path]).fails(1);
    fs::write(PathBuf::from(&path).join("Dockerfile"), "FROM busybox\nRUN echo fine; echo bad >&2\n")
        .unwrap();
    sandbox.sampan(["build", "-t", "app", &path]).ok();
    assert_eq!(listed(&sandbox, "Status"), ["Completed", "Error"]);
    assert_eq!(listed(&sandbox, "Name"), ["context", "context"]);
    assert_eq!(listed(&sandbox, "TotalSteps"), ["2", "4"]);
    let inspected = sandbox.sampan(["buildx", "history", "inspect", "^1"]).ok();
    for part in ["Name:", "Build Steps:", "3/4 (", "exit code: 3", "ERROR", "RUN echo two >second; exit 3"] {
        assert!(inspected.stdout.contains(part), "{part}\n{inspected}");
    }
    let logs = sandbox.sampan(["buildx", "history", "logs"]).ok();
    for part in ["[2] RUN echo fine; echo bad >&2\n", " fine\n", " bad\n", "DONE"] {
        assert!(logs.stdout.contains(part), "{part}\n{logs}");
    }
    let old = &listed(&sandbox, "Ref")[1];
    sandbox.sampan(["buildx", "history", "rm", old]).ok();
    assert_eq!(listed(&sandbox, "Status"), ["Completed"]);
    sandbox.sampan(["buildx", "history", "rm", "--all"]).ok();
    assert_eq!(listed(&sandbox, "Status"), [""; 0]);
}

#[test]
fn a_build_that_was_killed_has_a_record_and_what_is_gone_is_said_to_be() {
    let Some(sandbox) = sandbox() else { return };
    let path =
        context(&sandbox, "FROM busybox\nRUN echo done >/done\nRUN echo begun; exec tail -f /dev/null\n");
    let mut build = sandbox.on_terminal(["build", "--progress", "plain", &path]);
    build.wait_for(" begun\r\n");
    assert_eq!(listed(&sandbox, "Status"), ["Running"]);
    build.signal(Signal::KILL);
    let _ = build.finish();
    assert_eq!(listed(&sandbox, "Status"), ["Canceled"]);
    visit(&sandbox, "2", "cat /done").ok().prints("done\n");
    visit(&sandbox, "3", "true")
        .fails(1)
        .complains("step 3 of build")
        .complains("was never carried out\nhint: ");
    sandbox.sampan(["builder", "prune", "-af", "--filter", "type=regular"]).ok();
    visit(&sandbox, "2", "true").fails(1).complains("are not kept any more\nhint: to have them again, run");
    visit(&sandbox, "1", "echo the base stays").ok().prints("the base stays\n");
    // Whoever lists containers sweeps what the killed one left.
    sandbox.sampan(["ps", "-a", "-q"]).ok().prints("");
    sandbox.is_clean();
}

#[test]
fn no_secret_is_written_down_whatever_a_step_says() {
    let Some(sandbox) = sandbox() else { return };
    let path = context(
        &sandbox,
        "FROM busybox\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable,env=TOKEN \\\n\
         cat /run/secrets/file; echo token $TOKEN; exit 1\n",
    );
    let secret = sandbox.file("secret", "line-one-of-it\nline-two-of-it\n");
    let options =
        ["build", "--secret", &format!("id=file,src={secret}"), "--secret", "id=variable,env=TOKEN"];
    let mut command = sandbox.command(options);
    command.args(["--build-arg", "HTTPS_PROXY=http://me:hidden-word@nowhere.invalid", &path]);
    command.env("TOKEN", "hunter2-of-the-caller");
    // Who gives it sees it; nobody else ever does.
    sandbox.start(command).finish().fails(1).complains("token hunter2-of-the-caller");
    sandbox.sampan(["buildx", "history", "logs"]).ok().says("token *********************\n");
    let find = "! grep -rlE 'line-(one|two)-of-it|hunter2-of-the-caller|hidden-word' \"$SAMPAN_ROOT\"";
    sandbox.start(sandbox.shell(find)).finish().ok().prints("");
    sandbox.is_clean();
}
