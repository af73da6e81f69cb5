//! Prints what this crate adds to a container's start: `cargo run --release -p network --example
//! attach_cost`, as root. Works in a network namespace of its own.

use std::{
    error::Error,
    fs::File,
    net::SocketAddrV4,
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use network::{Attachment, Bridge, Firewall, Forward, InterfaceName, Mac, attach};
use sys::process::{Namespaces, unshare};
use types::{ContainerId, Protocol};

fn main() -> Result<(), Box<dyn Error>> {
    namespace()?;
    let bridge = Bridge {
        name: "cost0".parse()?,
        subnet: "172.30.0.0/16".parse()?,
        gateway: "172.30.0.1".parse()?,
        internal: false,
        icc: true,
        masquerade: true,
        mtu: None,
        ipv6: None,
    };
    let firewall = Firewall::open("cost")?;
    let first = timed(|| bridge.ensure(&firewall))?;
    println!("{:<42} {first:>10.1?}", "bridge, the first time");

    const ROUNDS: u8 = 50;
    let mut costs = [const { Vec::new() }; 5];
    let mut alive = Vec::new();
    for round in 0..ROUNDS {
        let netns = thread::spawn(namespace).join().expect("the thread does not panic")?;
        let address = [172, 30, 1, round].into();
        let id = ContainerId::from_random([round; 32]);
        let attachment = Attachment {
            bridge: bridge.name.clone(),
            wiring: network::Wiring::Bridge,
            host_interface: InterfaceName::veth(&id, 0),
            interface: InterfaceName::eth(0),
            address,
            prefix: 16,
            gateway: Some(bridge.gateway),
            mac: Mac::of(address),
            mtu: None,
            isolated: false,
            ipv6: None,
            link_local: Vec::new(),
        };
        let forward = Forward {
            host_address: None,
            host_port: 8000 + u16::from(round),
            protocol: Protocol::Tcp,
            container: SocketAddrV4::new(address, 80).into(),
        };
        costs[0].push(timed(|| Firewall::open("cost").and_then(|firewall| bridge.ensure(&firewall)))?);
        costs[1].push(timed(|| attach(netns.as_fd(), &[attachment]))?);
        costs[2].push(timed(|| Firewall::open("cost").and_then(|firewall| firewall.publish(&[forward])))?);
        costs[3].push(timed(|| network::dns::redirect(netns.as_fd(), 1053, 1053))?);
        // Kept: taking a namespace down, or an element away, makes whoever comes next wait for RCU.
        alive.push((netns, forward));
    }
    for (_, forward) in &alive {
        costs[4].push(timed(|| firewall.unpublish(std::slice::from_ref(forward)))?);
    }
    let names =
        ["bridge, when it is there", "attach", "publish a port", "redirect name queries", "unpublish a port"];
    for (name, mut costs) in names.into_iter().zip(costs) {
        costs.sort();
        println!("{name:<28} min {:>8.1?} median {:>8.1?}", costs[0], costs[costs.len() / 2]);
    }
    Ok(())
}

fn timed<E>(work: impl FnOnce() -> Result<(), E>) -> Result<Duration, E> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// Puts the calling thread into a new network namespace.
fn namespace() -> std::io::Result<File> {
    unshare(Namespaces::NETWORK)?;
    File::open("/proc/thread-self/ns/net")
}
