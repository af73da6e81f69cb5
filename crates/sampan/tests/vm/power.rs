//! Power cuts in the middle of commands: what was acknowledged is there afterwards, and nothing is half done.
//!
//! `SAMPAN_CUTS` says how many there are, and `SAMPAN_SEED` chooses other instants than those of every run.

mod round;
mod world;

use std::time::Duration;

use testkit::{
    Random,
    vm::{Ending, Machine, Manager},
};
use world::World;

use crate::{CLEAR, load_busybox, system, variable};

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let Some(system) = system() else { return };
    let disk = system.disk();
    let cuts = variable("SAMPAN_CUTS").unwrap_or(10);
    let seed = variable("SAMPAN_SEED").unwrap_or(7);
    let mut random = Random::from(seed);
    let mut world = World::default();

    let mut machine = Machine::boot(system, &disk, Manager::Init);
    load_busybox(&mut machine);
    let _ = machine.run(PREPARE).ok();
    let _ = machine.run(SERVE_REGISTRY).ok();
    // One round is left alone, to see how often it changes the disk.
    let before = disk.changes();
    assert_eq!(live(&mut world, &mut machine, 0, &mut random), Ending::Exited(0), "{}", world.told());
    let usual = disk.changes() - before;

    for cut in 1..=cuts {
        // Anywhere in the round, and some way beyond.
        let instant = random.below(usual as usize * 11 / 10) as u64;
        disk.lose_power_after(instant);
        let ending = live(&mut world, &mut machine, cut, &mut random);
        eprintln!("cut {cut} of {cuts}, after {instant} of some {usual} changes, in\n{}", world.told());
        assert!(matches!(ending, Ending::PowerLost | Ending::Exited(0)));
        machine.cut_power();
        disk.power_up(&mut random);
        machine = Machine::boot(system, &disk, Manager::Init);
        let _ = machine.run(SERVE_REGISTRY).ok();
        let faults = world.compare(&mut machine);
        assert!(faults.is_empty(), "after cut {cut} with SAMPAN_SEED={seed}\n{}", faults.join("\n"));
    }
    let _ = machine.run(CLEAR).ok().prints("");
    machine.power_off();
}

/// Has a machine carry out a round of commands, for as long as it has power.
fn live(world: &mut World, machine: &mut Machine, number: u32, random: &mut Random) -> Ending {
    let steps = round::shuffled(round::steps(world, number), random);
    let commands = steps.iter().enumerate().map(|(number, step)| {
        let command = &step.command;
        format!(
            "echo begin {number}; ({command}) >{SAID} 2>&1 || {{ cat {SAID}; exit 1; }}; echo end {number}\n"
        )
    });
    machine.watch(&commands.collect::<String>(), ROUND, |line| {
        let step = |number: &str| steps.get(number.parse::<usize>().ok()?);
        match line.split_once(' ').map(|(word, number)| (word, step(number))) {
            Some(("begin", Some(step))) => world.begin(step),
            Some(("end", Some(step))) => world.end(step),
            _ => world.hear(line),
        }
    })
}

/// What images are built of.
const PREPARE: &str = r#"
mkdir context
printf 'FROM busybox\nARG N\nRUN echo $N >/number\n' >context/Dockerfile
"#;

/// Starts a registry that has its images on the same disk, and waits until it listens.
const SERVE_REGISTRY: &str = r#"
sampan serve registry --listen 127.0.0.1:5000 --metrics-listen none --root /var/lib/registry >/run/registry 2>&1 &
for attempt in $(seq 100); do
    busybox wget -q -O /dev/null http://127.0.0.1:5000/v2/ 2>/dev/null && exit
    sleep 0.1
done
cat /run/registry
exit 1
"#;

/// Where a command's output waits, in memory.
const SAID: &str = "/run/said";

/// How long a round may take.
const ROUND: Duration = Duration::from_secs(300);
