//! Rulesets as people have them, and what they mean for a port.

use types::Protocol;

use super::*;
use crate::Family;

/// A chain of `table` at a hook: what its policy is, and its rules.
fn base(table: &Table, name: &str, hook: Hook, drops: bool, rules: Vec<Rule>) -> Chain {
    Chain { table: table.clone(), name: name.into(), base: Some(Base { hook, priority: 0, drops }), rules }
}

fn chain(table: &Table, name: &str, rules: Vec<Rule>) -> Chain {
    Chain { table: table.clone(), name: name.into(), base: None, rules }
}

fn table(name: &str) -> Table {
    Table { kind: Kind::Inet, name: name.into() }
}

/// Rules, numbered from 1.
fn rules(rules: Vec<(Vec<Test>, Action)>) -> Vec<Rule> {
    let numbered = (1..).zip(rules);
    numbered.map(|(handle, (tests, action))| Rule { handle, tests, action }).collect()
}

fn is(field: Field, value: u128) -> Test {
    Test::In { field, ranges: vec![(value, value)], negated: false }
}

fn tcp(port: u128) -> Vec<Test> {
    vec![is(Field::Protocol, 6), is(Field::DestinationPort, port)]
}

fn from(prefix: &str) -> Test {
    let net: ipnet::Ipv4Net = prefix.parse().unwrap();
    let range = (net.network().to_bits().into(), net.broadcast().to_bits().into());
    Test::In { field: Field::Source, ranges: vec![range], negated: false }
}

fn established() -> Test {
    Test::Bits { field: Field::State, mask: 6, value: 0, negated: true }
}

fn input(name: &str) -> Test {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    is(Field::InputName, u128::from_be_bytes(padded))
}

fn published() -> Published {
    Published {
        protocol: Protocol::Tcp,
        host_port: 8080,
        host_address: None,
        bridge: "br0".into(),
        families: vec![Family::V4],
    }
}

fn interface(name: &str, address: &str) -> HostInterface {
    HostInterface { name: name.into(), index: 2, addresses: vec![address.parse().unwrap()], is_bridge: false }
}

/// What is said of port 8080 by way of eth0, a line each.
fn explained(chains: Vec<Chain>) -> Vec<String> {
    let explanation = explain(&Filters { chains }, &[interface("eth0", "10.9.0.2")], &published());
    let reach = explanation.reach.iter().flat_map(|reach| &reach.verdicts);
    let reach = reach.map(|one| format!("{:?} {}: {}", one.decision, one.sources, one.reason));
    let obstacles = explanation.obstacles.iter();
    let obstacles =
        obstacles.map(|one| format!("{:?} {:?}: {}", one.way, one.verdict.decision, one.verdict.reason));
    reach.chain(obstacles).collect()
}

#[test]
fn without_rules_a_port_is_open_to_everybody() {
    assert_eq!(explained(Vec::new()), ["Accepted everybody: no rules"]);
    let empty = base(&table("fw"), "input", Hook::Input, false, Vec::new());
    assert_eq!(explained(vec![empty]), ["Accepted everybody: no rules"]);
}

#[test]
fn a_policy_decides_about_those_whom_no_rule_is_about() {
    let fw = table("fw");
    let own = rules(vec![
        (vec![established()], Action::Accept),
        ([vec![from("10.0.0.0/8")], tcp(8080)].concat(), Action::Accept),
        (tcp(22), Action::Accept),
    ]);
    assert_eq!(
        explained(vec![base(&fw, "input", Hook::Input, true, own)]),
        [
            "Accepted 10.0.0.0/8: inet fw input handle 2: saddr 10.0.0.0/8 tcp dport 8080 accept",
            "Dropped everybody but 10.0.0.0/8: inet fw input: its policy",
        ]
    );
}

#[test]
fn every_chain_of_a_hook_has_its_say_and_the_strictest_wins() {
    let (a, b) = (table("a"), table("b"));
    let open = base(&a, "input", Hook::Input, true, rules(vec![(tcp(8080), Action::Accept)]));
    let shut = base(
        &b,
        "input",
        Hook::Input,
        false,
        rules(vec![([vec![from("10.9.0.1/32")], tcp(8080)].concat(), Action::Reject)]),
    );
    let expected = [
        "Accepted everybody but 10.9.0.1: inet a input handle 1: tcp dport 8080 accept",
        "Rejected 10.9.0.1: inet b input handle 1: saddr 10.9.0.1 tcp dport 8080 reject",
    ];
    assert_eq!(explained(vec![open.clone(), shut.clone()]), expected);
    assert_eq!(explained(vec![shut, open]), expected);
}

#[test]
fn jumps_come_back_and_gotos_do_not() {
    let fw = table("fw");
    let by = |action: Action| {
        vec![
            base(
                &fw,
                "input",
                Hook::Input,
                true,
                rules(vec![(vec![input("eth0")], action), (Vec::new(), Action::Accept)]),
            ),
            chain(&fw, "zone", rules(vec![(vec![from("10.0.0.0/8")], Action::Return)])),
        ]
    };
    let accepted = "Accepted everybody: inet fw input handle 2: accept";
    assert_eq!(explained(by(Action::Jump("zone".into()))), [accepted]);
    assert_eq!(explained(by(Action::Goto("zone".into()))), ["Dropped everybody: inet fw input: its policy"]);
    assert_eq!(explained(by(Action::Jump("nowhere".into()))), [accepted]);
    let endless =
        vec![base(&fw, "input", Hook::Input, true, rules(vec![(Vec::new(), Action::Jump("input".into()))]))];
    assert_eq!(explained(endless), ["Dropped everybody: inet fw input: its policy"]);
}

#[test]
fn what_is_not_understood_is_unknown_only_where_it_matters() {
    let fw = table("fw");
    let limit = || Test::Unknown("limit".into());
    let with = |drops, action: Action| {
        let doubtful = rules(vec![([vec![limit()], tcp(8080)].concat(), action), (tcp(22), Action::Accept)]);
        explained(vec![base(&fw, "input", Hook::Input, drops, doubtful)])
    };
    let doubt = |verb: &str| {
        vec![format!("Unknown everybody: inet fw input handle 1: [limit] tcp dport 8080 {verb}")]
    };
    assert_eq!(with(true, Action::Accept), doubt("accept"));
    assert_eq!(with(false, Action::Drop), doubt("drop"));
    assert_eq!(with(false, Action::Accept), ["Accepted everybody: inet fw input: its policy"]);
    assert_eq!(with(true, Action::Drop), ["Dropped everybody: inet fw input: its policy"]);
    assert_eq!(with(true, Action::Continue), ["Dropped everybody: inet fw input: its policy"]);
    assert_eq!(with(true, Action::Unknown("queue".into())), doubt("[queue]"));
}

#[test]
fn a_map_of_verdicts_decides_by_its_elements() {
    let fw = table("fw");
    let element = |port: u128, action| (vec![(port, port)], action);
    let map = Action::Map {
        fields: vec![Field::DestinationPort],
        elements: vec![element(22, Action::Accept), element(8080, Action::Jump("web".into()))],
    };
    let chains = vec![
        base(&fw, "input", Hook::Input, true, rules(vec![(Vec::new(), map)])),
        chain(&fw, "web", rules(vec![(vec![from("192.168.0.0/16")], Action::Accept)])),
    ];
    assert_eq!(
        explained(chains),
        [
            "Accepted 192.168.0.0/16: inet fw web handle 1: saddr 192.168.0.0/16 accept",
            "Dropped everybody but 192.168.0.0/16: inet fw input: its policy",
        ]
    );
}

#[test]
fn addresses_and_ports_may_be_together_in_a_set() {
    let fw = table("fw");
    let pair = |address: u128, port: u128| vec![(address, address), (port, port)];
    let set = |negated| Test::Tuple {
        fields: vec![Field::Source, Field::DestinationPort],
        elements: vec![pair(0x0a09_0001, 8080), pair(0x0a09_0003, 22)],
        negated,
    };
    let with = |negated| {
        explained(vec![base(
            &fw,
            "input",
            Hook::Input,
            true,
            rules(vec![(vec![set(negated)], Action::Accept)]),
        )])
        .iter()
        .map(|line| line.split(':').next().unwrap_or_default().to_owned())
        .collect::<Vec<_>>()
    };
    assert_eq!(with(false), ["Accepted 10.9.0.1", "Dropped everybody but 10.9.0.1"]);
    assert_eq!(with(true), ["Accepted everybody but 10.9.0.1", "Dropped 10.9.0.1"]);
}

#[test]
fn what_stands_in_the_way_behind_the_door_is_told_apart_by_direction() {
    let fw = table("fw");
    let forward =
        base(&fw, "forward", Hook::Forward, true, rules(vec![(vec![input("br0")], Action::Accept)]));
    assert_eq!(
        explained(vec![forward]),
        ["Accepted everybody: no rules", "In Dropped: inet fw forward: its policy"]
    );
    let output = base(&fw, "output", Hook::Output, true, rules(vec![(vec![established()], Action::Accept)]));
    assert_eq!(
        explained(vec![output]),
        ["Accepted everybody: no rules", "First Dropped: inet fw output: its policy"]
    );
}

#[test]
fn a_port_is_explained_for_the_addresses_that_it_is_published_on() {
    let interfaces =
        [interface("eth0", "10.9.0.2"), interface("eth1", "10.8.0.2"), interface("eth2", "fd09::2")];
    let on = |address: Option<&str>| {
        let host_address = address.map(|address| address.parse().unwrap());
        let explanation =
            explain(&Filters::default(), &interfaces, &Published { host_address, ..published() });
        explanation.reach.into_iter().map(|reach| reach.interface.name).collect::<Vec<_>>()
    };
    assert_eq!(on(None), ["eth0", "eth1", "eth2"]);
    assert_eq!(on(Some("10.8.0.2")), ["eth1"]);
    assert_eq!(on(Some("0.0.0.0")), ["eth0", "eth1"]);
    assert_eq!(on(Some("127.0.0.1")), [""; 0]);
}

#[test]
fn how_to_open_a_port_is_said_in_the_words_of_the_tool_in_charge() {
    let check = |kind, name: &str, chain_name: &str, expected: &str| {
        let table = Table { kind, name: name.into() };
        let filters = Filters { chains: vec![base(&table, chain_name, Hook::Input, true, Vec::new())] };
        let reason = Reason::Policy { table, chain: chain_name.into() };
        assert_eq!(filters.to_open(&published(), &reason).as_deref(), Some(expected));
    };
    check(Kind::Ip, "filter", "INPUT", "`iptables -I INPUT -p tcp --dport 8080 -j ACCEPT`");
    check(Kind::Ip, "filter", "ufw-user-input", "`ufw allow 8080/tcp`");
    check(Kind::Inet, "own", "input", "`nft insert rule inet own input tcp dport 8080 accept`");
    check(
        Kind::Inet,
        "firewalld",
        "filter_INPUT",
        "`firewall-cmd --add-port=8080/tcp`, and the same with --permanent",
    );
    assert_eq!(Filters::default().to_open(&published(), &Reason::NoRules), None);
}
