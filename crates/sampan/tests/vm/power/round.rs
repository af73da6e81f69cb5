//! What is going on when power is cut: commands of every kind that changes the disk.

use std::collections::VecDeque;

use testkit::Random;

use super::world::{Kind, Thing, World};

/// A command, and what is true once it has succeeded.
pub struct Step {
    pub command: String,
    pub makes: Vec<Thing>,
    pub removes: Vec<Thing>,
}

/// Steps that have to follow one another.
pub type Chain = VecDeque<Step>;

/// The steps of a round: something of each kind is made, and what the rounds before have left is removed. All that a
/// round makes is called after its number, and holds it.
pub fn steps(world: &World, n: u32) -> Vec<Chain> {
    let copy = format!("127.0.0.1:5000/copy:{n}");
    let script = format!("echo {n} >/number && echo {n} | dd of=/data/number conv=fsync");
    let mut chains = vec![
        chain([
            make(
                format!("run --name run-{n} -v data-{n}:/data busybox sh -c '{script}'"),
                [Kind::Container.named(format!("run-{n}")), Kind::Volume.named(format!("data-{n}"))],
            ),
            make(format!("commit run-{n} committed:{n}"), [Kind::Image.named(format!("committed:{n}"))]),
        ]),
        chain([make(
            format!("build -q -t built:{n} --build-arg N={n} context"),
            [Kind::Image.named(format!("built:{n}"))],
        )]),
        chain([
            make(format!("build -q -t {copy} --build-arg N={n} context"), [Kind::Image.named(copy.clone())]),
            make(format!("push -q {copy}"), [Kind::Pushed.named(copy.clone())]),
            remove(format!("rmi {copy}"), Kind::Image.named(copy.clone())),
            make(format!("pull -q {copy}"), [Kind::Image.named(copy)]),
        ]),
        chain([make(format!("volume create made-{n}"), [Kind::Volume.named(format!("made-{n}"))])]),
        chain([make(format!("network create net-{n}"), [Kind::Network.named(format!("net-{n}"))])]),
    ];
    chains.extend(world.left().filter_map(|thing| removal(world, thing)));
    chains
}

/// What removes `thing`, unless something else does.
fn removal(world: &World, thing: &Thing) -> Option<Chain> {
    let name = &thing.name;
    let volume = |container: &str| Kind::Volume.named(container.replace("run", "data"));
    let steps = match thing.kind {
        Kind::Container => {
            let volume = volume(name);
            let last = remove(format!("volume rm {}", volume.name), volume);
            chain([remove(format!("rm {name}"), thing.clone()), last])
        }
        Kind::Volume
            if world.left().any(|other| other.kind == Kind::Container && volume(&other.name) == *thing) =>
        {
            return None;
        }
        Kind::Volume => chain([remove(format!("volume rm {name}"), thing.clone())]),
        Kind::Network => chain([remove(format!("network rm {name}"), thing.clone())]),
        Kind::Image => chain([remove(format!("rmi {name}"), thing.clone())]),
        // The registry keeps what it has.
        Kind::Pushed => return None,
    };
    Some(steps)
}

/// The steps of all chains, in some order in which each chain keeps its own.
pub fn shuffled(mut chains: Vec<Chain>, random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::new();
    while !chains.is_empty() {
        let chosen = random.below(chains.len());
        match chains[chosen].pop_front() {
            Some(step) => steps.push(step),
            None => drop(chains.swap_remove(chosen)),
        }
    }
    steps
}

fn chain<const N: usize>(steps: [Step; N]) -> Chain {
    Chain::from(steps)
}

fn make<const N: usize>(command: String, things: [Thing; N]) -> Step {
    Step { command: format!("sampan {command}"), makes: Vec::from(things), removes: Vec::new() }
}

fn remove(command: String, thing: Thing) -> Step {
    Step { command: format!("sampan {command}"), makes: Vec::new(), removes: vec![thing] }
}
