//! `run --device` and `--gpus` by names of the Container Device Interface.

use testkit::{Outcome, Sandbox};

use crate::sandbox;

/// Runs a container on a host that has these specifications: file names and texts.
fn run(sandbox: &Sandbox, specifications: &[(&str, &str)], options: &str, script: &str) -> Outcome {
    let copies = specifications.iter().map(|(name, text)| {
        let file = sandbox.file(name, text);
        format!("cp {file} /run/cdi/; ")
    });
    let copies: String = copies.collect();
    // A /run of its own: what the host has there is not for tests to change.
    let host = format!(
        "mount -t tmpfs none /run && mkdir /run/cdi && {copies} exec $SAMPAN run --rm {options} busybox sh -c '{script}'"
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
- name: late
  containerEdits:
    hooks:
    - hookName: poststop
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
    run(&sandbox, &files, "--device vendor.example/thing=late", "true")
        .fails(125)
        .complains("which are not run");
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
