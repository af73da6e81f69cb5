//! What is said of the host's firewall is what it does.

use std::net::IpAddr;

use network::{
    Family,
    filter::{Decision, Filters, HostInterface, Published, explain},
};
use types::Protocol;

use crate::{
    admission::{enable_ufw, nft, published, start_firewalld},
    lab::{Lab, Machine, can_run},
};

/// What is said of port 8080 of the host, reached by eth0: the decision and the reason for each sender.
fn said(host: &Machine, senders: &[&str]) -> Vec<(Decision, String)> {
    let (filters, interfaces) = host.inside(|| (Filters::read().unwrap(), HostInterface::all().unwrap()));
    let port = Published {
        protocol: Protocol::Tcp,
        host_port: 8080,
        host_address: None,
        bridge: "br-a".into(),
        families: vec![Family::V4],
    };
    let explanation = explain(&filters, &interfaces, &port);
    assert_eq!(explanation.obstacles, []);
    let reach = explanation.reach.iter().find(|reach| reach.interface.name == "eth0").unwrap();
    let of = |sender: &&str| {
        let sender: IpAddr = sender.parse().unwrap();
        let verdict = reach.verdicts.iter().find(|verdict| verdict.sources.contains(sender)).unwrap();
        (verdict.decision, verdict.reason.to_string())
    };
    senders.iter().map(of).collect()
}

/// Expects that the server and the neighbour reach the port exactly if it is said that they do; what is said of them.
#[track_caller]
fn holds(lab: &Lab) -> [String; 2] {
    let said = said(&lab.host, &["10.9.0.1", "10.9.0.3"]);
    let reached = [lab.server.ask("10.9.0.2:8080"), lab.neighbour.ask("10.9.0.2:8080")];
    let got_through = ["10.9.0.1", "10.9.0.3"];
    for ((decision, reason), (answer, sender)) in said.iter().zip(reached.iter().zip(got_through)) {
        let is_open = answer == sender;
        assert_eq!(
            *decision == Decision::Accepted,
            is_open,
            "{sender}: {decision:?} by {reason}, and {answer}"
        );
        assert_ne!(*decision, Decision::Unknown, "{reason}");
    }
    said.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>().try_into().unwrap()
}

const NFT: &[&str] = &[
    "add table inet own",
    "add chain inet own input { type filter hook input priority filter ; policy drop ; }",
    "add rule inet own input ct state vmap { established : accept, related : accept, invalid : drop }",
];

#[test]
fn of_nftables() {
    if !can_run() {
        return;
    }
    let rules: &[&[&str]] = &[
        &["add rule inet own input ip saddr 10.9.0.0/31 tcp dport 8000-9000 accept"],
        &["add rule inet own input ip saddr { 10.9.0.3, 10.20.0.0-10.30.0.0 } tcp dport { 22, 8080 } accept"],
        &["add rule inet own input iifname \"eth*\" ip saddr != 10.9.0.1 accept"],
        &["add rule inet own input iif eth0 ip daddr 10.9.0.2 tcp dport vmap { 22 : drop, 8080 : accept }"],
        &["add rule inet own input ip saddr . tcp dport { 10.9.0.1 . 8080, 10.9.0.3 . 22 } accept"],
        &["add rule inet own input ip saddr . tcp dport vmap { 10.9.0.0-10.9.0.2 . 8000-8100 : accept }"],
        &["add rule inet own input ip saddr & 255.255.255.252 == 10.9.0.0 tcp dport 8080 accept"],
        &["add rule inet own input meta l4proto { tcp, udp } th dport >= 8080 accept"],
        &[
            "add set inet own friends { type ipv4_addr ; flags interval ; elements = { 10.9.0.3-10.9.0.9 } ; }",
            "add rule inet own input ip saddr @friends accept",
        ],
        &[
            "add chain inet own web",
            "add rule inet own web ip saddr 10.9.0.1 return",
            "add rule inet own web tcp dport 8080 accept",
            "add rule inet own input fib daddr type local jump web",
        ],
        &["add rule inet own input meta nfproto ipv6 accept"],
        &[
            "add rule inet own input ct state new tcp dport 8080 accept",
            "add chain inet own late { type filter hook input priority 50 ; }",
            "add rule inet own late ip saddr 10.9.0.3 reject",
        ],
    ];
    for rules in rules {
        let (lab, _container) = published();
        nft(&lab.host, NFT);
        nft(&lab.host, rules);
        holds(&lab);
    }
}

#[test]
fn of_iptables() {
    if !can_run() {
        return;
    }
    for rule in [
        "-p tcp --dport 8080 -s 10.9.0.1 -j ACCEPT",
        "-p tcp -m multiport --dports 22,8000:9000 ! -s 10.9.0.1 -j ACCEPT",
        "-i eth+ -p tcp --syn -m conntrack --ctstate NEW --dport 8080 -m comment --comment web -j ACCEPT",
        "-m addrtype --dst-type LOCAL -m iprange --src-range 10.9.0.2-10.9.0.4 -j ACCEPT",
        "-m state --state NEW ! -i eth0 -j ACCEPT",
        "-p udp --dport 8080 -j ACCEPT",
    ] {
        let (lab, _container) = published();
        lab.host.run("iptables-nft", "-P INPUT DROP");
        lab.host.run("iptables-nft", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
        lab.host.run("iptables-nft", &format!("-A INPUT {rule}"));
        holds(&lab);
    }
}

#[test]
fn of_ufw() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    enable_ufw(&lab.host, "ufw allow from 10.9.0.1 to any port 8080 proto tcp");
    lab.host.ensure(&lab.a);
    let [server, neighbour] = holds(&lab);
    assert!(
        server.contains("ip filter ufw-user-input")
            && server.contains("saddr 10.9.0.1 tcp dport 8080 accept"),
        "{server}"
    );
    assert_eq!(neighbour, "ip filter INPUT: its policy");
}

#[test]
fn of_firewalld() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    if !start_firewalld(&lab.host, "true") {
        return;
    }
    let [server, _] = holds(&lab);
    assert!(server.contains("inet firewalld filter_IN_public") && server.ends_with("reject"), "{server}");
    start_firewalld(&lab.host, "firewall-cmd --add-port=8080/tcp");
    let [server, _] = holds(&lab);
    assert!(
        server.contains("filter_IN_public_allow") && server.ends_with("tcp dport 8080 accept"),
        "{server}"
    );
}

#[test]
fn what_depends_on_the_moment_is_not_promised() {
    if !can_run() {
        return;
    }
    let (lab, _container) = published();
    nft(&lab.host, NFT);
    nft(&lab.host, &["add rule inet own input tcp dport 8080 limit rate 5/second accept"]);
    let said = said(&lab.host, &["10.9.0.1"]);
    assert_eq!(said[0].0, Decision::Unknown);
    assert!(said[0].1.ends_with("tcp dport 8080 [limit] accept"), "{}", said[0].1);
}
