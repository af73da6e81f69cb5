//! The kernel's network, put to use in namespaces of its own.

#![allow(clippy::unwrap_used, reason = "what serves tests may panic as tests do")]

mod admission;
mod explained;
mod lab;
mod names;
mod relayed;

use std::{
    thread,
    time::{Duration, Instant},
};

use network::{Bridge, Firewall, HostLock, NetworkError};
use types::Protocol;

use lab::{HOST, Lab, Machine, bridge, can_run, forward};

const CLOSED: &str = "timed out";

#[test]
fn a_container_reaches_the_outside_under_the_hosts_address() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    lab.server.serve(7000);
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    assert_eq!(container.ask("10.9.0.1:7000"), HOST);
}

#[test]
fn containers_of_one_network_reach_each_other_and_no_other_network() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let (one, two) = (lab.host.connect(&lab.a, "172.30.0.2"), lab.host.connect(&lab.a, "172.30.0.3"));
    let other = lab.host.connect(&lab.b, "172.30.1.2");
    one.serve(80);
    assert_eq!(two.ask("172.30.0.2:80"), "172.30.0.3");
    assert_eq!(lab.host.ask("172.30.0.2:80"), "172.30.0.1");
    assert_eq!(other.ask("172.30.0.2:80"), CLOSED);
}

#[test]
fn a_published_port_is_reached_from_everywhere_by_the_hosts_addresses() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let (one, two) = (lab.host.connect(&lab.a, "172.30.0.2"), lab.host.connect(&lab.a, "172.30.0.3"));
    let other = lab.host.connect(&lab.b, "172.30.1.2");
    one.serve(80);
    lab.host.firewall().publish(&[forward("*:8080", "172.30.0.2:80", Protocol::Tcp)]).unwrap();
    for filter_bridged in bridged_packets_may_be_filtered(&lab.host) {
        filter_bridged();
        assert_eq!(
            lab.server.ask("10.9.0.2:8080"),
            "10.9.0.1",
            "from the LAN, with the client's own address"
        );
        assert_eq!(lab.host.ask("127.0.0.1:8080"), "172.30.0.1", "from the host's loopback");
        assert_eq!(lab.host.ask("10.9.0.2:8080"), "172.30.0.1", "from the host, by its own address");
        assert_eq!(other.ask("10.9.0.2:8080"), "172.30.0.1", "from another network");
        assert_eq!(two.ask("10.9.0.2:8080"), "172.30.0.1", "from the same network");
        assert_eq!(two.ask("172.30.0.1:8080"), "172.30.0.1", "by the gateway");
        assert_eq!(one.ask("10.9.0.2:8080"), "172.30.0.1", "from the container itself");
    }
}

/// What switches the firewall's view of bridged packets on and off, if this kernel can.
fn bridged_packets_may_be_filtered(host: &Machine) -> Vec<Box<dyn Fn() + '_>> {
    let path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if !host.inside(|| std::path::Path::new(path).exists()) {
        return vec![Box::new(|| {})];
    }
    let set = move |value: &'static str| -> Box<dyn Fn() + '_> {
        Box::new(move || host.inside(|| std::fs::write(path, value)).unwrap())
    };
    vec![set("1"), set("0")]
}

#[test]
fn a_published_udp_port_is_reached_too() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    container.serve_udp(53);
    lab.host.firewall().publish(&[forward("*:5353", "172.30.0.2:53", Protocol::Udp)]).unwrap();
    assert_eq!(lab.server.ask_udp("10.9.0.2:5353"), "10.9.0.1");
    assert_eq!(lab.host.ask_udp("127.0.0.1:5353"), "172.30.0.1");
}

#[test]
fn an_unpublished_port_is_closed_even_to_a_neighbour_that_routes_through_the_host() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    container.serve(80);
    container.serve(81);
    lab.host.firewall().publish(&[forward("*:8080", "172.30.0.2:80", Protocol::Tcp)]).unwrap();
    assert_eq!(lab.neighbour.ask("10.9.0.2:8080"), "10.9.0.3");
    assert_eq!(lab.neighbour.ask("172.30.0.2:81"), CLOSED);
    assert_eq!(lab.neighbour.ask("172.30.0.2:80"), CLOSED, "not by the container's own address either");
}

#[test]
fn a_port_published_on_loopback_is_the_hosts_alone() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    container.serve(80);
    lab.host.firewall().publish(&[forward("127.0.0.1:8080", "172.30.0.2:80", Protocol::Tcp)]).unwrap();
    assert_eq!(lab.host.ask("127.0.0.1:8080"), "172.30.0.1");
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "connection refused");
    assert_eq!(container.ask("172.30.0.1:8080"), "connection refused");
}

#[test]
fn an_internal_network_has_no_way_out_and_no_way_to_the_host() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let internal = Bridge { internal: true, ..bridge("br-i", "172.30.2.0/24") };
    lab.host.ensure(&internal);
    let (one, two) = (lab.host.connect(&internal, "172.30.2.2"), lab.host.connect(&internal, "172.30.2.3"));
    // A container with the right to change its routes gains nothing.
    let routed = Machine::new();
    lab.host.attach(&routed, &Bridge { internal: false, ..internal.clone() }, "172.30.2.4", 0);
    lab.server.serve(7000);
    lab.host.serve(7001);
    one.serve(80);
    assert_eq!(two.ask("172.30.2.2:80"), "172.30.2.3");
    assert_eq!(lab.host.ask("172.30.2.2:80"), "172.30.2.1");
    for container in [&two, &routed] {
        assert_eq!(container.ask("172.30.2.1:7001"), CLOSED);
        assert_ne!(container.ask("10.9.0.1:7000"), HOST);
    }
    assert_eq!(routed.ask("10.9.0.1:7000"), CLOSED);
}

#[test]
fn containers_of_a_network_without_icc_reach_the_outside_but_not_each_other() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let apart = Bridge { icc: false, ..bridge("br-p", "172.30.3.0/24") };
    lab.host.ensure(&apart);
    let (one, two) = (lab.host.connect(&apart, "172.30.3.2"), lab.host.connect(&apart, "172.30.3.3"));
    one.serve(80);
    lab.server.serve(7000);
    assert_eq!(two.ask("10.9.0.1:7000"), HOST);
    assert_eq!(lab.host.ask("172.30.3.2:80"), "172.30.3.1");
    assert_ne!(two.ask("172.30.3.2:80"), "172.30.3.3");
}

#[test]
fn a_host_that_was_no_router_does_not_become_one() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let far = bridge("lan1", "10.10.0.0/24");
    let other_side = Machine::new();
    other_side.ensure(&far);
    other_side.attach(&lab.host, &far, "10.10.0.2", 1);
    let far_neighbour = Machine::new();
    let through_host = Bridge { gateway: "10.10.0.2".parse().unwrap(), ..far.clone() };
    other_side.attach(&far_neighbour, &through_host, "10.10.0.3", 0);
    far_neighbour.serve(7000);
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    assert_eq!(container.ask("10.10.0.3:7000"), "10.10.0.2");
    assert_eq!(lab.neighbour.ask("10.10.0.3:7000"), CLOSED);
    lab.host.inside(|| Firewall::open("sampan_forwarding")?.remove_table()).unwrap();
    assert_eq!(lab.neighbour.ask("10.10.0.3:7000"), "10.9.0.3", "nothing else is in the way");
}

#[test]
fn a_second_engines_containers_are_not_cut_off() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let theirs = bridge("br-t", "172.30.4.0/24");
    lab.host.inside(|| theirs.ensure(&Firewall::open("theirs")?)).unwrap();
    lab.server.serve(7000);
    let container = lab.host.connect(&theirs, "172.30.4.2");
    assert_eq!(container.ask("10.9.0.1:7000"), HOST);
}

#[test]
fn a_port_belongs_to_whoever_published_it_first_until_unpublished() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let (one, two) = (lab.host.connect(&lab.a, "172.30.0.2"), lab.host.connect(&lab.a, "172.30.0.3"));
    one.serve(80);
    two.serve(80);
    let firewall = lab.host.firewall();
    let first = forward("*:8080", "172.30.0.2:80", Protocol::Tcp);
    let free = forward("*:8081", "172.30.0.3:80", Protocol::Tcp);
    let second = forward("*:8080", "172.30.0.3:80", Protocol::Tcp);
    firewall.publish(&[first]).unwrap();
    match firewall.publish(&[free, second]) {
        Err(NetworkError::PortTaken { host, taken_by, .. }) => {
            assert_eq!((host.port(), taken_by), (8080, first.container));
        }
        other => panic!("{other:?}"),
    }
    assert!(firewall.publish(&[second, second, second]).is_err());
    firewall.publish(&[free]).expect("the refusals of one request are no answer to the next");
    firewall.unpublish(&[free]).unwrap();
    assert_eq!(lab.server.ask("10.9.0.2:8081"), "connection refused", "all are published or none");
    firewall.unpublish(&[second]).unwrap();
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1", "only its owner takes a port away");
    firewall.unpublish(&[free, second, first]).unwrap();
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "connection refused");
    firewall.publish(&[second]).unwrap();
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1");
}

#[test]
fn many_processes_may_ensure_a_bridge_at_once_and_it_can_be_removed() {
    if !can_run() {
        return;
    }
    let host = Machine::new();
    let bridge = bridge("br-m", "172.30.5.0/24");
    thread::scope(|scope| {
        let ensure = || host.ensure(&bridge);
        let all: Vec<_> = (0..20).map(|_| scope.spawn(ensure)).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    let container = host.connect(&bridge, "172.30.5.2");
    container.serve(80);
    assert_eq!(host.ask("172.30.5.2:80"), "172.30.5.1");
    host.inside(|| bridge.remove(&host.firewall())).unwrap();
    assert_ne!(host.ask("172.30.5.2:80"), "172.30.5.1");
    host.inside(|| bridge.remove(&host.firewall())).unwrap();
    host.ensure(&bridge);
    assert_eq!(host.connect(&bridge, "172.30.5.3").ask("172.30.5.1:9"), "connection refused");
}

#[test]
fn rules_that_somebody_flushed_come_back() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    lab.server.serve(7000);
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    lab.host.firewall().remove_table().unwrap();
    assert_ne!(container.ask("10.9.0.1:7000"), HOST);
    lab.host.ensure(&lab.a);
    assert_eq!(container.ask("10.9.0.1:7000"), HOST);
}

#[test]
fn a_container_on_several_networks_has_an_interface_in_each_and_no_ipv6() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    lab.host.attach(&container, &lab.b, "172.30.1.2", 1);
    let other = lab.host.connect(&lab.b, "172.30.1.3");
    other.serve(80);
    assert_eq!(container.ask("172.30.1.3:80"), "172.30.1.2");
    let addresses = container.inside(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6")).unwrap();
    assert!(addresses.lines().all(|line| line.ends_with(" lo")), "{addresses}");
    let addresses = lab.host.inside(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6")).unwrap();
    assert!(!addresses.contains("veth") && !addresses.contains("br-"), "{addresses}");
}

/// A network that speaks IPv6 as well.
fn with_ipv6(name: &str, subnet: &str, subnet6: &str) -> Bridge {
    let subnet6: ipnet::Ipv6Net = subnet6.parse().unwrap();
    let gateway = (subnet6.network().to_bits() | 1).into();
    Bridge { ipv6: Some(network::Ipv6Subnet { subnet: subnet6, gateway }), ..bridge(name, subnet) }
}

#[test]
fn ipv6_is_as_ipv4_is() {
    if !can_run() {
        return;
    }
    let (host, server) = (Machine::new(), Machine::new());
    let lan = with_ipv6("lan0", "10.9.0.0/24", "fd09::/64");
    server.ensure(&lan);
    server.attach(&host, &lan, HOST, 0);
    let (a, b) =
        (with_ipv6("br-a", "172.30.0.0/24", "fd0a::/64"), with_ipv6("br-b", "172.30.1.0/24", "fd0b::/64"));
    host.ensure(&a);
    host.ensure(&b);
    let (one, two) = (host.connect(&a, "172.30.0.2"), host.connect(&a, "172.30.0.3"));
    let other = host.connect(&b, "172.30.1.2");
    one.serve6(80);
    server.serve6(7000);
    assert_eq!(one.ask("[fd09::1]:7000"), "fd09::2", "to the outside under the host's address");
    assert_eq!(two.ask("[fd0a::2]:80"), "fd0a::3", "to each other under their own");
    assert_eq!(other.ask("[fd0a::2]:80"), CLOSED, "not from another network");
    host.firewall()
        .publish(&[network::Forward {
            host_address: None,
            host_port: 8080,
            protocol: Protocol::Tcp,
            container: "[fd0a::2]:80".parse().unwrap(),
        }])
        .unwrap();
    assert_eq!(server.ask("[fd09::2]:8080"), "fd09::1", "published, with the client's own address");
    assert_eq!(host.ask("[fd09::2]:8080"), "fd0a::1", "from the host");
    assert_eq!(other.ask("[fd09::2]:8080"), "fd0a::1", "from another network");
    assert_eq!(host.ask("[::1]:8080"), "connection refused", "::1 is left to whoever listens");
}

#[test]
fn the_first_packet_of_a_container_is_not_lost() {
    if !can_run() {
        return;
    }
    // One in twenty was, before attaching waited for the interfaces.
    for _ in 0..40 {
        let host = Machine::new();
        let bridge = bridge("br-f", "172.30.0.0/24");
        host.ensure(&bridge);
        let neighbour = host.connect(&bridge, "172.30.0.3");
        neighbour.serve(80);
        let container = Machine::new();
        host.attach(&container, &bridge, "172.30.0.2", 0);
        let start = Instant::now();
        assert_eq!(container.ask("172.30.0.1:9"), "connection refused");
        assert_eq!(container.ask("172.30.0.3:80"), "172.30.0.2");
        assert!(start.elapsed() < Duration::from_millis(900), "a packet was sent again");
    }
}

#[test]
fn a_subnet_the_host_uses_is_not_free() {
    if !can_run() {
        return;
    }
    let host = Machine::new();
    host.ensure(&bridge("br-u", "172.17.0.0/24"));
    let free = host.inside(|| {
        network::subnets::free(&["172.18.0.0/16".parse().unwrap()], network::subnets::Size::Large)
    });
    let free = free.unwrap();
    assert_eq!(free, "172.19.0.0/16".parse().ok());
}

#[test]
fn the_hosts_lock_is_one_per_network_namespace() {
    if !can_run() {
        return;
    }
    let (here, elsewhere) = (Machine::new(), Machine::new());
    let held = here.inside(HostLock::acquire).unwrap();
    elsewhere.inside(HostLock::acquire).unwrap();
    let (acquired, news) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            here.inside(HostLock::acquire).unwrap();
            acquired.send(()).unwrap();
        });
        assert!(news.recv_timeout(Duration::from_millis(100)).is_err());
        drop(held);
        news.recv().unwrap();
    });
}
