//! A container's /etc/resolv.conf, made from the host's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::dns;

/// Who answers a container's queries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The container's own resolver: it is in a user-defined network.
    Embedded,
    /// The host's name servers, as far as a container can reach them.
    Host,
}

/// The contents of a container's resolv.conf on a host whose own has the contents `host`.
///
/// The caller reads [`SYSTEMD_RESOLV_CONF`] instead of /etc/resolv.conf if [`is_stub`].
pub fn resolv_conf(host: &str, mode: Mode) -> String {
    let host = Settings::parse(host);
    let mut lines = String::new();
    match mode {
        Mode::Embedded => lines.push_str(&format!("nameserver {}\n", dns::ADDRESS)),
        Mode::Host => {
            for server in host.reachable() {
                lines.push_str(&format!("nameserver {server}\n"));
            }
        }
    }
    if !host.search.is_empty() {
        lines.push_str(&format!("search {}\n", host.search.join(" ")));
    }
    let mut options = host.options;
    if mode == Mode::Embedded {
        // A container's name has no dots, and is to be asked for as it is first.
        options.retain(|option| !option.starts_with("ndots:"));
        options.push("ndots:0");
    }
    if !options.is_empty() {
        lines.push_str(&format!("options {}\n", options.join(" ")));
    }
    lines
}

/// The servers that a host with this resolv.conf asks, to be asked from the host; docker's defaults if it has
/// none.
pub fn upstreams(host: &str) -> Vec<SocketAddr> {
    let mut servers = Settings::parse(host).servers;
    if servers.is_empty() {
        servers.extend(DEFAULT_SERVERS);
    }
    servers.into_iter().map(|server| SocketAddr::new(server, 53)).collect()
}

/// Whether this resolv.conf only names systemd's stub, so that the servers are in [`SYSTEMD_RESOLV_CONF`].
pub fn is_stub(host: &str) -> bool {
    Settings::parse(host).servers == [Ipv4Addr::new(127, 0, 0, 53)]
}

/// Where systemd-resolved lists the servers it asks.
pub const SYSTEMD_RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";

#[derive(Default)]
struct Settings<'a> {
    servers: Vec<IpAddr>,
    search: Vec<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> Settings<'a> {
    fn parse(text: &'a str) -> Settings<'a> {
        let mut settings = Settings::default();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_ascii_whitespace();
            match words.next() {
                // An address with a zone belongs to a link of the host's.
                Some("nameserver") => {
                    settings.servers.extend(words.next().and_then(|server| server.parse::<IpAddr>().ok()))
                }
                // The last one counts.
                Some("search" | "domain") => {
                    settings.search = words.filter(|domain| *domain != ".").collect()
                }
                Some("options") => settings.options.extend(words),
                _ => {}
            }
        }
        settings
    }

    /// The servers that a container without IPv6 can reach.
    fn reachable(&self) -> Vec<IpAddr> {
        let servers: Vec<IpAddr> =
            self.servers.iter().copied().filter(|server| server.is_ipv4() && !server.is_loopback()).collect();
        if servers.is_empty() { DEFAULT_SERVERS.to_vec() } else { servers }
    }
}

const DEFAULT_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, mode: Mode, expected: &str) {
        assert_eq!(resolv_conf(host, mode), expected, "{mode:?} {host:?}");
    }

    #[test]
    fn the_default_bridge_gets_the_hosts_reachable_servers() {
        check(
            "# made by hand\nnameserver 10.0.0.2\nnameserver 127.0.0.53\nsearch a.example b.example\noptions edns0\n",
            Mode::Host,
            "nameserver 10.0.0.2\nsearch a.example b.example\noptions edns0\n",
        );
        check(
            "nameserver fd00::1\nnameserver 127.0.0.1\n",
            Mode::Host,
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n",
        );
        check("", Mode::Host, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn a_user_defined_network_asks_its_own_resolver_first_by_the_bare_name() {
        check(
            "nameserver 10.0.0.2\nsearch .\ndomain corp.example\noptions ndots:5 rotate\n",
            Mode::Embedded,
            "nameserver 127.0.0.11\nsearch corp.example\noptions rotate ndots:0\n",
        );
    }

    #[test]
    fn the_resolver_may_ask_servers_only_the_host_can_reach() {
        let servers =
            upstreams("nameserver 127.0.0.53 # stub\nnameserver fd00::1\nnameserver fe80::1%eth0\n");
        assert_eq!(servers, ["127.0.0.53:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap()]);
        assert_eq!(upstreams("")[0], "8.8.8.8:53".parse().unwrap());
        assert!(is_stub("nameserver 127.0.0.53\noptions edns0 trust-ad\n"));
        assert!(!is_stub("nameserver 127.0.0.53\nnameserver 10.0.0.2\n"));
    }
}
