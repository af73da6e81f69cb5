//! What the user of `build` sees: its progress in every form, its failures, and what it says to wrong options.

use std::fs;

use testkit::{Outcome, Sandbox};

use crate::sandbox;

/// A context with this Dockerfile and a file `a`; its path.
fn context(sandbox: &Sandbox, dockerfile: &str) -> String {
    let directory = sandbox.directory().join("context");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    fs::write(directory.join("a"), "a\n").unwrap();
    directory.to_str().unwrap().to_owned()
}

/// What stands on stderr, with `T` for times and `ID` for digests.
fn shown(outcome: &Outcome) -> String {
    let is_time = |word: &str| {
        let digits = word.trim_end_matches('s');
        digits.contains('.') && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let word = |word: &str| match word {
        word if is_time(word) => "T".to_owned(),
        word if word.starts_with("sha256:") => "ID".to_owned(),
        word => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    outcome.stderr.lines().map(line).collect()
}

#[track_caller]
fn check(outcome: &Outcome, expected: &str) {
    assert_eq!(shown(outcome), expected, "{outcome}");
}

#[test]
fn plain_progress_is_what_buildkit_prints() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nWORKDIR /app\nCOPY a /app/\nRUN printf 'one\\n\\nlast'\n");
    let build = || sandbox.sampan(["build", "--progress", "plain", "-t", "foo:1", &context]).ok();
    let before = "#1 [internal] load build definition from Dockerfile\n#1 DONE T\n\n\
                  #2 [internal] load .dockerignore\n#2 DONE T\n\n\
                  #3 [internal] load metadata for docker.io/library/busybox:latest\n#3 DONE T\n\n\
                  #4 [1/4] FROM docker.io/library/busybox:latest\n#4 DONE T\n\n";
    let after = "#8 exporting to image\n#8 writing image ID done\n#8 naming to docker.io/library/foo:1 done\n#8 DONE T\n";
    check(
        &build(),
        &format!(
            "{before}#5 [2/4] WORKDIR /app\n#5 DONE T\n\n#6 [3/4] COPY a /app/\n#6 DONE T\n\n\
             #7 [4/4] RUN printf 'one\\n\\nlast'\n#7 T one\n#7 T \n#7 T last\n#7 DONE T\n\n{after}"
        ),
    );
    check(
        &build(),
        &format!(
            "{before}#5 [2/4] WORKDIR /app\n#5 CACHED\n\n#6 [3/4] COPY a /app/\n#6 CACHED\n\n\
             #7 [4/4] RUN printf 'one\\n\\nlast'\n#7 CACHED\n\n{after}"
        ),
    );
}

#[test]
fn a_failure_ends_with_the_output_the_place_and_the_reason() {
    let Some(sandbox) = sandbox() else { return };
    let context =
        context(&sandbox, "FROM busybox\n# a remark\nRUN echo broken; \\\n  exit 3\nRUN echo never\n");
    let build = |mode| sandbox.sampan(["build", "--progress", mode, &context]).fails(1).prints("");
    let command = "echo broken;   exit 3";
    let reason = format!("process \"/bin/sh -c {command}\" did not complete successfully: exit code: 3");
    let end = format!(
        "Dockerfile:3\n--------------------\n   2 |     # a remark\n   3 | >>> RUN echo broken; \\\n   4 | >>>   exit 3\n   \
         5 |     RUN echo never\n--------------------\nERROR: failed to build: failed to solve: {reason}\n"
    );
    let plain = shown(&build("plain"));
    let expected = format!(
        "#5 [2/3] RUN {command}\n#5 T broken\n#5 ERROR: {reason}\n------\n > [2/3] RUN {command}:\nT broken\n------\n{end}"
    );
    assert!(plain.ends_with(&expected), "{plain}\n--- expected at the end:\n{expected}");
    // Who did not see the output sees it now.
    check(&build("quiet"), &format!("------\n > /bin/sh -c {command}:\nbroken\n------\n{end}"));
    sandbox.is_clean();
}

#[test]
fn a_mistake_is_marked_in_its_line() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nRUNN true\n");
    sandbox.sampan(["build", "-q", &context]).fails(1).complains(
        "Dockerfile:2\n--------------------\n   1 |     FROM busybox\n   2 | >>> RUNN true\n     |     ^^^^\n   3 |     \n\
         --------------------\nERROR: failed to build: failed to solve: dockerfile parse error on line 2: \
         unknown instruction: RUNN",
    );
}

#[test]
fn a_step_that_is_done_again_says_why_if_asked() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nCOPY a /a\n");
    sandbox.sampan(["build", &context]).ok();
    sandbox.file("context/a", "other\n");
    let build = |mode| sandbox.sampan(["build", "--why", "--progress", mode, &context]).ok();
    build("plain").complains("#5 not cached: a changed\n");
    sandbox.file("context/a", "yet another\n");
    build("rawjson").complains("{\"statuses\":[{\"id\":\"not cached: a changed\",");
    let silent = sandbox.sampan(["build", "--progress", "plain", &context]).ok();
    assert!(!silent.stderr.contains("not cached"), "{silent}");
}

#[test]
fn every_reason_for_doing_a_step_again_is_told() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "");
    let dockerfile = |lines: &str| {
        sandbox.file("context/Dockerfile", format!("FROM busybox AS last\n{lines}\n"));
    };
    let is_told = |options: &[&str], expected: &[&str]| {
        let arguments = [&["build", "--why", "--progress", "plain"], options, &[&context]].concat();
        let outcome = sandbox.sampan(arguments).ok();
        let told = outcome.stderr.lines().filter_map(|line| line.split_once(" not cached: "));
        assert_eq!(told.map(|(_, why)| why).collect::<Vec<_>>(), expected, "{outcome}");
    };
    // Files, each told as it differs from the last time.
    dockerfile("COPY . /x\nRUN true");
    is_told(&[], &["it was never built", "it was never built"]);
    is_told(&[], &[]);
    sandbox.file("context/a", "other\n");
    is_told(&[], &["a changed", "parent changed"]);
    sandbox.file("context/b", "b\n");
    is_told(&[], &["b is new", "parent changed"]);
    fs::remove_file(format!("{context}/a")).unwrap();
    sandbox.file("context/c", "c\n");
    is_told(&[], &["c is new, and 1 more", "parent changed"]);
    fs::remove_file(format!("{context}/c")).unwrap();
    is_told(&[], &["c is gone", "parent changed"]);
    // What the process of a step can see.
    dockerfile("ARG V=1\nENV E=1\nRUN echo $V");
    is_told(&[], &["the instruction changed"]);
    is_told(&["--build-arg", "V=2"], &["ARG V 1 → 2"]);
    dockerfile("ARG V=2\nENV E=3\nRUN echo $V");
    is_told(&[], &["ENV E 1 → 3"]);
    dockerfile("ARG V=2\nENV E=3 F=4\nRUN echo $V");
    is_told(&[], &["ENV F is new: 4"]);
    dockerfile("ARG V=2\nENV F=4\nRUN echo $V");
    is_told(&[], &["ENV E is gone"]);
    is_told(&["--add-host", "pc=192.0.2.7"], &["its settings changed"]);
    // What was asked for.
    dockerfile("COPY b /");
    is_told(&[], &["the instruction changed"]);
    is_told(&["--source-date-epoch", "1"], &["SOURCE_DATE_EPOCH changed"]);
    is_told(&["--no-cache"], &["the cache is not used (--no-cache)"]);
    is_told(&["--no-cache-filter", "last"], &["it is to be done again"]);
    is_told(&["--verify"], &["it is built again (--verify)"]);
    // What it stands on, and what was known of it.
    build_base(&sandbox, "one");
    sandbox.file("context/Dockerfile", "FROM base AS last\nCOPY b /\n");
    is_told(&[], &["base digest moved"]);
    build_base(&sandbox, "two");
    is_told(&[], &["base digest moved"]);
    fs::remove_dir_all(sandbox.root().join("cache/steps")).unwrap();
    is_told(&[], &["its result was removed"]);
}

/// Makes an image `base` with something in it.
fn build_base(sandbox: &Sandbox, something: &str) {
    fs::create_dir_all(sandbox.directory().join("of-base")).unwrap();
    sandbox.file("of-base/Dockerfile", format!("FROM busybox\nRUN echo {something} >/something\n"));
    let context = sandbox.directory().join("of-base");
    sandbox.sampan(["build", "-q", "-t", "base", context.to_str().unwrap()]).ok();
}

#[test]
fn programs_get_a_line_of_json_for_whatever_happens() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nRUN echo hi\n");
    let outcome = sandbox.sampan(["build", "--progress", "rawjson", &context]).ok().prints("");
    let lines: Vec<serde_json::Value> =
        outcome.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let vertices = || lines.iter().filter_map(|line| line["vertexes"].as_array()).flatten();
    let step = vertices().find(|vertex| vertex["name"] == "[2/2] RUN echo hi").expect("the step");
    let log = lines.iter().filter_map(|line| line["logs"].as_array()).flatten().next().expect("a log");
    assert_eq!((&log["vertex"], &log["data"], &log["stream"]), (&step["digest"], &"aGkK".into(), &1.into()));
    let is_done =
        |vertex: &&serde_json::Value| vertex["digest"] == step["digest"] && vertex["completed"].is_string();
    assert_eq!(vertices().filter(is_done).count(), 1, "{outcome}");
}

#[test]
fn a_quiet_build_prints_the_id_and_a_silent_one_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nRUN echo hi\n");
    let build = |arguments: &[&str]| {
        let outcome = sandbox.sampan([&["build"], arguments, &[&context]].concat()).ok();
        assert_eq!(outcome.stderr, "", "{outcome}");
        outcome
    };
    let id = build(&["-q"]).word().to_owned();
    assert!(id.starts_with("sha256:"), "{id}");
    build(&["--progress", "quiet"]).prints(&format!("{id}\n"));
    build(&["--progress", "none"]).prints("");
    let mut command = sandbox.command(["build", &context]);
    command.env("BUILDKIT_PROGRESS", "quiet");
    sandbox.start(command).finish().ok().prints(&format!("{id}\n"));
}

#[test]
fn a_terminal_shows_a_list_that_follows_its_size() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(
        &sandbox,
        "FROM busybox AS slow\nRUN echo waits; sleep 3\n\
         FROM busybox\nRUN echo of-the-other; sleep 3\nCOPY --from=slow /etc/passwd /\n",
    );
    let mut build = sandbox.on_terminal(["build", &context]);
    build.wait_for("[+] Building").wait_for(" => => # of-the-other").resize(40, 10);
    // A line of 40 columns ends before the last one.
    build.wait_for("[slow 2/2] RUN echo waits;");
    let seen = build.finish().ok().stdout;
    assert!(seen.contains("(9/9) FINISHED"), "{seen}");
    let last = seen.rsplit("[+] Building").next().unwrap();
    let plain = unescaped(last);
    assert!(plain.lines().all(|line| line.chars().count() < 40), "{plain}");
    assert!(!plain.contains("of-the-other; sleep") && plain.contains("exporting to image"), "{plain}");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\n");
    let on = |variable: &str, value: &str| {
        let mut command = sandbox.command(["build", &context]);
        command.env(variable, value);
        sandbox.start_on_terminal(command).finish().ok().stdout
    };
    let seen = on("TERM", "dumb");
    assert!(seen.contains("#1 [internal]") && !seen.contains('\x1b'), "{seen:?}");
    let seen = on("NO_COLOR", "1");
    assert!(seen.contains("[+] Building") && !seen.contains("\x1b[34m"), "{seen:?}");
    assert!(on("BUILDKIT_COLORS", "run=green").contains("\x1b[32m => [1/1] FROM"));
}

/// The messages are those of docker buildx 0.29.
#[test]
fn wrong_options_are_refused_as_docker_refuses_them() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\n");
    let refused = |arguments: &[&str], message: &str| {
        let outcome = sandbox.sampan([&["build"], arguments, &[&context]].concat()).fails(1).prints("");
        assert_eq!(outcome.stderr, format!("ERROR: {message}\n"), "{outcome}");
    };
    refused(&["--progress", "foo"], "invalid progress mode foo");
    refused(&["--progress", "tty"], "failed to get console: provided file is not a console");
    refused(&["-q", "--progress", "plain"], "progress=plain and quiet cannot be used together");
    refused(&["--label", "=x"], "invalid key-value pair \"=x\": empty key");
    refused(&["--build-arg", ""], "invalid key-value pair \"\": empty key");
    refused(&["-t", "A"], "failed to build: invalid tag \"A\": repository name must be lowercase");
    refused(&["-t", "foo:b:c"], "failed to build: invalid tag \"foo:b:c\": invalid reference format");
    refused(
        &["--annotation", "foo"],
        "failed to build: parse annotations: invalid annotation \"foo\", expected key=value",
    );
    refused(&["--add-host", "foo:bar"], "failed to build: invalid host foo:bar");
    refused(&["--allow", "foo"], "failed to build: unknown entitlement foo");
    refused(&["--secret", "id=a,foo=bar"], "unexpected key 'foo' in 'foo=bar'");
    refused(
        &["--secret", "id=nosuch"],
        "failed to build: failed to stat nosuch: stat nosuch: no such file or directory",
    );
    refused(
        &["--ssh", "default"],
        "failed to build: failed to convert agent config {default [] false}: invalid empty ssh agent socket: \
         make sure SSH_AUTH_SOCK is set",
    );
    for (arguments, message) in [
        (["--ulimit", "bogus=1"], "\"bogus=1\" for \"--ulimit\" flag: invalid ulimit type: bogus"),
        (["-m", "foo"], "\"foo\" for \"-m, --memory\" flag: invalid size: 'foo'"),
        (["--shm-size", "-1"], "\"-1\" for \"--shm-size\" flag: invalid size: '-1'"),
        (["-c", "x"], "\"x\" for \"-c, --cpu-shares\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"),
    ] {
        let outcome = sandbox.sampan(["build", arguments[0], arguments[1], &context]).fails(125);
        outcome.complains(&format!("invalid argument {message}\n\nUsage:  sampan build"));
    }
    let missing = sandbox.sampan(["build", "nodir"]).fails(1);
    assert_eq!(
        missing.stderr,
        "ERROR: failed to build: unable to prepare context: path \"nodir\" not found\n"
    );
    sandbox.sampan(["build"]).fails(1).complains("requires 1 argument");
    sandbox.sampan(["build", "--pull=foo", &context]).fails(125).complains(
        "invalid argument \"foo\" for \"--pull\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
    );
}

#[test]
fn processes_of_run_get_what_the_options_say() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(
        &sandbox,
        "FROM busybox\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable \\\n  \
         cat /run/secrets/file /run/secrets/variable; grep -w pc /etc/hosts; ulimit -n; df -k /dev/shm | tail -n 1\n",
    );
    let file = sandbox.file("token", "of-a-file\n");
    let mut command = sandbox.command(["build", "--progress", "plain", "--add-host", "pc=192.0.2.7"]);
    command.args([
        "--ulimit",
        "nofile=100:200",
        "--shm-size",
        "3m",
        "--secret",
        &format!("id=file,src={file}"),
    ]);
    command.args(["--secret", "id=variable,env=TOKEN", &context]).env("TOKEN", "of-a-variable\n");
    let outcome = sandbox.start(command).finish().ok();
    let outcome = outcome.complains(" of-a-file\n").complains(" of-a-variable\n").complains(" 100\n");
    let outcome = outcome.complains("192.0.2.7").complains(" 3072 ");
    let kept = sandbox.files().into_iter().any(|path| {
        path != sandbox.directory().join("token")
            && fs::read(&path).is_ok_and(|bytes| bytes.windows(9).any(|part| part == b"of-a-file"))
    });
    assert!(!kept, "a secret was written down\n{outcome}");
}

#[test]
fn options_of_old_scripts_are_taken() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\n");
    let build = |arguments: &[&str]| sandbox.sampan([&["build", "-q"], arguments, &[&context]].concat()).ok();
    let id = build(&[]).stdout;
    let silent =
        build(&["--rm", "--force-rm=false", "--compress", "--disable-content-trust", "-D", "--builder", "x"]);
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), (id.as_str(), ""), "{silent}");
    let warned = build(&["--isolation", "default", "--security-opt", "seccomp=unconfined"]);
    assert_eq!(
        warned.stderr,
        "WARNING: isolation flag is deprecated with BuildKit.\nWARNING: security-opt flag is deprecated. \
         \"RUN --security=insecure\" should be used with BuildKit.\n",
        "{warned}"
    );
}

#[test]
fn a_date_that_is_chosen_is_the_images() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nCOPY a /\n");
    sandbox.sampan(["build", "-q", "-t", "dated", "--source-date-epoch", "86400", &context]).ok();
    let history = sandbox.sampan(["history", "-H=false", "--format", "{{.CreatedAt}}", "dated"]).ok();
    assert!(history.stdout.starts_with("1970-01-02T00:00:00"), "{history}");
}

/// `text` without escape sequences.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        rest = rest.get(1..).unwrap_or_default();
    }
    plain + rest
}
