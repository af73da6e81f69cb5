//! `build`: images from Dockerfiles.

use std::{fs, time::Duration};

use testkit::Sandbox;

use crate::{inspect, sandbox};

/// A directory with a Dockerfile and a few files; its path.
fn context(sandbox: &Sandbox, dockerfile: &str) -> String {
    let directory = sandbox.directory().join("context");
    fs::create_dir_all(directory.join("src")).unwrap();
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    fs::write(directory.join("src/hello"), "hello\n").unwrap();
    directory.to_str().unwrap().to_owned()
}

#[test]
fn an_image_has_what_its_dockerfile_says_and_runs_so() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(
        &sandbox,
        "FROM busybox\nARG WHO=nobody\nENV NAME=World\nLABEL made.by=$WHO\nWORKDIR /app\nCOPY src/ .\n\
         RUN echo \"$NAME $WHO\" > greeting && chown 7:8 greeting\nEXPOSE 80\nUSER 1000\n\
         ENTRYPOINT [\"cat\"]\nCMD [\"hello\", \"greeting\"]\n",
    );
    sandbox.sampan(["build", "-t", "app", "--build-arg", "WHO=me", &context]).ok().prints("");
    sandbox.sampan(["run", "--rm", "app"]).ok().prints("hello\nWorld me\n");
    sandbox.sampan(["run", "--rm", "app", "greeting"]).ok().prints("World me\n");
    sandbox
        .sampan(["run", "--rm", "--entrypoint", "stat", "app", "-c", "%u:%g %n", "greeting", "hello"])
        .ok()
        .prints("7:8 greeting\n0:0 hello\n");
    sandbox
        .sampan(["run", "--rm", "--entrypoint", "sh", "app", "-c", "id -u; pwd; echo $NAME"])
        .ok()
        .prints("1000\n/app\nWorld\n");
    assert_eq!(
        inspect(&sandbox, "app", "{{.Config.Labels}} {{.Config.ExposedPorts}}"),
        "map[made.by:me] map[80/tcp:{}]"
    );
    sandbox.is_clean();
}

#[test]
fn an_unchanged_build_runs_nothing_and_gives_the_same_image() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nCOPY src/hello /hello\nRUN date +%N > /when\n");
    let first = sandbox.sampan(["build", "--quiet", &context]).ok().word().to_owned();
    // Another time of change is no change.
    sandbox.file("context/src/hello", "hello\n");
    sandbox.sampan(["build", "--progress", "plain", &context]).ok().complains("CACHED");
    assert_eq!(sandbox.sampan(["build", "--quiet", &context]).ok().word(), first);
    sandbox.file("context/src/hello", "goodbye\n");
    let why = sandbox.sampan(["build", "--progress", "plain", "--why", &context]).ok();
    why.complains("src/hello changed");
    assert_ne!(sandbox.sampan(["build", "--quiet", &context]).ok().word(), first);
    assert_ne!(sandbox.sampan(["build", "--quiet", "--no-cache", &context]).ok().word(), first);
}

#[test]
fn a_step_changes_only_what_its_command_changed() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nRUN echo x > /new\n");
    sandbox.sampan(["build", "-t", "app", &context]).ok();
    let archive = sandbox.directory().join("app.tar");
    sandbox.sampan(["save", "-o", archive.to_str().unwrap(), "app"]).ok();
    // Each layer is a blob of its own; the one with the new file has nothing else.
    let mut list = sandbox.shell(
        "tar -xf app.tar && for blob in blobs/sha256/*; do
            if tar -tf $blob 2>/dev/null | grep -qx new; then tar -tf $blob; fi
        done",
    );
    list.current_dir(sandbox.directory());
    let files = sandbox.start(list).finish().ok();
    assert_eq!(files.lines().into_iter().filter(|line| *line != "./").collect::<Vec<_>>(), ["new"]);
}

#[test]
fn steps_that_change_nothing_build_and_run() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nRUN echo a\nRUN echo b\nRUN echo c\n");
    sandbox.sampan(["build", "-t", "app", &context]).ok();
    sandbox.sampan(["run", "--rm", "app", "echo", "fine"]).ok().prints("fine\n");
}

#[test]
fn a_failing_command_is_shown_where_it_stands_and_leaves_nothing() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["images"]).ok();
    let before = sandbox.files();
    let context = context(&sandbox, "FROM busybox\nRUN echo broken; exit 3\nRUN echo never\n");
    sandbox
        .sampan(["build", "-t", "app", &context])
        .fails(1)
        .complains("broken")
        .complains("process \"/bin/sh -c echo broken; exit 3\" did not complete successfully: exit code: 3")
        .complains("2 | >>> RUN echo broken; exit 3");
    sandbox.sampan(["images", "-q", "app"]).ok().prints("");
    sandbox.is_clean();
    // What it had made is kept as the cache keeps all else.
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    let left: Vec<_> = sandbox.files().into_iter().filter(|file| !before.contains(file)).collect();
    let empty = ["cache/scratch", "cache/turns", "cache/builds", "cache/steps", "cache/bounded"];
    assert!(left.iter().all(|file| empty.iter().any(|name| file.ends_with(name))), "{left:?}");
}

#[test]
fn mistakes_in_a_dockerfile_are_pointed_at() {
    let Some(sandbox) = sandbox() else { return };
    let wrong = |dockerfile: &str, message: &str, mark: &str| {
        let context = context(&sandbox, dockerfile);
        sandbox.sampan(["build", &context]).fails(1).complains(message).complains(mark);
    };
    wrong("FROM busybox\nRUNN true\n", "unknown instruction: RUNN", "did you mean RUN?");
    wrong("FROM busybox\nCOPY --chwon=1 a b\n", "unknown flag: --chwon", "^^^^^^^");
    wrong("FROM 127.0.0.1:1/nosuch\n", "cannot reach 127.0.0.1:1", "FROM 127.0.0.1:1/nosuch");
    wrong("FROM busybox\nCOPY nothing /\n", "nothing", "COPY nothing /");
    wrong("RUN true\n", "no build stage in current context", "1 | >>> RUN true");
    wrong("", "empty", "Dockerfile");
    sandbox.is_clean();
}

#[test]
fn a_build_that_is_killed_takes_its_step_with_it() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nRUN echo started; exec tail -f /dev/null\n");
    let mut build = sandbox.shell("exec $SAMPAN build --progress plain $CONTEXT 2>&1");
    build.env("CONTEXT", &context);
    let mut build = sandbox.start(build);
    build.wait_for("started");
    build.kill_after(Duration::ZERO).fails(137);
    sandbox.sampan(["ps", "-a", "-q"]).ok().prints("");
    sandbox.is_clean();
}
