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
    sandbox.sampan(["save", "-o", &format!("{}/hello.tar", sandbox.directory().display()), &name]).ok();
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
        "image verify -q".to_owned(),
        "image prune --all --force".to_owned(),
        "system df -v".to_owned(),
        format!("save -o {}/saved.tar {name}", sandbox.directory().display()),
        format!("load -q -i {}/hello.tar", sandbox.directory().display()),
        format!("manifest inspect {name}"),
        format!("create --name box --pull never {name}"),
        "rm box".to_owned(),
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
        let mut seen: Vec<_> = outcome.stderr.lines().map(|l| l.chars().take(90).collect::<String>()).collect(); let n = seen.len(); seen.sort(); seen.dedup(); eprintln!("{command}: {} done, {n} failed: {seen:#?}", outcome.stdout.matches("done").count());
        eprintln!("STRANGE {strange:?}");

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

const SECONDS: u32 = 12;
