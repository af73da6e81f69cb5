//! Many who do different things to one image at the same time.

use testkit::Registry;

use crate::{push::image, sandbox};

#[test]
fn whoever_loses_a_race_is_told_so_and_the_store_stays_sound() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "crowd:1");
    let other = format!("{}/crowd:2", registry.host());
    sandbox.sampan(["push", "-q", &name]).ok();
    let commands = [
        format!("pull -q {name}"),
        format!("pull -q {name}"),
        format!("push -q {name}"),
        format!("tag {name} {other}"),
        format!("push -q {other}"),
        format!("rmi {name}"),
        format!("rmi -f {other}"),
        "image prune --force".to_owned(),
        format!("run --rm --pull never {name}"),
        format!("image inspect {name}"),
        "images".to_owned(),
    ];
    let loops = commands.iter().map(|command| {
        let script = format!(
            "end=$(( $(date +%s) + {SECONDS} )); \
             while [ $(date +%s) -lt $end ]; do $SAMPAN {command} >/dev/null && echo done; done; true"
        );
        let mut shell = sandbox.shell(&script);
        shell.env("SAMPAN_HINTS", "0");
        (command, sandbox.start(shell))
    });
    let loops: Vec<_> = loops.collect();
    for (command, process) in loops {
        let outcome = process.finish().ok();
        let strange: Vec<_> = outcome.stderr.lines().filter(|line| !is_a_lost_race(line)).collect();
        assert!(strange.is_empty(), "{command}: {strange:?}");
        assert!(outcome.stdout.contains("done"), "{command} has never succeeded\n{outcome}");
    }
    sandbox.sampan(["image", "verify"]).ok();
    sandbox.sampan(["pull", "-q", &name]).ok();
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
}

/// Whether a failure says that somebody else was faster.
fn is_a_lost_race(line: &str) -> bool {
    let losses = [
        "No such image: ",
        "An image does not exist locally with the tag: ",
        "conflict: unable to ",
        "Run 'sampan run --help'",
    ];
    line.is_empty() || losses.iter().any(|loss| line.contains(loss))
}

const SECONDS: u32 = 4;
