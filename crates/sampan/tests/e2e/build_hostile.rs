//! What `build` says to Dockerfiles, contexts and processes that are out to harm, and that nothing is left of them.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
};

use rustix::process::Signal;
use testkit::{Outcome, Sandbox};

use crate::{sandbox, shell};

fn directory(sandbox: &Sandbox) -> PathBuf {
    let directory = sandbox.directory().join("context");
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn build(sandbox: &Sandbox, dockerfile: impl AsRef<[u8]>) -> Outcome {
    let directory = directory(sandbox);
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    sandbox.sampan(["build", "--progress", "plain", "-t", "app", directory.to_str().unwrap()])
}

#[test]
fn a_dockerfile_that_makes_no_sense_is_refused_with_a_reason() {
    let Some(sandbox) = sandbox() else { return };
    let long = |length: usize| format!("FROM busybox\nRUN : {}\n", "x".repeat(length));
    let deep = format!(
        "FROM busybox AS s0\n{}",
        (1..300).map(|n| format!("FROM s{} AS s{n}\n", n - 1)).collect::<String>()
    );
    for (dockerfile, expected) in [
        (&b"\x7fELF\x02\x01\x00\xff\xfe"[..], "is not UTF-8"),
        (b"FROM busybox\0\nRUN true\n", "invalid reference format"),
        (b"", "cannot be empty"),
        (b"# nothing\n", "file with no instructions"),
        (b"RUN true\n", "no build stage in current context"),
        (b"FROM\n", "FROM requires either one or three arguments"),
        (b"FROM busybox AS\n", "FROM requires either one or three arguments"),
        (b"FROM busybox\nRUN <<END\nnever ends\n", "unterminated heredoc"),
        (b"FROM busybox\nCOPY [\"a\", \"b\"\n", "syntax error in pattern"),
        (b"FROM busybox\nCOPY a\n", "COPY requires at least two arguments"),
        (b"FROM busybox\nENV A\n", "ENV must have two arguments"),
        (b"FROM busybox\nRUN --mount=type=nosuch true\n", "unsupported mount type \"nosuch\""),
        (b"FROM busybox\nRUN --nosuch true\n", "unknown flag: --nosuch"),
        (b"FROM busybox\nCOPY --chmod=9999 Dockerfile /\n", "invalid chmod parameter"),
        (b"FROM busybox\nEXPOSE many\n", "invalid containerPort: many"),
        (b"FROM a AS b\nFROM b AS a\n", "registry-1.docker.io"),
        (b"FROM busybox AS a\nCOPY --from=a /bin/sh /x\n", "circular dependency detected on stage: a"),
        (b"FROM busybox\nCOPY --from=nosuch /x /\n", "registry-1.docker.io"),
        (b"FROM busybox\nRUN --mount=type=bind,from=nosuch,target=/x true\n", "registry-1.docker.io"),
        (b"FROM ${}\n", "bad substitution"),
        (b"FROM busybox\nWORKDIR ${A:?no A}\n", "no A"),
        (long(200_000).as_bytes(), "dockerfile line greater than max allowed size of 65535"),
        (long(2_000_000).as_bytes(), "larger than 1 MiB"),
    ] {
        let outcome = build(&sandbox, dockerfile).fails(1);
        let begin = String::from_utf8_lossy(&dockerfile[..dockerfile.len().min(60)]).into_owned();
        assert!(outcome.stderr.contains(expected), "{begin}: expected {expected:?}\n{outcome}");
        assert!(outcome.stderr.len() < 1_200_000, "{begin}: told too much");
    }
    build(&sandbox, deep).ok();
    sandbox.sampan(["images", "-q", "nosuch"]).ok().prints("");
    sandbox.is_clean();
}

#[test]
fn a_context_cannot_reach_out_and_special_files_harm_nobody() {
    let Some(sandbox) = sandbox() else { return };
    let context = directory(&sandbox);
    let outside = sandbox.file("outside", "of the host");
    symlink(&outside, context.join("link")).unwrap();
    symlink("../outside", context.join("up")).unwrap();
    symlink("..", context.join("parent")).unwrap();
    symlink("loop", context.join("loop")).unwrap();
    for source in ["link", "up", "parent/outside", "../outside", "loop/x", "/../../etc/hostname"] {
        let outcome = build(&sandbox, format!("FROM busybox\nCOPY {source} /x\n")).fails(1);
        assert!(outcome.stderr.contains("ERROR: ") && !outcome.stderr.contains("of the host"), "{outcome}");
    }
    // Copied as part of a directory, a link is a link.
    build(&sandbox, "FROM busybox\nCOPY . /all\nRUN readlink /all/up && ! cat /all/up 2>/dev/null\n").ok();
    let _socket = UnixListener::bind(context.join("socket")).unwrap();
    let pipe = sandbox.start(sandbox.shell(&format!("mkfifo '{}'", context.join("pipe").display())));
    pipe.finish().ok();
    // Neither waits for somebody to write into the pipe; what cannot be in an image is left out or refused by name.
    let outcome = build(&sandbox, "FROM busybox\nCOPY . /all\nRUN ls /all; test ! -S /all/socket\n");
    assert!((outcome.code == 0) || outcome.stderr.contains("cannot copy"), "{outcome}");
    fs::remove_file(context.join("pipe")).unwrap();
    let device = format!("mknod '{}' c 1 9", context.join("device").display());
    sandbox.start(sandbox.shell(&device)).finish().ok();
    let outcome = build(&sandbox, "FROM busybox\nCOPY device /device\n").fails(1);
    assert!(outcome.stderr.contains("device"), "{outcome}");
    sandbox.is_clean();
}

#[test]
fn a_secret_that_is_asked_for_and_not_given_ends_the_build() {
    let Some(sandbox) = sandbox() else { return };
    let run = |options: &str| {
        build(&sandbox, format!("FROM busybox\nRUN --mount=type={options} ls /run/secrets 2>&1; true\n"))
    };
    run("secret,id=token,required=true").fails(1).complains("secret token: not found");
    run("secret,id=token").ok();
    run("ssh,required=true").fails(1).complains("unset ssh forward key default");
    run("ssh").ok();
    sandbox.is_clean();
}

#[test]
fn daemons_that_a_step_leaves_end_with_it() {
    let Some(sandbox) = sandbox() else { return };
    let dockerfile = "FROM busybox\nRUN (trap '' HUP TERM; setsid tail -f /dev/null &) ; nohup tail -f /dev/null >/dev/null 2>&1 & \\\n\
                      echo begun >/begun\n";
    build(&sandbox, dockerfile).ok();
    sandbox.is_clean();
    shell(&sandbox, &[], "true").ok();
    sandbox.sampan(["run", "--rm", "app", "cat", "/begun"]).ok().prints("begun\n");
}

#[test]
fn an_interrupt_ends_a_step_with_all_it_started() {
    let Some(sandbox) = sandbox() else { return };
    let context = directory(&sandbox);
    let dockerfile = "FROM busybox\nRUN echo first >/first\nRUN trap '' INT TERM; (tail -f /dev/null &); echo be''gun; tail -f /dev/null\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let mut build = sandbox.on_terminal(["build", "--progress", "plain", context.to_str().unwrap()]);
    build.wait_for(" begun").signal(Signal::INT);
    build.finish().fails(130).says("Canceled");
    sandbox.is_clean();
    // What was done before is still known, and what was not is not taken for done.
    let short = dockerfile.replace("tail -f /dev/null\n", "true\n");
    fs::write(context.join("Dockerfile"), short).unwrap();
    let again = sandbox.sampan(["build", "--progress", "plain", context.to_str().unwrap()]).ok();
    assert_eq!(again.stderr.matches("CACHED").count(), 1, "{again}");
    sandbox.is_clean();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told_or_copied_whole() {
    let Some(sandbox) = sandbox() else { return };
    let context = directory(&sandbox);
    let script = format!(
        "cd '{}' && i=0; while [ ! -e stop ]; do i=$((i+1)); head -c 300000 /dev/zero | tr '\\0' $((i % 10)) >moving; done",
        context.display()
    );
    fs::write(context.join("moving"), "0".repeat(300_000)).unwrap();
    let writer = sandbox.start(sandbox.shell(&script));
    fs::set_permissions(&context, fs::Permissions::from_mode(0o755)).unwrap();
    for _ in 0..10 {
        let outcome = build(&sandbox, "FROM busybox\nCOPY moving /moving\n");
        let told = outcome.stderr.contains("changed while it was being copied");
        assert!((outcome.code == 0) != told, "{outcome}");
    }
    fs::write(context.join("stop"), "").unwrap();
    writer.finish().ok();
    // What the cache has is what the key says.
    fs::write(context.join("moving"), "still\n").unwrap();
    build(&sandbox, "FROM busybox\nCOPY moving /moving\n").ok();
    sandbox.sampan(["run", "--rm", "app", "cat", "/moving"]).ok().prints("still\n");
    sandbox.is_clean();
}

#[test]
fn what_nobody_may_read_is_named_or_left_out() {
    let Some(sandbox) = sandbox() else { return };
    let context = directory(&sandbox);
    fs::create_dir_all(context.join("deep/closed")).unwrap();
    for file in ["open", "shut", "deep/shut", "deep/closed/file"] {
        fs::write(context.join(file), "x\n").unwrap();
    }
    // Somebody else's, so that a root without the privilege to read everything may not read them.
    let script = format!(
        "cd '{}' && chown 1234 shut deep/shut deep/closed && chmod 600 shut deep/shut && chmod 700 deep/closed",
        context.display()
    );
    sandbox.start(sandbox.shell(&script)).finish().ok();
    let build = |dockerfile: &str| {
        fs::write(context.join("Dockerfile"), format!("FROM busybox\n{dockerfile}\n")).unwrap();
        let without = "-dac_override,-dac_read_search";
        let script = format!(
            "exec setpriv --bounding-set={without} --inh-caps={without} $SAMPAN build --progress plain -t app '{}'",
            context.display()
        );
        sandbox.start(sandbox.shell(&script)).finish()
    };
    let help = "the ignore file (.dockerignore) can leave it out";
    for (dockerfile, named) in [
        ("COPY . /all", "deep/closed"),
        ("COPY deep /all", "deep/closed"),
        ("COPY deep/closed/file /x", "deep/closed/file"),
        ("COPY s* /x", "shut"),
        ("COPY --parents deep/shut /x", "deep/shut"),
        ("RUN --mount=type=bind,target=/c true", "deep/closed"),
    ] {
        let told = format!("cannot read {named} in the build context: Permission denied");
        build(dockerfile).fails(1).complains(&told).complains(help);
    }
    build("COPY open /x").ok();
    fs::write(context.join(".dockerignore"), "**/shut\n**/closed\n").unwrap();
    build("COPY . /all").ok();
    sandbox
        .sampan(["run", "--rm", "app", "ls", "/all", "/all/deep"])
        .ok()
        .prints("/all:\nDockerfile\ndeep\nopen\n\n/all/deep:\n");
    sandbox.is_clean();
}

#[test]
fn an_agent_signs_for_a_step_and_nothing_of_it_stays() {
    let Some(sandbox) = sandbox() else { return };
    let has =
        |program: &str| sandbox.start(sandbox.shell(&format!("command -v {program}"))).finish().code == 0;
    if let Some(missing) = ["ssh-agent", "ssh-add", "ssh-keygen", "ldd"].into_iter().find(|name| !has(name)) {
        eprintln!("skipped: this machine lacks {missing}");
        return;
    }
    let context = directory(&sandbox);
    // The image has no client of agents, but this machine has.
    let tools = "mkdir tools && cp --parents -L $(ldd $(command -v ssh-add) | grep -o '/[^ ]*') $(command -v ssh-add) tools";
    sandbox.start(sandbox.shell(&format!("cd '{}' && {tools}", context.display()))).finish().ok();
    let use_it = "RUN --mount=type=ssh --mount=type=tmpfs,target=/keys --mount=type=secret,id=token \\\n\
                  ssh-add -L >/keys/public && ssh-add -T /keys/public && grep -q secret /run/secrets/token";
    let dockerfile = format!(
        "FROM busybox\nCOPY tools /\n{use_it}\nRUN test -z \"$SSH_AUTH_SOCK\" && ! ls /run/buildkit /run/secrets\n"
    );
    fs::write(context.join("Dockerfile"), &dockerfile).unwrap();
    sandbox.file("token", "secret-of-the-caller\n");
    let build = |options: &str| {
        let script = format!(
            "cd '{}' && export SSH_AUTH_SOCK && rm -f key* && ssh-keygen -q -t ed25519 -N '' -C key-of-the-caller -f key && \
             exec ssh-agent -a \"$PWD/socket-of-the-caller\" sh -c 'ssh-add -q key && \
             exec $SAMPAN build --progress plain --secret id=token,src=token --metadata-file metadata {options} -t app \"$0\"' '{}'",
            sandbox.directory().display(),
            context.display()
        );
        sandbox.start(sandbox.shell(&script)).finish()
    };
    build("--ssh default").ok();
    // A step that fails keeps what it takes to go on from it.
    fs::write(context.join("Dockerfile"), format!("{dockerfile}{use_it} && false\n")).unwrap();
    build("--ssh default=socket-of-the-caller").fails(1);
    let archive = sandbox.directory().join("app.tar");
    sandbox.sampan(["save", "-o", archive.to_str().unwrap(), "app"]).ok();
    let private = fs::read_to_string(sandbox.directory().join("key")).unwrap();
    let private = private.lines().nth(2).unwrap();
    let look = format!(
        "cd '{}' && ! grep -rlaF -e '{private}' -e key-of-the-caller -e secret-of-the-caller -e socket-of-the-caller \
         \"$SAMPAN_ROOT\" app.tar metadata",
        sandbox.directory().display()
    );
    sandbox.start(sandbox.shell(&look)).finish().ok().prints("");
    for command in
        [&["history", "--no-trunc", "app"][..], &["inspect", "app"], &["buildx", "history", "logs"]]
    {
        let said = sandbox.sampan(command).ok();
        assert!(!said.stdout.contains("of-the-caller"), "{said}");
    }
    sandbox.is_clean();
}
