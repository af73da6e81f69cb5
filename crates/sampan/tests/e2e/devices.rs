//! `run --device` and `--gpus` by names of the Container Device Interface.

use std::{fs, path::Path};

use serde_json::{Value, json};
use testkit::{Outcome, Sandbox, base_image};

use crate::{faults::kill_the_monitor_of, sandbox};

/// Runs a container on a host that has these specifications: file names and texts.
fn run(sandbox: &Sandbox, specifications: &[(&str, &str)], options: &str, script: &str) -> Outcome {
    run_kept(sandbox, specifications, &format!("--rm {options}"), script)
}

/// The same for one that stays.
fn run_kept(sandbox: &Sandbox, specifications: &[(&str, &str)], options: &str, script: &str) -> Outcome {
    let copies = specifications.iter().map(|(name, text)| {
        let file = sandbox.file(name, text);
        format!("cp {file} /run/cdi/; ")
    });
    let copies: String = copies.collect();
    // A /run of its own: what the host has there is not for tests to change.
    let host = format!(
        "mount -t tmpfs none /run && mkdir /run/cdi && {copies} exec $SAMPAN run {options} busybox sh -c '{script}'"
    );
    let mut command = sandbox.program_named("/usr/bin/unshare".as_ref());
    command.args(["--mount", "/bin/sh", "-c", &host]).env("SAMPAN", crate::PROGRAM);
    sandbox.start(command).finish()
}

const THINGS: &str = r#"
cdiVersion: "0.7.0"
kind: vendor.example/thing
containerEdits:
  env:
  - THING=1
devices:
- name: zero
  containerEdits:
    deviceNodes:
    - path: /dev/thing
      hostPath: /dev/zero
      permissions: r
    mounts:
    - hostPath: /etc
      containerPath: /of-the-host
      options: [ro, rbind]
    additionalGids: [4242]
- name: never
  containerEdits:
    hooks:
    - hookName: sometimes
      path: /bin/true
- name: hooked
  containerEdits:
    hooks:
    - hookName: createContainer
      path: /bin/sh
      args: [sh, -c, "echo $WORD > $(sed 's/.*\"bundle\":\"\\([^\"]*\\).*/\\1/')/rootfs/by-the-vendor"]
      env: [WORD=made, "PATH=/usr/bin:/bin"]
- name: broken
  containerEdits:
    hooks:
    - hookName: createContainer
      path: /bin/false
"#;

const PROCESSORS: &str = r#"{
    "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
    "devices": [
        { "name": "0", "containerEdits": { "env": ["GPU_0=1"] } },
        { "name": "1", "containerEdits": { "env": ["GPU_1=1"] } },
        { "name": "all", "containerEdits": { "env": ["GPU_ALL=1"] } }
    ]
}"#;

#[test]
fn a_device_is_given_as_its_vendor_says() {
    let Some(sandbox) = sandbox() else { return };
    let files = [("things.yaml", THINGS)];
    let script = "echo $THING; head -c 2 /dev/thing | od -An -tx1; test -e /of-the-host/passwd && echo there; id -G | grep -o 4242";
    run(&sandbox, &files, "--device vendor.example/thing=zero", script)
        .ok()
        .prints("1\n 00 00\nthere\n4242\n");
    run(&sandbox, &files, "--device vendor.example/thing=nosuch", "true").fails(125).complains(
        "Error response from daemon: CDI device injection failed: unresolvable CDI devices vendor.example/thing=nosuch\n",
    );
    run(&sandbox, &files, "--device vendor.example/thing=hooked", "cat /by-the-vendor").ok().prints("made\n");
    run(&sandbox, &files, "--device vendor.example/thing=broken", "true")
        .fails(125)
        .complains("error running createContainer hook #0: exit status 1");
    run(&sandbox, &files, "--device vendor.example/thing=never", "true").fails(125).complains(
        "CDI device injection failed: vendor.example/thing=never has a hook of no moment: \"sometimes\"",
    );
}

/// A device whose hooks write down what they are told, each a line with its name; `broken` adds one that fails.
fn traced(trace: &str, broken: &str) -> String {
    let outside = |moment: &str| {
        let script = format!("read state; echo {moment} $state >> {trace}");
        json!({"hookName": moment, "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 60})
    };
    let inside = "read state; echo $state > /started";
    let mut hooks: Vec<_> =
        ["prestart", "createRuntime", "createContainer", "poststart", "poststop"].map(outside).into();
    hooks.push(json!({"hookName": "startContainer", "path": "/bin/sh", "args": ["sh", "-c", inside]}));
    if !broken.is_empty() {
        let script = "echo no >&2; exit 3";
        hooks.push(json!({"hookName": broken, "path": "/bin/sh", "args": ["sh", "-c", script]}));
    }
    let device = json!({"name": "a", "containerEdits": {"hooks": hooks}});
    json!({"cdiVersion": "0.7.0", "kind": "vendor.example/traced", "devices": [device]}).to_string()
}

/// The moments in the file `trace`, each with the status that the container was said to have.
fn moments(trace: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(trace).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let (moment, state) = line.split_once(' ').unwrap();
        let state: Value = serde_json::from_str(state).unwrap();
        (moment.to_owned(), state["status"].as_str().unwrap().to_owned())
    });
    lines.collect()
}

fn check(trace: &Path, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(moments(trace), expected);
    fs::remove_file(trace).unwrap();
}

const MAKING: [(&str, &str); 3] =
    [("prestart", "creating"), ("createRuntime", "creating"), ("createContainer", "creating")];
const WHOLE: [(&str, &str); 5] =
    [MAKING[0], MAKING[1], MAKING[2], ("poststart", "running"), ("poststop", "stopped")];

#[test]
fn hooks_are_run_at_all_moments_of_a_containers_life() {
    let Some(sandbox) = sandbox() else { return };
    let trace = sandbox.directory().join("trace");
    let text = traced(trace.to_str().unwrap(), "");
    let files = [("traced.json", &*text)];
    let device = "--device vendor.example/traced=a";
    run(&sandbox, &files, device, "cat /started").ok().says("\"status\":\"created\"");
    check(&trace, &WHOLE);
    run(&sandbox, &files, &format!("--init {device}"), "cat /started").ok().says("\"status\":\"created\"");
    check(&trace, &WHOLE);
    // Whatever becomes of the start, what has been begun is ended.
    run(&sandbox, &files, device, "exec /nosuch").fails(127);
    check(&trace, &WHOLE);
}

#[test]
fn a_hook_that_fails_keeps_the_container_from_running() {
    let Some(sandbox) = sandbox() else { return };
    let trace = sandbox.directory().join("trace");
    let stop = ("poststop", "stopped");
    for (moment, seen) in [
        ("prestart", vec![MAKING[0], stop]),
        ("createRuntime", vec![MAKING[0], MAKING[1], stop]),
        ("createContainer", vec![MAKING[0], MAKING[1], MAKING[2], stop]),
        ("startContainer", vec![MAKING[0], MAKING[1], MAKING[2], stop]),
        ("poststart", WHOLE.to_vec()),
    ] {
        let text = traced(trace.to_str().unwrap(), moment);
        run(&sandbox, &[("traced.json", &text)], "--device vendor.example/traced=a", "sleep 600")
            .fails(125)
            .complains(&format!("error running {moment} hook #1: exit status 3, stdout: , stderr: no"));
        check(&trace, &seen);
    }
}

#[test]
fn the_last_hooks_are_run_once_whoever_notices_the_end() {
    let Some(sandbox) = sandbox() else { return };
    let trace = sandbox.directory().join("trace");
    let text = traced(trace.to_str().unwrap(), "poststop");
    let files = [("traced.json", &*text)];
    let device = "-d --name NAME --device vendor.example/traced=a";
    run_kept(&sandbox, &files, &device.replace("NAME", "one"), "sleep 600").ok();
    sandbox.sampan(["kill", "one"]).ok();
    sandbox.sampan(["wait", "one"]).ok();
    check(&trace, &WHOLE);
    sandbox
        .sampan(["inspect", "--format", "{{.State.Error}}", "one"])
        .ok()
        .says("error running poststop hook #1: exit status 3");

    run_kept(&sandbox, &files, &device.replace("NAME", "two"), "sleep 600").ok();
    kill_the_monitor_of(&sandbox, "two");
    sandbox.sampan(["ps", "-a"]).ok();
    sandbox.sampan(["ps", "-a"]).ok();
    check(&trace, &WHOLE);
    sandbox.sampan(["rm", "one", "two"]).ok();
}

#[test]
fn graphics_processors_are_devices_of_their_vendor() {
    let Some(sandbox) = sandbox() else { return };
    let files = [("nvidia.json", PROCESSORS)];
    let gpus = |option: &str| run(&sandbox, &files, option, "env | grep ^GPU | sort");
    gpus("--gpus all").ok().prints("GPU_ALL=1\n");
    gpus("--gpus 2").ok().prints("GPU_0=1\nGPU_1=1\n");
    gpus("--gpus device=1").ok().prints("GPU_1=1\n");
    gpus("--gpus 3").fails(125).complains("unresolvable CDI devices nvidia.com/gpu=2\n");
    let text = "could not select device driver \"\" with capabilities: [[gpu]]\n";
    run(&sandbox, &[("things.yaml", THINGS)], "--gpus all", "true").fails(125).complains(text);
}

#[test]
fn a_container_that_fills_the_disk_before_it_runs_does_so_all_the_same() {
    let Some(sandbox) = Sandbox::empty(crate::PROGRAM) else { return };
    let Some(archive) = base_image("busybox:latest") else { return };
    let filling = r#"{"cdiVersion": "0.7.0", "kind": "vendor.example/disk", "devices": [
        {"name": "full", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/bin/sh",
            "args": ["sh", "-c", "cd ${ROOT} && ! dd if=/dev/zero of=fill bs=4k 2> /dev/null"], "env": ["PATH=/usr/bin:/bin"]
        }]}}]}"#;
    let filling = filling.replace("${ROOT}", sandbox.root().to_str().unwrap());
    let script = format!(
        "mount -t tmpfs none /run && mkdir /run/cdi && cp {} /run/cdi/disk.json
         mkdir $SAMPAN_ROOT && mount -t tmpfs -o size=64m none $SAMPAN_ROOT
         $SAMPAN load -q -i {} > /dev/null
         run() {{ $SAMPAN run --network none --device vendor.example/disk=full \"$@\"; echo $?; rm $SAMPAN_ROOT/fill; }}
         run --rm busybox sh -c 'echo it runs; exit 3'
         run --name kept --health-cmd true busybox sh -c 'exit 4'
         $SAMPAN inspect --format '{{{{.State.Status}}}} {{{{.State.ExitCode}}}}' kept
         $SAMPAN rm kept",
        sandbox.file("disk.json", &filling),
        archive.display()
    );
    let mut command = sandbox.program_named("/usr/bin/unshare".as_ref());
    command.args(["--mount", "/bin/sh", "-c", &script]).env("SAMPAN", crate::PROGRAM);
    command.current_dir(sandbox.directory());
    sandbox.start(command).finish().ok().prints("it runs\n3\n4\nexited 4\nkept\n");
}
