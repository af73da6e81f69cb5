//! Many who do different things to one image at the same time.

use testkit::{Process, Registry, Sandbox};

use crate::{push::image, sandbox};

#[test]
fn whoever_loses_a_race_is_told_so_and_the_store_stays_sound() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "crowd:1");
    let other = format!("{}/crowd:2", registry.host());
    let archive = format!("{}/crowd.tar", sandbox.directory().display());
    sandbox.sampan(["push", "-q", &name]).ok();
    sandbox.sampan(["save", "-o", &archive, &name]).ok();
    let sure = [
        format!("pull -q {name}"),
        format!("pull -q {name}"),
        format!("load -q -i {archive}"),
        format!("manifest inspect {name}"),
        "image prune --force".to_owned(),
        "image prune --all --force".to_owned(),
        "image verify -q".to_owned(),
        "images".to_owned(),
        "system df -v".to_owned(),
    ];
    let unsure = [
        format!("tag {name} {other}"),
        format!("push -q {name}"),
        format!("push -q {other}"),
        format!("rmi {name}"),
        format!("rmi -f {other}"),
        format!("save -o {archive}.copy {name}"),
        format!("image inspect {name}"),
        format!("run --rm --pull never {name}"),
        format!("create --name box --pull never {name}"),
        "rm box".to_owned(),
    ];
    let [sure, unsure] = [&sure[..], &unsure].map(|commands| {
        commands.iter().map(|command| (command, again_and_again(&sandbox, command))).collect::<Vec<_>>()
    });
    for (command, process) in sure {
        let outcome = process.finish().ok();
        assert!(outcome.stderr.is_empty() && outcome.stdout.contains("done"), "{command}\n{outcome}");
    }
    for (command, process) in unsure {
        let outcome = process.finish().ok();
        let strange = outcome.stderr.lines().find(|line| !is_a_lost_race(line));
        assert_eq!(strange, None, "{command}");
    }
    sandbox.sampan(["image", "verify"]).ok();
    sandbox.sampan(["pull", "-q", &name]).ok();
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
}

/// Runs a command for some seconds, one after another; says "done" each time that it succeeds.
fn again_and_again(sandbox: &Sandbox, command: &str) -> Process {
    let mut script = sandbox.shell(&format!(
        "end=$(( $(date +%s) + {SECONDS} )); \
         while [ $(date +%s) -lt $end ]; do $SAMPAN {command} >/dev/null && echo done; done; true"
    ));
    script.env("SAMPAN_HINTS", "0");
    sandbox.start(script)
}

/// Whether a failure says that somebody else was faster.
fn is_a_lost_race(line: &str) -> bool {
    let losses = [
        "No such image: ",
        "No such container: box",
        "An image does not exist locally with the tag: ",
        "conflict: unable to ",
        "Conflict. The container name \"/box\" is already in use",
        "--help' for more information",
    ];
    line.is_empty() || losses.iter().any(|loss| line.contains(loss))
}

const SECONDS: u32 = 4;
