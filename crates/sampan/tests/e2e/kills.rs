//! Commands that change the store, killed at any instant: what is left is sound, and the next command succeeds.
//!
//! `SAMPAN_KILLS` says how many are killed, and `SAMPAN_SEED` chooses other instants than those of every run.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use testkit::{Outcome, Registry, Sandbox};

use crate::{push::image, sandbox};

/// A command that is killed, and what makes it have something to do.
struct Victim {
    prepare: Vec<Vec<String>>,
    /// With `{}` for a number that is new each time.
    command: Vec<String>,
    /// How long it takes if it is left alone.
    usual: Duration,
}

#[test]
fn the_store_is_sound_whenever_a_command_is_killed() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let victims = victims(&sandbox, &registry);
    let kills = variable("SAMPAN_KILLS").unwrap_or(KILLS);
    let mut random: u64 = variable("SAMPAN_SEED").unwrap_or(7);
    let mut in_time = 0;
    for kill in 0..kills {
        let victim = &victims[kill as usize % victims.len()];
        victim.prepare(&sandbox, kill);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Anywhere in the command's time, and some way beyond.
        let share = 1.2 * (random >> 32) as f64 / f64::from(u32::MAX);
        let command = numbered(&victim.command, kill);
        let killed = sandbox.start_sampan(&command).kill_after(victim.usual.mul_f64(share));
        in_time += u64::from(killed.code == 137);
        check(&sandbox, kill, &command, &killed);
    }
    eprintln!("{in_time} of {kills} were killed before they had ended");
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
    // A repository that has nothing yet, so that there is something to send.
    let other = format!("{}/hello-{{}}:1", registry.host());
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
        (vec![words(&["builder", "prune", "-af"])], words(&["build", "-t", "built", context])),
        (vec![words(&["build", "-t", "built", context])], words(&["builder", "prune", "-af"])),
        (vec![gone.clone()], words(&["pull", &name])),
        (vec![gone.clone()], words(&["load", "-i", archive])),
        (vec![there.clone()], words(&["rmi", "-f", &name])),
        (vec![there.clone()], words(&["image", "prune", "--all", "--force"])),
        (vec![gone, there.clone(), words(&["tag", &name, &other])], words(&["push", &other])),
        (vec![there], words(&["tag", &name, &second])),
    ];
    let timed = list.into_iter().enumerate().map(|(number, (prepare, command))| {
        let mut victim = Victim { prepare, command, usual: Duration::ZERO };
        // No kill has such a number.
        let number = u32::MAX - number as u32;
        victim.prepare(sandbox, number);
        let before = Instant::now();
        sandbox.sampan(numbered(&victim.command, number)).ok();
        victim.usual = before.elapsed();
        victim
    });
    timed.collect()
}

impl Victim {
    #[track_caller]
    fn prepare(&self, sandbox: &Sandbox, number: u32) {
        self.prepare.iter().for_each(|command| drop(sandbox.sampan(numbered(command, number)).ok()));
    }
}

/// A command with its number.
fn numbered(command: &[String], number: u32) -> Vec<String> {
    command.iter().map(|word| word.replace("{}", &number.to_string())).collect()
}

/// Expects that all there is, is sound.
#[track_caller]
fn check(sandbox: &Sandbox, kill: u32, command: &[String], killed: &Outcome) {
    let verified = sandbox.sampan(["image", "verify"]);
    assert!(verified.code == 0, "kill {kill} of {command:?}\n{killed}\n{verified}");
    let listed = sandbox.sampan(["images", "--format", "{{.ID}}"]).ok();
    for id in listed.lines() {
        sandbox.sampan(["image", "inspect", id]).ok();
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// How many commands are killed, unless SAMPAN_KILLS says otherwise.
const KILLS: u32 = 64;
