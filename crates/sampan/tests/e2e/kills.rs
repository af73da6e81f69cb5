//! Commands that change the store, killed at any instant: what is left is sound, and the next command succeeds.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use testkit::{Outcome, Registry, Sandbox};

use crate::{push::image, sandbox};

/// A command that is killed, and what makes it have something to do.
struct Victim {
    prepare: Vec<String>,
    command: Vec<String>,
    /// How long it takes if it is left alone.
    usual: Duration,
}

#[test]
fn the_store_is_sound_whenever_a_command_is_killed() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let victims = victims(&sandbox, &registry);
    let kills: usize = env::var("SAMPAN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    // Evenly over each command's time and some way beyond, so that each run does the same.
    for kill in 0..kills {
        let Victim { prepare, command, usual } = &victims[kill % victims.len()];
        if !prepare.is_empty() {
            sandbox.sampan(prepare).ok();
        }
        let round = (kill / victims.len()) as f64 / (kills / victims.len()).max(1) as f64;
        let killed = sandbox.start_sampan(command).kill_after(usual.mul_f64(1.2 * round));
        check(&sandbox, kill, command, &killed);
    }
    sandbox.sampan(["image", "prune", "--all", "--force"]).ok();
    sandbox.sampan(["builder", "prune", "--all", "--force"]).ok();
    for directory in ["blobs/sha256", "layers", "partial"] {
        let left: Vec<_> = fs::read_dir(sandbox.root().join(directory)).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(fs::read_dir(sandbox.root().join("leases")).unwrap().count(), 1, "the gate alone");
}

/// Each command that adds to the store or takes from it, with its usual time.
fn victims(sandbox: &Sandbox, registry: &Registry<'_>) -> Vec<Victim> {
    let words = |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
    let name = image(sandbox, &registry.host(), "hello:1");
    let second = format!("{}/hello:2", registry.host());
    let archive = sandbox.directory().join("hello.tar");
    let archive = archive.to_str().unwrap();
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["save", "-o", archive, &name]).ok();
    let gone = words(&["image", "prune", "--all", "--force"]);
    let there = words(&["load", "-q", "-i", archive]);
    let context = sandbox.directory().join("killed");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), format!("FROM {name}\nWORKDIR /a\nCOPY Dockerfile b\n")).unwrap();
    let context = context.to_str().unwrap();
    let list = [
        (words(&["builder", "prune", "-af"]), words(&["build", "-t", "built", context])),
        (words(&["build", "-t", "built", context]), words(&["builder", "prune", "-af"])),
        (gone.clone(), words(&["pull", &name])),
        (gone.clone(), words(&["load", "-i", archive])),
        (there.clone(), words(&["rmi", "-f", &name])),
        (there.clone(), words(&["image", "prune", "--all", "--force"])),
        (there.clone(), words(&["push", &name])),
        (there, words(&["tag", &name, &second])),
    ];
    let timed = list.into_iter().map(|(prepare, command)| {
        sandbox.sampan(&prepare).ok();
        let before = Instant::now();
        sandbox.sampan(&command).ok();
        Victim { prepare, command, usual: before.elapsed() }
    });
    timed.collect()
}

/// Expects that all there is, is sound.
#[track_caller]
fn check(sandbox: &Sandbox, kill: usize, command: &[String], killed: &Outcome) {
    let verified = sandbox.sampan(["image", "verify"]);
    assert!(verified.code == 0, "kill {kill} of {command:?}\n{killed}\n{verified}");
    let listed = sandbox.sampan(["images", "--format", "{{.ID}}"]).ok();
    for id in listed.lines() {
        sandbox.sampan(["image", "inspect", id]).ok();
    }
}

/// How many commands are killed, unless SAMPAN_KILLS says otherwise.
const KILLS: usize = 60;
