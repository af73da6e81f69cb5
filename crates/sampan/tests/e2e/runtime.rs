//! The program as another engine's runtime: `sampan runtime`, with bundles of its own making.

use std::{
    fs,
    io::{IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::{Value, json};
use testkit::{Outcome, Process, Sandbox, eventually};

use crate::{PROGRAM, sandbox};

#[test]
fn a_container_is_created_started_and_deleted() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| script(spec, "echo hello; echo oops >&2"));
    bundle.create("one", "").ok();
    let state = bundle.state("one");
    assert_eq!(state["status"], "created");
    assert_eq!(state["ociVersion"], "1.0.2-dev");
    assert_eq!(state["bundle"], json!(bundle.path));
    assert_eq!(state["rootfs"], json!(bundle.path.join("rootfs")));
    let pid = state["pid"].as_i64().unwrap();
    let waiting = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(waiting.contains("\0create\0"), "no program of its own yet: {waiting:?}");
    assert_eq!(bundle.said("one"), "");
    bundle.runtime(&["list", "--quiet"]).ok().prints("one\n");
    let list: Value =
        serde_json::from_str(&bundle.runtime(&["list", "--format", "json"]).ok().stdout).unwrap();
    assert_eq!(
        (&list[0]["pid"], &list[0]["status"], &list[0]["owner"]),
        (&json!(pid), &json!("created"), &json!("root"))
    );
    bundle.runtime(&["list"]).ok().says("ID          PID").says("created");

    bundle.runtime(&["start", "one"]).ok().prints("");
    eventually("it has ended", || {
        (bundle.state("one")["status"] == "stopped").then_some(()).ok_or("not yet")
    });
    assert_eq!(bundle.said("one"), "hello\noops\n");
    assert_eq!(bundle.state("one")["pid"], 0);
    bundle.runtime(&["start", "one"]).fails(1).complains("cannot start a container that has stopped");
    bundle.runtime(&["kill", "one", "KILL"]).fails(1).complains("container not running");
    bundle.runtime(&["delete", "one"]).ok().prints("");
    for command in ["state", "start", "kill", "delete", "ps", "pause", "resume", "events"] {
        bundle.runtime(&[command, "one"]).fails(1).complains("container does not exist");
    }
    bundle.runtime(&["delete", "--force", "one"]).ok();
    bundle.runtime(&["list", "-f", "json"]).ok().prints("[]\n");
}

#[test]
fn a_container_in_the_foreground_has_the_callers_streams_and_gives_its_code() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| script(spec, "cat; echo oops >&2; exit 7"));
    let mut running = sandbox.start_sampan(bundle.words(&["run", "--bundle", bundle.name(), "one"]));
    running.write("typed\n").wait_for("typed\n");
    running.close_input();
    running.finish().fails(7).prints("typed\n").complains("oops");
    bundle.runtime(&["state", "one"]).fails(1);

    let bundle = bundle.with(|spec| script(spec, "echo ready; exec tail -f /dev/null"));
    let mut running = sandbox.start_sampan(bundle.words(&["run", "--bundle", bundle.name(), "one"]));
    running.wait_for("ready");
    bundle.runtime(&["kill", "one", "SIGKILL"]).ok();
    running.finish().fails(137);
    let bundle = bundle.with(|spec| {
        script(spec, "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    });
    let mut running =
        sandbox.start_sampan(bundle.words(&["run", "--keep", "--bundle", bundle.name(), "one"]));
    running.wait_for("ready").signal(rustix::process::Signal::TERM);
    running.finish().fails(3).says("got it");
    assert_eq!(bundle.state("one")["status"], "stopped");
    bundle.runtime(&["delete", "one"]).ok();
}

#[test]
fn mistakes_are_told_as_others_tell_them() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| script(spec, "exec tail -f /dev/null"));
    bundle.create("one", "").ok();
    bundle.create("one", "").fails(1);
    bundle
        .runtime(&["create", "--bundle", bundle.name(), "one"])
        .fails(1)
        .complains("container with given ID already exists");
    bundle.runtime(&["start", "one"]).ok();
    bundle.runtime(&["start", "one"]).fails(1).complains("cannot start an already running container");
    bundle
        .runtime(&["delete", "one"])
        .fails(1)
        .complains("cannot delete container one that is not stopped: running");
    bundle.runtime(&["kill", "one", "NOPE"]).fails(1).complains("unknown signal \\\"NOPE\\\"");
    bundle.runtime(&["resume", "one"]).fails(1).complains("container not paused");
    bundle
        .runtime(&["create", "--bundle", bundle.name(), "a/b"])
        .fails(1)
        .complains("invalid container ID format");
    bundle.runtime(&["nonsense"]).fails(1);
    let log = sandbox.directory().join("log");
    let log = log.to_str().unwrap();
    let state = bundle.runtime(&["--log", log, "--log-format", "json", "state", "nobody"]).fails(1);
    assert_eq!(state.stderr, "container does not exist\n");
    let line: Value = serde_json::from_str(&fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("container does not exist")));

    for (change, why) in [
        (json!({"process": {"args": ["nope"]}}), "exec: \"nope\": executable file not found in $PATH"),
        (json!({"process": {"args": ["/etc"]}}), "exec: \"/etc\": is a directory: permission denied"),
        (json!({"root": {"path": "nowhere"}}), "is not a directory"),
        (json!({"linux": {"sysctl": {"kernel.pid_max": "1000"}}}), "is not in a separate kernel namespace"),
        (json!({"mounts": [{"destination": "/x", "type": "bind", "source": "/nowhere"}]}), "/nowhere"),
        (json!({"process": {"terminal": true}}), "cannot allocate tty if"),
        (json!({"linux": {"cgroupsPath": "system.slice:a:b"}}), "which --systemd-cgroup has make it"),
    ] {
        let bundle = bundle.with(|spec| merge(spec, change));
        let log = sandbox.directory().join("log");
        fs::remove_file(&log).unwrap();
        let words = ["--log", log.to_str().unwrap(), "create", "--bundle", bundle.name(), "two"];
        let failed = bundle.runtime(&words).fails(1).complains(why);
        assert!(failed.stderr.starts_with("create failed: "), "{failed}");
        bundle.runtime(&["state", "two"]).fails(1).complains("container does not exist");
    }
    bundle.runtime(&["delete", "--force", "one"]).ok();
}

#[test]
fn it_is_a_runtime_by_its_name_too() {
    let Some(sandbox) = sandbox() else { return };
    let program = sandbox.directory().join("sampan-runtime");
    std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
    let called = |words: &[&str]| {
        let mut command = sandbox.program_named(&program);
        command.args(words);
        sandbox.start(command).finish()
    };
    called(&["--version"]).ok().says("sampan-runtime version ").says("spec: 1.");
    let features: Value = serde_json::from_str(&called(&["features"]).ok().stdout).unwrap();
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    let bundle = Bundle::new(&sandbox, |spec| script(spec, "echo $0 runs"));
    let root = bundle.root.to_str().unwrap();
    called(&["--root", root, "--log-format=json", "run", "-b", bundle.name(), "one"]).ok().says("runs");
}

#[test]
fn a_creation_that_is_killed_leaves_nothing_that_delete_does_not_find() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| script(spec, "exec tail -f /dev/null"));
    for delay in (0..40).map(|step| Duration::from_micros(step * 500)) {
        let mut command = sandbox.shell(&bundle.detached("create", "one", ""));
        command.current_dir(sandbox.directory());
        let _ = sandbox.start(command).kill_after(delay);
        // Whoever is still at it notices that its parent is gone.
        eventually("somebody may delete it", || {
            let deleted = bundle.runtime(&["delete", "--force", "one"]);
            if deleted.code == 0 { Ok(()) } else { Err(deleted.to_string()) }
        });
        bundle.runtime(&["state", "one"]).fails(1).complains("container does not exist");
    }
    bundle.create("one", "").ok();
    bundle.runtime(&["delete", "one"]).ok();
}

#[test]
fn the_specification_is_meant_to_the_letter() {
    let Some(sandbox) = sandbox() else { return };
    let report = "id -u; id -g; id -G; umask; hostname; cat /proc/sys/kernel/domainname; echo $WORD; pwd; \
                  grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ulimit -n; \
                  cat /proc/self/oom_score_adj; cat /proc/sys/kernel/msgmax; ls /dev";
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, report);
        merge(
            spec,
            json!({
                "hostname": "host", "domainname": "domain",
                "process": {
                    "user": {"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27},
                    "env": ["PATH=/bin", "WORD=word"], "cwd": "/new/directory", "oomScoreAdj": 100,
                    "capabilities": {
                        "bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"],
                        "permitted": ["CAP_KILL", "CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
                    },
                    "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
                },
                "linux": {"sysctl": {"kernel.msgmax": "5000"}},
            }),
        );
    });
    let ran = bundle.run("one");
    let lines = ran.lines();
    assert_eq!(lines[..8], ["7", "8", "8 9 10", "0027", "host", "domain", "word", "/new/directory"], "{ran}");
    // KILL is 5, CHOWN is 0. What an ordinary program gets is what it inherits.
    for set in [
        "CapInh:\t0000000000000020",
        "CapPrm:\t0000000000000020",
        "CapEff:\t0000000000000020",
        "CapBnd:\t0000000000000021",
        "CapAmb:\t0000000000000020",
    ] {
        assert!(lines.contains(&set), "{set}\n{ran}");
    }
    assert!(lines.contains(&"NoNewPrivs:\t1") && lines.contains(&"Seccomp:\t0"), "{ran}");
    let end = lines.iter().position(|line| *line == "100").unwrap();
    assert_eq!(lines[end..end + 3], ["100", "100", "5000"], "{ran}");
    let devices = [
        "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
        "tty", "urandom", "zero",
    ];
    let missing: Vec<_> =
        devices.iter().filter(|device| **device != "core" && !lines.contains(device)).collect();
    assert!(missing.is_empty(), "{missing:?}\n{ran}");
}

#[test]
fn mounts_are_made_with_all_their_options() {
    let Some(sandbox) = sandbox() else { return };
    let source = sandbox.directory().join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let bundle = Bundle::new(&sandbox, |spec| {
        script(
            spec,
            "cat /proc/self/mountinfo; ls -ldn /owned/file /up/there; cat /up/there; touch /bound/x; ls /masked; cat /masked-file; touch /locked/x",
        );
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/bound", "type": "bind", "source": source, "options": ["rbind", "rro", "rnosuid", "noatime", "nodev"]}));
        mounts.push(json!({"destination": "/owned", "source": source, "options": ["bind", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 1234, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1235, "size": 1}]}));
        mounts.push(json!({"destination": "/up", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "noexec", "strictatime"]}));
        merge(
            spec,
            json!({"root": {"readonly": false}, "linux": {"maskedPaths": ["/masked", "/masked-file"], "readonlyPaths": ["/locked"], "rootfsPropagation": "shared"}}),
        );
    });
    let root = bundle.path.join("rootfs");
    for directory in ["masked", "locked", "up"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    fs::write(root.join("masked/secret"), "").unwrap();
    fs::write(root.join("masked-file"), "secret").unwrap();
    fs::write(root.join("up/there"), "copied").unwrap();
    let ran = bundle.run("one");
    let mount = |point: &str| {
        let found = ran.lines().into_iter().find(|line| line.split(' ').nth(4) == Some(point));
        found.unwrap_or_else(|| panic!("no mount at {point}\n{ran}")).to_owned()
    };
    let bound = mount("/bound");
    for option in ["ro", "nosuid", "nodev", "noatime"] {
        assert!(bound.split(' ').nth(5).unwrap().split(',').any(|one| one == option), "{option}: {bound}");
    }
    let up = mount("/up");
    assert!(up.contains("noexec") && !up.contains("relatime"), "{up}");
    assert!(mount("/").contains("shared:"), "{ran}");
    ran.clone()
        .says("1234")
        .says("1235")
        .says("copied")
        .complains("/bound/x: Read-only")
        .complains("/locked/x: Read-only");
    assert!(!ran.stdout.contains("secret"), "{ran}");
}

#[test]
fn hooks_run_in_their_order_and_place() {
    let Some(sandbox) = sandbox() else { return };
    let trace = sandbox.directory().join("trace");
    let note = |name: &str| {
        let script = format!("read state; echo \"{name} $state\" >> {}", trace.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b"], "timeout": 60}])
    };
    let inside = json!([{"path": "/bin/sh", "args": ["sh", "-c", "read state; echo startContainer $state > /dev/shm/hook"]}]);
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, "cat /dev/shm/hook; echo program");
        spec["annotations"] = json!({"key": "value"});
        spec["hooks"] = json!({
            "prestart": note("prestart"), "createRuntime": note("createRuntime"), "createContainer": note("createContainer"),
            "startContainer": inside, "poststart": note("poststart"), "poststop": note("poststop"),
        });
    });
    bundle.create("one", "").ok();
    let traced = || -> Vec<(String, Value)> {
        let text = fs::read_to_string(&trace).unwrap_or_default();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        lines.map(|(name, state)| (name.to_owned(), serde_json::from_str(state).unwrap())).collect()
    };
    let pid = bundle.state("one")["pid"].clone();
    let names: Vec<String> = traced().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["prestart", "createRuntime", "createContainer"]);
    assert_eq!(bundle.said("one"), "");
    bundle.runtime(&["start", "one"]).ok();
    eventually("it has ended", || {
        (bundle.state("one")["status"] == "stopped").then_some(()).ok_or("not yet")
    });
    let said = bundle.said("one");
    assert!(said.starts_with("startContainer {") && said.ends_with("}\nprogram\n"), "{said}");
    bundle.runtime(&["delete", "one"]).ok();
    let traced = traced();
    let statuses: Vec<_> =
        traced.iter().map(|(name, state)| (name.as_str(), state["status"].as_str().unwrap())).collect();
    assert_eq!(
        statuses,
        [
            ("prestart", "creating"),
            ("createRuntime", "creating"),
            ("createContainer", "creating"),
            ("poststart", "running"),
            ("poststop", "stopped")
        ]
    );
    for (name, state) in &traced[..4] {
        assert_eq!(
            (&state["pid"], &state["id"], &state["annotations"]["key"]),
            (&pid, &json!("one"), &json!("value")),
            "{name}"
        );
    }

    let bundle = bundle.with(|spec| {
        spec["hooks"] = json!({
            "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "test \"$SAMPAN_ROOT\""]}],
            "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "test -z \"$SAMPAN_ROOT\""], "env": ["A=b"]}],
        });
    });
    let ran = bundle.run("two");
    assert!(!ran.stderr.contains("error running"), "the caller's environment, or one of its own: {ran}");

    for (moment, code) in [("createRuntime", 1), ("createContainer", 1), ("poststart", 0)] {
        let failing = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]);
        let bundle = bundle.with(|spec| spec["hooks"] = json!({ moment: failing }));
        bundle
            .runtime(&["run", "--bundle", bundle.name(), "two"])
            .fails(code)
            .complains(&format!("error running {moment} hook #0: exit status 3, stdout: , stderr: no"));
        bundle.runtime(&["state", "two"]).fails(1);
    }
}

#[test]
fn processes_are_executed_signalled_paused_and_listed() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, "trap 'echo term' TERM; echo ready; while :; do sleep 0.1; done");
        merge(
            spec,
            json!({"linux": {"resources": {"pids": {"limit": 50}, "memory": {"limit": 64_000_000}}}}),
        );
    });
    bundle.create("one", "").ok();
    bundle.runtime(&["exec", "one", "id", "-u"]).ok().prints("0\n");
    bundle.runtime(&["start", "one"]).ok();
    bundle.says("one", "ready");
    bundle
        .runtime(&[
            "exec",
            "--env",
            "A=b",
            "--cwd",
            "/tmp",
            "--user",
            "5:6",
            "-g",
            "7",
            "one",
            "sh",
            "-c",
            "echo $A $PWD $(id -u) $(id -G); exit 9",
        ])
        .fails(9)
        .prints("b /tmp 5 6 7\n");
    bundle
        .runtime(&["exec", "--cap", "CAP_NONSENSE", "one", "echo", "fine"])
        .ok()
        .prints("fine\n")
        .complains("ignoring unknown or unavailable capabilities: [CAP_NONSENSE]");
    bundle.runtime(&["exec", "one", "nope"]).fails(255).complains("exec failed: unable to start container process: exec: \\\"nope\\\": executable file not found in $PATH");
    bundle.runtime(&["exec", "--cwd", "/nowhere", "one", "true"]).fails(255).complains("chdir to cwd");
    let process = json!({"args": ["sh", "-c", "echo $B $(id -u)"], "env": ["B=c", "PATH=/bin"], "cwd": "/", "user": {"uid": 3, "gid": 3}});
    let process = sandbox.file("process.json", process.to_string());
    bundle.runtime(&["exec", "--process", &process, "one"]).ok().prints("c 3\n");
    let nobody = sandbox.file("nobody.json", r#"{"args": ["/bin/id", "-u"], "cwd": "/"}"#);
    bundle.runtime(&["exec", "--process", &nobody, "one"]).ok().prints("0\n");
    let pid_file = sandbox.directory().join("exec.pid");
    bundle.detach(&format!("exec --detach --pid-file {} one tail -f /dev/null", pid_file.display())).ok();
    let executed: i64 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let pids: Vec<i64> =
        serde_json::from_str(&bundle.runtime(&["ps", "--format", "json", "one"]).ok().stdout).unwrap();
    assert!(
        pids.contains(&executed) && pids.contains(&bundle.state("one")["pid"].as_i64().unwrap()),
        "{pids:?}"
    );
    bundle.runtime(&["ps", "one"]).ok().says("tail -f /dev/null");

    bundle.runtime(&["kill", "one"]).ok();
    bundle.says("one", "term");
    bundle.runtime(&["pause", "one"]).ok();
    assert_eq!(bundle.state("one")["status"], "paused");
    bundle.runtime(&["exec", "one", "true"]).fails(255).complains("cannot exec in a paused container");
    bundle.runtime(&["resume", "one"]).ok();
    assert_eq!(bundle.state("one")["status"], "running");

    let limit = |file: &str| bundle.cgroup_file("one", file);
    assert_eq!(limit("pids.max"), "50");
    bundle.runtime(&["update", "--pids-limit", "60", "--memory", "48M", "one"]).ok();
    bundle.runtime(&["update", "--memory", "-1", "one"]).ok();
    assert_eq!(limit("pids.max"), "60");
    let resources =
        sandbox.file("resources.json", r#"{"pids": {"limit": 70}, "memory": {"limit": 80000000}}"#);
    bundle.runtime(&["update", "--resources", &resources, "one"]).ok();
    assert_eq!(limit("pids.max"), "70");
    let stats: Value =
        serde_json::from_str(&bundle.runtime(&["events", "--stats", "one"]).ok().stdout).unwrap();
    assert_eq!((&stats["type"], &stats["id"]), (&json!("stats"), &json!("one")));
    assert!(stats["data"]["pids"]["current"].as_i64().unwrap() >= 2, "{stats}");
    let mut events = sandbox.start_sampan(bundle.words(&["events", "--interval", "10ms", "one"]));
    events.wait_for("\"stats\"").wait_for("\"stats\"");
    bundle.runtime(&["kill", "--all", "one", "KILL"]).ok();
    events.finish().ok();
    eventually("it has ended", || {
        (bundle.state("one")["status"] == "stopped").then_some(()).ok_or("not yet")
    });
    bundle.runtime(&["exec", "one", "true"]).fails(255).complains("cannot exec in a stopped container");
    bundle.runtime(&["kill", "one", "0"]).fails(1).complains("container not running");
    bundle.runtime(&["kill", "--all", "one", "0"]).ok();
    bundle.runtime(&["delete", "one"]).ok();
}

#[test]
fn a_terminal_goes_to_whoever_listens_for_it() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, "test -t 0 && stty size; tty; read word; echo got $word");
        merge(spec, json!({"process": {"terminal": true, "consoleSize": {"height": 33, "width": 99}}}));
    });
    let socket = sandbox.directory().join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    bundle.create("one", &format!("--console-socket {}", socket.display())).ok();
    let terminal = receive(&listener);
    bundle.runtime(&["start", "one"]).ok();
    let mut terminal = fs::File::from(terminal);
    let mut keys = terminal.try_clone().unwrap();
    let mut read_until = |text: &str| {
        let mut seen = String::new();
        let mut buffer = [0; 256];
        while !seen.contains(text) {
            let count = terminal.read(&mut buffer).unwrap();
            seen += &String::from_utf8_lossy(&buffer[..count]);
        }
        seen
    };
    let seen = read_until("/dev/");
    assert!(seen.contains("33 99"), "{seen}");
    keys.write_all(b"word\n").unwrap();
    let mut rest = String::new();
    // The end of a terminal whose last user is gone is an error.
    let _ = terminal.read_to_string(&mut rest);
    assert!(rest.contains("got word"), "{rest}");
    bundle.runtime(&["delete", "--force", "one"]).ok();

    // With nobody to send it to, the caller has it.
    let mut running: Process = sandbox.on_terminal(bundle.words(&["run", "--bundle", bundle.name(), "one"]));
    running.wait_for("24 80").wait_for("/dev/").write("key\n").wait_for("got key");
    running.finish().ok();
}

#[test]
fn a_user_namespace_maps_the_containers_users() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        script(
            spec,
            "id -u; cat /proc/self/uid_map; touch /mine; stat -c %u /mine; test -c /dev/null && echo device > /dev/null && echo fine",
        );
        spec["root"]["readonly"] = json!(false);
        let linux = &mut spec["linux"];
        linux["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        linux["gidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    });
    let open = sandbox.start(sandbox.shell(&format!(
        "chmod 755 {} {}; chown -R 100000:100000 {}",
        sandbox.directory().display(),
        bundle.path.display(),
        bundle.path.join("rootfs").display()
    )));
    open.finish().ok();
    let ran = bundle.run("one");
    assert_eq!(ran.lines()[0], "0", "{ran}");
    assert_eq!(ran.lines()[1].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "1000"], "{ran}");
    assert_eq!(ran.lines()[2..], ["0", "fine"], "{ran}");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(bundle.path.join("rootfs/mine")).unwrap().uid(), 100_000);
}

#[test]
fn filters_answer_and_notify_as_the_specification_says() {
    let Some(sandbox) = sandbox() else { return };
    let socket = sandbox.directory().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, "mkdir /tmp/x; chmod 700 /tmp; grep Seccomp: /proc/self/status");
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                {"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"},
            ],
            "listenerPath": socket, "listenerMetadata": "data",
        });
    });
    bundle.run("one").complains("No space left on device").says("Seccomp:\t2");
    let (stream, _) = listener.accept().unwrap();
    let (text, descriptor) = receive_from(&stream);
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&state["fds"], &state["metadata"], &state["state"]["id"]),
        (&json!(["seccompFd"]), &json!("data"), &json!("one"))
    );
    let link =
        fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptor))).unwrap();
    assert_eq!(link, Path::new("anon_inode:seccomp notify"));
}

#[test]
fn a_filter_that_is_older_than_a_call_does_not_keep_a_program_from_being_found() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, "echo runs");
        // With privileges to gain, the filter has to come first, and the search for the program is under it.
        spec["process"]["noNewPrivileges"] = json!(false);
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["faccessat2"], "action": "SCMP_ACT_ERRNO"}],
        });
    });
    bundle.run("one").ok().prints("runs\n");
    let bundle = bundle.with(|spec| spec["process"]["args"] = json!(["/etc/passwd"]));
    bundle.runtime(&["run", "--bundle", bundle.name(), "two"]).fails(1).complains("permission denied");
}

#[test]
fn mounts_in_the_hosts_namespace_or_anothers_are_seen_in_the_container_alone() {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(15)) {
        eprintln!("skipped: Linux {release} mounts nothing on what is not mounted itself; 6.15 does");
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        script(
            spec,
            "readlink /proc/self/ns/mnt; ls /dev/null /dev/pts/ptmx; ls /; echo ready; exec tail -f /dev/null",
        );
    });
    let without = |spec: &mut Value, kind: &str| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != kind);
    };
    let seen = |script: &str| bundle.shell(script).ok().stdout.trim().to_owned();
    let mounts = || seen("cat /proc/self/mountinfo");
    let before = mounts();
    let mut other = waiting(&sandbox, "unshare --mount");
    let others = format!("/proc/{}/ns/mnt", other.said().split(' ').next().unwrap());
    for path in [None, Some(&others)] {
        let namespace = seen(&format!("readlink {}", path.map_or("/proc/self/ns/mnt", |path| path)));
        let bundle = bundle.with(|spec| {
            without(spec, "mount");
            if let Some(path) = path {
                let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.push(json!({"type": "mount", "path": path}));
            }
        });
        bundle.create("two", "").ok();
        bundle.runtime(&["start", "two"]).ok();
        bundle.says("two", "ready");
        let said = bundle.said("two");
        assert!(said.starts_with(&namespace), "{said}");
        assert!(said.contains("/dev/null\n") && said.contains("/dev/pts/ptmx\n"), "{said}");
        bundle.runtime(&["exec", "two", "ls", bundle.name()]).fails(1).complains("No such file");
        bundle.runtime(&["exec", "two", "readlink", "/proc/self/ns/mnt"]).ok().says(&namespace);
        assert_eq!(mounts(), before);
        bundle.runtime(&["delete", "--force", "two"]).ok();
    }
    other.close_input();
    other.finish().ok();
}

#[test]
fn a_user_namespace_is_joined_by_path() {
    let Some(sandbox) = sandbox() else { return };
    let bundle =
        Bundle::new(&sandbox, |spec| script(spec, "cat /proc/self/uid_map; readlink /proc/self/ns/user"));
    let mut other = waiting(&sandbox, "unshare --user --map-root-user");
    let path = format!("/proc/{}/ns/user", other.said().split(' ').next().unwrap());
    let bundle = bundle.with(|spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user", "path": path}));
    });
    let ran = bundle.run("two");
    assert_eq!(ran.lines()[0].split_whitespace().collect::<Vec<_>>(), ["0", "0", "1"], "{ran}");
    bundle.shell(&format!("readlink {path}")).ok().prints(&format!("{}\n", ran.lines()[1]));
    other.close_input();
    other.finish().ok();
}

#[test]
fn clocks_and_scheduling_are_the_containers_own() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, "cat /proc/uptime; cut -d' ' -f19 /proc/self/stat; uname -m; ionice");
        spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
        spec["linux"]["personality"] = json!({"domain": "LINUX32"});
        spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000}});
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
    });
    let ran = bundle.run("one");
    let uptime: f64 = ran.lines()[0].split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > 1e9, "{ran}");
    assert_eq!(ran.lines()[1], "5", "{ran}");
    assert!(["i686", "armv8l"].contains(&ran.lines()[2]), "{ran}");
    ran.says("idle");
}

#[test]
fn a_cgroup_may_have_processes_but_not_stand_still() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| script(spec, "exec tail -f /dev/null"));
    bundle.create("one", "").ok();
    bundle.runtime(&["start", "one"]).ok();
    let bundle = bundle.with(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/one", sandbox.cgroup()));
        script(spec, "echo shares");
    });
    bundle
        .runtime(&["run", "--bundle", bundle.name(), "two"])
        .ok()
        .prints("shares\n")
        .complains("is not empty");
    assert_eq!(bundle.state("one")["status"], "running");
    bundle.with(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/one", sandbox.cgroup()));
        spec["process"]["args"] = json!(["nope"]);
    });
    bundle.runtime(&["run", "--bundle", bundle.name(), "two"]).fails(1).complains("nope");
    assert_eq!(bundle.state("one")["status"], "running", "what fails beside it does not end it");
    bundle.runtime(&["pause", "one"]).ok();
    bundle.runtime(&["run", "--bundle", bundle.name(), "two"]).fails(1).complains("unexpectedly frozen");
    bundle.runtime(&["delete", "--force", "one"]).ok();
}

#[test]
fn a_root_that_is_moved_to_leaves_no_kernel_file_system_of_the_hosts_behind() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        spec["process"]["args"] =
            json!(["unshare", "-mrpf", "sh", "-c", "mount -t proc none /proc && echo bare"]);
        for set in ["bounding", "permitted"] {
            spec["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SETFCAP"));
        }
    });
    let ran = bundle.runtime(&["run", "--no-pivot", "--bundle", bundle.name(), "one"]);
    ran.fails(1).prints("").complains("ermission denied");
}

#[test]
fn devices_are_read_only_once_they_are_there() {
    let Some(sandbox) = sandbox() else { return };
    let bundle = Bundle::new(&sandbox, |spec| {
        script(spec, "ls /dev/null /dev/pts/ptmx /here; touch /dev/x");
        let mounts = spec["mounts"].as_array_mut().unwrap();
        let devices = mounts.iter_mut().find(|mount| mount["destination"] == "/dev").unwrap();
        devices["options"].as_array_mut().unwrap().push(json!("ro"));
        // A hook in the container's namespaces is at the container's root.
        spec["root"]["readonly"] = json!(false);
        spec["hooks"] =
            json!({"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "touch ./here"]}]});
    });
    let ran = bundle.run("one");
    ran.prints("/dev/null\n/dev/pts/ptmx\n/here\n").complains("/dev/x: Read-only");
}

/// A process that `command` starts, which stays until its input ends, and says its number at first.
fn waiting(sandbox: &Sandbox, command: &str) -> Process {
    let mut shell = sandbox.shell(&format!("exec {command} sh -c 'echo $$ is there; exec cat'"));
    shell.stdin(Stdio::piped());
    let mut process = sandbox.start(shell);
    process.wait_for("is there");
    process
}

/// A bundle with busybox for its root, and the state directory of a runtime.
struct Bundle<'a> {
    sandbox: &'a Sandbox,
    path: PathBuf,
    root: PathBuf,
    spec: Value,
}

impl<'a> Bundle<'a> {
    /// The one of `runtime spec`, without a terminal, and changed.
    fn new(sandbox: &'a Sandbox, change: impl FnOnce(&mut Value)) -> Bundle<'a> {
        let path = sandbox.directory().join("bundle");
        fs::create_dir_all(path.join("rootfs")).unwrap();
        let unpack = "\"$SAMPAN\" create --name source busybox >/dev/null && \"$SAMPAN\" export source | tar -x -C bundle/rootfs && \
                      \"$SAMPAN\" rm source >/dev/null && \"$SAMPAN\" runtime spec --bundle bundle";
        let mut command = sandbox.shell(unpack);
        command.current_dir(sandbox.directory());
        sandbox.start(command).finish().ok();
        let mut spec: Value = serde_json::from_slice(&fs::read(path.join("config.json")).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        // Where the sandbox looks for what is left behind.
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/one", sandbox.cgroup()));
        change(&mut spec);
        let bundle = Bundle { sandbox, path, root: sandbox.directory().join("runtime"), spec };
        bundle.write();
        bundle
    }

    /// The same bundle with another specification.
    fn with(&self, change: impl FnOnce(&mut Value)) -> Bundle<'a> {
        let (path, root, mut spec) = (self.path.clone(), self.root.clone(), self.spec.clone());
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/two", self.sandbox.cgroup()));
        change(&mut spec);
        let bundle = Bundle { sandbox: self.sandbox, path, root, spec };
        bundle.write();
        bundle
    }

    fn write(&self) {
        fs::write(self.path.join("config.json"), self.spec.to_string()).unwrap();
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// A command of the runtime.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let all = ["runtime", "--root", self.root.to_str().unwrap()].into_iter().chain(words.iter().copied());
        all.map(str::to_owned).collect()
    }

    #[track_caller]
    fn runtime(&self, words: &[&str]) -> Outcome {
        self.sandbox.sampan(self.words(words))
    }

    /// Runs a container in the foreground, which has to succeed or at least to tell.
    #[track_caller]
    fn run(&self, id: &str) -> Outcome {
        let ran = self.runtime(&["run", "--bundle", self.name(), id]);
        assert!(!ran.stdout.is_empty(), "{ran}");
        ran
    }

    /// Creates a container whose output goes to a file.
    #[track_caller]
    fn create(&self, id: &str, options: &str) -> Outcome {
        self.shell(&self.detached("create", id, options))
    }

    fn detached(&self, command: &str, id: &str, options: &str) -> String {
        format!(
            "exec \"$SAMPAN\" runtime --root {} {command} --bundle {} {options} {id} >output-{id} 2>&1",
            self.root.display(),
            self.path.display()
        )
    }

    /// A command that leaves a process behind, whose output nobody wants.
    #[track_caller]
    fn detach(&self, words: &str) -> Outcome {
        self.shell(&format!("exec \"$SAMPAN\" runtime --root {} {words} >detached 2>&1", self.root.display()))
    }

    #[track_caller]
    fn shell(&self, script: &str) -> Outcome {
        let mut command = self.sandbox.shell(script);
        command.current_dir(self.sandbox.directory());
        self.sandbox.start(command).finish()
    }

    #[track_caller]
    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.runtime(&["state", id]).ok().stdout).unwrap()
    }

    /// What a created container has said.
    fn said(&self, id: &str) -> String {
        fs::read_to_string(self.sandbox.directory().join(format!("output-{id}"))).unwrap()
    }

    /// Waits until it has said this.
    fn says(&self, id: &str, text: &str) {
        eventually(text, || if self.said(id).contains(text) { Ok(()) } else { Err(self.said(id)) });
    }

    /// A file of the container's cgroup, from whichever tree has it.
    fn cgroup_file(&self, id: &str, file: &str) -> String {
        let path = Path::new(self.sandbox.cgroup()).join(id).join(file);
        let trees =
            ["/sys/fs/cgroup".into(), Path::new("/sys/fs/cgroup").join(file.split('.').next().unwrap())];
        let found = trees.iter().find_map(|tree| fs::read_to_string(tree.join(&path)).ok());
        found.unwrap_or_else(|| panic!("no {}", path.display())).trim().to_owned()
    }
}

/// Has the process be a shell script.
fn script(spec: &mut Value, script: &str) {
    spec["process"]["args"] = json!(["sh", "-c", script]);
}

/// Puts the fields of `change` into `into`, at any depth.
fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

/// The terminal that comes through `listener`.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().unwrap();
    receive_from(&stream).1
}

fn receive_from(stream: &UnixStream) -> (String, OwnedFd) {
    let mut bytes = vec![0; 64 * 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    );
    bytes.truncate(received.unwrap().bytes);
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    (String::from_utf8(bytes).unwrap(), descriptors.next().unwrap().next().unwrap())
}
