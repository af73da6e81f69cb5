//! What the host's firewall says of published ports, whoever it is that says it.

use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use network::{Firewall, Forward};
use types::Protocol;

use crate::{
    CLOSED, bridged_packets_may_be_filtered,
    lab::{HOST, Lab, Machine, can_run, forward},
    with_ipv6,
};

/// A lab with a server in a container, published at port 8080, for datagrams at 5353.
pub fn published() -> (Lab, Machine) {
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    container.serve(80);
    container.serve_udp(53);
    lab.host
        .firewall()
        .publish(&[
            forward("*:8080", "172.30.0.2:80", Protocol::Tcp),
            forward("*:5353", "172.30.0.2:53", Protocol::Udp),
        ])
        .unwrap();
    (lab, container)
}

/// What comes of a datagram that nobody answers.
const NO_ANSWER: &str = "operation would block";

const NFT: &[&str] = &[
    "add table inet own",
    "add chain inet own input { type filter hook input priority filter ; policy drop ; }",
    "add rule inet own input iif lo accept",
    "add rule inet own input ct state established,related accept",
];

pub fn nft(machine: &Machine, commands: &[&str]) {
    commands.iter().for_each(|command| drop(machine.run("nft", command)));
}

#[test]
fn what_the_firewall_denies_stays_closed_although_published() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    let other = lab.host.connect(&lab.b, "172.30.1.2");
    nft(&lab.host, NFT);
    assert_eq!(lab.server.ask("10.9.0.2:8080"), CLOSED, "to the LAN");
    assert_eq!(lab.server.ask_udp("10.9.0.2:5353"), NO_ANSWER, "for datagrams too");
    assert_eq!(other.ask("10.9.0.2:8080"), CLOSED, "to other containers");
    assert_eq!(lab.host.ask("127.0.0.1:8080"), "172.30.0.1", "the host itself asks nobody");
    assert_eq!(lab.host.ask("10.9.0.2:8080"), "172.30.0.1");

    nft(&lab.host, &["add rule inet own input ip saddr 10.9.0.1 tcp dport 8080 accept"]);
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1", "open to whom the firewall lets in");
    assert_eq!(lab.neighbour.ask("10.9.0.2:8080"), CLOSED, "and to nobody else");
    assert_eq!(lab.server.ask_udp("10.9.0.2:5353"), NO_ANSWER);

    nft(&lab.host, &["add rule inet own input udp dport 5353 accept"]);
    assert_eq!(lab.server.ask_udp("10.9.0.2:5353"), "10.9.0.1");
    nft(&lab.host, &["insert rule inet own input tcp dport 8080 reject with tcp reset"]);
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "connection refused", "as the firewall says it");
    nft(&lab.host, &["delete table inet own"]);
    assert_eq!(lab.neighbour.ask("10.9.0.2:8080"), "10.9.0.3", "without a firewall, to everybody");
    assert_eq!(other.ask("10.9.0.2:8080"), "172.30.0.1");
}

#[test]
fn the_rules_of_iptables_are_obeyed_in_both_its_forms() {
    if !can_run() {
        return;
    }
    for iptables in ["iptables-nft", "iptables-legacy"] {
        let (lab, _container) = published();
        let add = |rule: &str| drop(lab.host.run(iptables, rule));
        add("-P INPUT DROP");
        assert_eq!(lab.server.ask("10.9.0.2:8080"), CLOSED, "{iptables}");
        add("-A INPUT -p tcp -m multiport --dports 22,8080 -m conntrack --ctstate NEW -s 10.9.0.1 -j ACCEPT");
        add("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT");
        assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1", "{iptables}");
        assert_eq!(lab.neighbour.ask("10.9.0.2:8080"), CLOSED, "{iptables}");
    }
}

/// Enables ufw with these commands, for a machine and not for the one that the test runs on.
pub fn enable_ufw(machine: &Machine, commands: &str) {
    let copy = "mount -t tmpfs none /mnt; cp -a /etc/ufw/. /mnt; mount --bind /mnt /etc/ufw";
    machine.script(&format!("{copy}; ufw --force enable; {commands}"));
}

/// Starts firewalld with these commands, unless this machine has none; whether it has.
pub fn start_firewalld(machine: &Machine, commands: &str) -> bool {
    if !std::path::Path::new("/usr/sbin/firewalld").exists() {
        // Installing it takes over the machine's firewall, so `make setup` does not.
        eprintln!("skipped: no firewalld here");
        return false;
    }
    let start = "mount -t tmpfs none /run; mkdir /run/dbus; mount -t tmpfs none /etc/firewalld;
        mkdir /etc/firewalld/zones; dbus-daemon --system --fork; firewalld --nofork --nopid &
        until firewall-cmd --state; do sleep 0.05; done";
    machine.script(&format!("{start}; {commands}"));
    true
}

#[test]
fn what_ufw_denies_stays_closed_and_what_it_allows_is_open() {
    if !can_run() {
        return;
    }
    let (lab, container) = published();
    lab.server.serve(7000);
    let ufw = |rules: &str| {
        enable_ufw(&lab.host, rules);
        lab.host.ensure(&lab.a);
    };
    ufw("true");
    assert_eq!(lab.server.ask("10.9.0.2:8080"), CLOSED);
    assert_eq!(lab.host.ask("127.0.0.1:8080"), "172.30.0.1");
    assert_eq!(container.ask("10.9.0.1:7000"), HOST, "though ufw forwards for nobody");
    ufw("ufw allow from 10.9.0.1 to any port 8080 proto tcp; ufw allow 5353/udp");
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1");
    assert_eq!(lab.neighbour.ask("10.9.0.2:8080"), CLOSED);
    assert_eq!(lab.neighbour.ask_udp("10.9.0.2:5353"), "10.9.0.3");
    ufw("ufw route deny from any to 10.9.0.1 port 7000 proto tcp");
    assert_eq!(container.ask("10.9.0.1:7000"), CLOSED, "what it denies in so many words is denied");
}

#[test]
fn what_firewalld_denies_stays_closed_and_what_it_allows_is_open() {
    if !can_run() {
        return;
    }
    let (lab, container) = published();
    lab.server.serve(7000);
    if !start_firewalld(&lab.host, "true") {
        return;
    }
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "host unreachable");
    assert_eq!(lab.host.ask("127.0.0.1:8080"), "172.30.0.1");
    let open = "firewall-cmd --add-port=8080/tcp; firewall-cmd --zone=trusted --add-interface=br-a";
    start_firewalld(&lab.host, open);
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1");
    assert_eq!(container.ask("10.9.0.1:7000"), HOST);
}

#[test]
fn a_chain_that_comes_late_is_obeyed_too() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    nft(
        &lab.host,
        &[
            "add table ip own",
            "add chain ip own input { type filter hook input priority 300 ; policy drop ; }",
        ],
    );
    assert_eq!(lab.server.ask("10.9.0.2:8080"), CLOSED);
}

#[test]
fn admission_takes_no_second_look() {
    if !can_run() {
        return;
    }
    let (lab, container) = published();
    for filter_bridged in bridged_packets_may_be_filtered(&lab.host) {
        filter_bridged();
        let start = Instant::now();
        for _ in 0..20 {
            assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1");
            assert_eq!(lab.server.ask_udp("10.9.0.2:5353"), "10.9.0.1");
            assert_eq!(container.ask("172.30.0.1:8080"), "172.30.0.1");
        }
        assert!(start.elapsed() < Duration::from_millis(900), "a packet was sent again");
    }
}

#[test]
fn a_first_datagram_in_fragments_arrives_whole() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    assert_eq!(lab.server.ask_udp_with("10.9.0.2:5353", &[0; 60_000]), "10.9.0.1");
}

#[test]
fn a_port_published_on_one_address_is_admitted_there_only() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    container.serve(80);
    lab.host.firewall().publish(&[forward("10.9.0.2:8080", "172.30.0.2:80", Protocol::Tcp)]).unwrap();
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1");
    assert_eq!(lab.neighbour.ask("172.30.0.1:8080"), "connection refused");
    nft(&lab.host, NFT);
    assert_eq!(lab.server.ask("10.9.0.2:8080"), CLOSED);
}

#[test]
fn what_somebody_else_leads_to_the_port_is_left_to_its_listener() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    nft(
        &lab.host,
        &[
            "add table ip own",
            "add chain ip own pre { type nat hook prerouting priority dstnat ; }",
            "add rule ip own pre tcp dport 80 redirect to :8080",
        ],
    );
    lab.host.serve(8080);
    assert_eq!(lab.server.ask("10.9.0.2:80"), "10.9.0.1", "as a relay would");
    assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1");
}

#[test]
fn ipv6_is_admitted_by_the_same_rule() {
    if !can_run() {
        return;
    }
    let (host, server) = (Machine::new(), Machine::new());
    let lan = with_ipv6("lan0", "10.9.0.0/24", "fd09::/64");
    server.ensure(&lan);
    server.attach(&host, &lan, HOST, 0);
    let a = with_ipv6("br-a", "172.30.0.0/24", "fd0a::/64");
    host.ensure(&a);
    let container = host.connect(&a, "172.30.0.2");
    container.serve6(80);
    let publish = Forward {
        host_address: None,
        host_port: 8080,
        protocol: Protocol::Tcp,
        container: "[fd0a::2]:80".parse().unwrap(),
    };
    host.firewall().publish(&[publish]).unwrap();
    nft(&host, NFT);
    nft(&host, &["add rule inet own input meta l4proto icmpv6 accept"]);
    assert_eq!(server.ask("[fd09::2]:8080"), CLOSED);
    nft(&host, &["add rule inet own input ip6 saddr fd09::/64 tcp dport 8080 accept"]);
    assert_eq!(server.ask("[fd09::2]:8080"), "fd09::1");
}

#[test]
fn what_the_host_does_not_forward_for_others_it_forwards_for_containers() {
    if !can_run() {
        return;
    }
    let own = [
        "add table inet own",
        "add chain inet own forward { type filter hook forward priority filter ; policy drop ; }",
    ];
    let docker = |host: &Machine| {
        host.run("iptables-nft", "-P FORWARD DROP");
        host.run("iptables-nft", "-N DOCKER-USER");
        host.run("iptables-nft", "-A FORWARD -j DOCKER-USER");
        host.run(
            "iptables-nft",
            "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        );
    };
    for install in [&docker as &dyn Fn(&Machine), &|host| nft(host, &own)] {
        let (lab, container) = published();
        lab.server.serve(7000);
        install(&lab.host);
        assert_eq!(lab.server.ask("10.9.0.2:8080"), CLOSED, "nobody has told us yet");
        lab.host.ensure(&lab.a);
        lab.host.ensure(&lab.a);
        assert_eq!(lab.server.ask("10.9.0.2:8080"), "10.9.0.1");
        assert_eq!(container.ask("10.9.0.1:7000"), HOST, "to the outside too");
        assert_eq!(lab.neighbour.ask("172.30.0.2:80"), CLOSED, "not what is not published");
        lab.host.inside(|| lab.a.remove(&Firewall::open("lab")?)).unwrap();
        let left = lab.host.run("nft", "list ruleset");
        assert!(!left.contains("comment \"sampan\""), "{left}");
    }
}

#[test]
fn what_the_host_forbids_containers_stays_forbidden() {
    if !can_run() {
        return;
    }
    let (lab, container) = published();
    lab.server.serve(7000);
    lab.server.serve(7001);
    lab.host.run("iptables-nft", "-P FORWARD DROP");
    lab.host.run("iptables-nft", "-A FORWARD -s 172.30.0.0/24 -p tcp --dport 7001 -j DROP");
    lab.host.ensure(&lab.a);
    assert_eq!(container.ask("10.9.0.1:7000"), HOST);
    assert_eq!(container.ask("10.9.0.1:7001"), CLOSED);
    let listed = lab.host.run("iptables-nft", "-S FORWARD");
    assert!(listed.contains("-A FORWARD -i br-a -m comment --comment sampan -j ACCEPT\n"), "{listed}");
    assert_eq!(listed.matches("sampan").count(), 2, "{listed}");
}

#[test]
fn a_table_that_only_its_owner_may_change_is_left_alone() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    let mut nft = Command::new("nft");
    nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut owner = lab.host.inside(|| nft.spawn()).unwrap();
    let chain = "add chain inet own forward { type filter hook forward priority filter ; policy drop ; }";
    let mut commands = owner.stdin.take().unwrap();
    writeln!(commands, "add table inet own {{ flags owner ; }}\n{chain}").unwrap();
    while !lab.host.run("nft", "list ruleset").contains("policy drop") {
        thread::sleep(Duration::from_millis(5));
    }
    lab.host.ensure(&lab.a);
    assert!(!lab.host.run("nft", "list ruleset").contains("comment \"sampan\""));
    drop(commands);
    owner.wait().unwrap();
}
