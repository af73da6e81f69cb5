//! The network: what containers are connected with, who may reach them, and who answers for names.

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

use ::network::{
    Abilities, Family, NetworkError,
    filter::{Addresses, Decision, Filters, Hook, Packet, Reason, State, Verdict},
};
use rustix::fs::Access;
use sys::process::{Namespaces, unshare};

use super::{Finding, trial::trial};
use crate::container::hosts_resolv_conf;

pub fn examine() -> Vec<Finding> {
    let mut findings = connections();
    if sys::rootless::is_rootless() {
        findings.extend([outside(), ipv6(), names()]);
        return findings;
    }
    findings.extend([firewall(), legacy(), forwarding(), ipv6(), names()]);
    findings
}

/// A bridge, a firewall and a container's interface, made where nobody sees them.
fn connections() -> Vec<Finding> {
    let tried = trial(Namespaces::NETWORK, || {
        let inside = File::open("/proc/thread-self/ns/net")?;
        unshare(Namespaces::NETWORK)?;
        let abilities = ::network::try_out(inside.as_fd()).map_err(told)?;
        Ok(format!("{}", u8::from(abilities == Abilities { admits: true })))
    });
    let bridges = |text: &str| Finding::ok("bridges", text.to_owned());
    match tried {
        Ok(_) if sys::rootless::is_rootless() => vec![
            bridges("bridges, veth pairs and nftables, in a network namespace of this user's"),
            Finding::ok("published ports", "are relayed: containers see their network's bridge connect"),
        ],
        Ok(admits) if admits == "1" => vec![
            bridges("bridges, veth pairs and nftables"),
            Finding::ok("published ports", "obey the host's firewall, and containers see who connects"),
        ],
        Ok(_) => vec![
            bridges("bridges, veth pairs and nftables"),
            Finding::warn(
                "published ports",
                "obey the host's firewall, but are relayed: containers see the host connect, and no UDP comes from outside",
                "`modprobe nft_dup_ipv4 nft_dup_ipv6`, in a kernel with CONFIG_NF_CONNTRACK_ZONES, and start anew after a boot",
            ),
        ],
        Err(error) => vec![Finding::warn(
            "bridges",
            format!("containers cannot be connected: {error}"),
            "`modprobe -a bridge veth nf_tables nft_chain_nat nft_masq nft_fib_ipv4 nft_ct`; `--network host` and `none` work without",
        )],
    }
}

/// What leads an ordinary user's containers to the outside.
fn outside() -> Finding {
    let tunnel = "/dev/net/tun";
    let is_open = || rustix::fs::access(tunnel, Access::READ_OK | Access::WRITE_OK).is_ok();
    match monitor::pasta::is_installed() {
        true if is_open() => Finding::ok("outside", "pasta leads there"),
        true => Finding::warn(
            "outside",
            format!("out of reach: {tunnel} is not this user's to open"),
            format!("`sudo modprobe tun && sudo chmod 666 {tunnel}`"),
        ),
        false => Finding::warn(
            "outside",
            "out of reach: there is no /usr/bin/pasta",
            "`sudo apt-get install passt`",
        ),
    }
}

/// An error with what is behind it, to be sent as text.
fn told(error: NetworkError) -> io::Error {
    let source = std::error::Error::source(&error);
    io::Error::other(source.map_or(error.to_string(), |source| format!("{error}: {source}")))
}

/// Whose tables the host has, and whether they let containers out.
fn firewall() -> Finding {
    let filters = match Filters::read() {
        Ok(filters) => filters,
        Err(error) => {
            return Finding::warn(
                "firewall",
                told(error).to_string(),
                "run as root, in a kernel with CONFIG_NF_TABLES",
            );
        }
    };
    let mut tables: Vec<String> = filters.chains.iter().map(|chain| chain.table.to_string()).collect();
    tables.dedup();
    let found = match tables.is_empty() {
        true => "no tables but our own".to_owned(),
        false => format!("tables {}", tables.join(", ")),
    };
    match keeping_containers_in(&filters) {
        None => Finding::ok("firewall", found),
        Some(reason) => Finding::warn(
            "firewall",
            format!("{found}; containers do not reach the outside: {reason}"),
            "docs/firewall.md: with firewalld, `firewall-cmd --zone=trusted --add-interface=sampan0`; else accept what comes from sampan0 before that rule",
        ),
    }
}

/// The rule that drops connections from a container to the outside. Not a policy: those are taken care of when a network
/// comes up.
fn keeping_containers_in(filters: &Filters) -> Option<Reason> {
    let packet = Packet {
        hook: Hook::Forward,
        family: Family::V4,
        protocol: TCP,
        port: HTTPS,
        state: State::New,
        input: Some((DEFAULT_BRIDGE.to_owned(), None)),
        output: Some(("eth0".to_owned(), None)),
        destination: None,
        sources: Addresses::all(Family::V4),
    };
    let stopping = |verdict: &Verdict| matches!(verdict.decision, Decision::Dropped | Decision::Rejected);
    let stopped = filters.decide(&packet).into_iter().find(stopping);
    stopped.map(|verdict| verdict.reason).filter(|reason| matches!(reason, Reason::Rule { .. }))
}

/// The old form of iptables, whose rules are obeyed but neither read nor changed.
fn legacy() -> Finding {
    match ::network::filter::has_legacy() {
        false => Finding::ok("iptables-legacy", "not in use"),
        true => Finding::warn(
            "iptables-legacy",
            "in use: its rules are obeyed, but `port --explain` does not know them",
            "if its policy for FORWARD is DROP: `iptables-legacy -A FORWARD -i sampan0 -j ACCEPT`, and the same with -o",
        ),
    }
}

fn forwarding() -> Finding {
    let value = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap_or_default();
    match value.trim() {
        "1" => Finding::ok("forwarding", "on"),
        "0" => {
            Finding::ok("forwarding", "off; the first network turns it on, for containers and nobody else")
        }
        _ => Finding::warn("forwarding", "cannot be read", "mount /proc with /proc/sys in it"),
    }
}

fn ipv6() -> Finding {
    Finding::ok(
        "ipv6",
        match ::network::ipv6::is_spoken() {
            true => "spoken",
            false => "switched off: networks have IPv4 alone",
        },
    )
}

/// Asks the host's name servers for the root of all names.
fn names() -> Finding {
    let servers = ::network::upstreams(&hosts_resolv_conf(), &[]);
    let (answering, silent): (Vec<_>, Vec<_>) = servers.iter().partition(|server| answers(**server));
    let list = |servers: &[&SocketAddr]| {
        servers.iter().map(|server| server.ip().to_string()).collect::<Vec<_>>().join(", ")
    };
    match (answering.is_empty(), silent.is_empty()) {
        (false, true) => Finding::ok("names", format!("{} answers", list(&answering))),
        (false, false) => Finding::warn(
            "names",
            format!("{} does not answer, {} does", list(&silent), list(&answering)),
            "take servers that do not answer out of /etc/resolv.conf: whoever asks them waits",
        ),
        (true, _) => Finding::warn(
            "names",
            format!("no answer from {}", list(&silent)),
            "name a server that can be reached in /etc/resolv.conf, or with `--dns`",
        ),
    }
}

fn answers(server: SocketAddr) -> bool {
    let ask = || -> io::Result<()> {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(server)?;
        socket.send(&QUESTION)?;
        socket.recv(&mut [0; 512]).map(drop)
    };
    ask().is_ok()
}

const DEFAULT_BRIDGE: &str = "sampan0";
const TCP: u8 = 6;
const HTTPS: u16 = 443;

/// Which servers the root has (RFC 1035): every name server knows, and whatever it says, it is there.
const QUESTION: [u8; 17] = [0x5a, 0x4d, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
const PATIENCE: Duration = Duration::from_millis(1000);

#[cfg(test)]
mod tests {
    use ::network::filter::{Action, Base, Chain, Kind, Rule, Table};

    use super::*;

    #[test]
    fn a_rule_that_keeps_containers_in_is_named_and_a_policy_is_not() {
        let check = |drops, rules: Vec<Action>, expected: Option<&str>| {
            let rules = rules.into_iter().map(|action| Rule { handle: 7, tests: Vec::new(), action });
            let chain = Chain {
                table: Table { kind: Kind::Inet, name: "firewalld".into() },
                name: "filter_FORWARD".into(),
                base: Some(Base { hook: Hook::Forward, priority: 10, drops }),
                rules: rules.collect(),
            };
            let found = keeping_containers_in(&Filters { chains: vec![chain] });
            assert_eq!(found.map(|reason| reason.to_string()).as_deref(), expected);
        };
        check(false, vec![Action::Reject], Some("inet firewalld filter_FORWARD handle 7: reject"));
        check(true, Vec::new(), None);
        check(false, Vec::new(), None);
        check(true, vec![Action::Accept], None);
    }
}
