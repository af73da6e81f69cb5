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
    /// The host's name servers, all of them: the network is the host's.
    Shared,
}

/// What a user says instead of what the host's file says; nothing where it is empty.
#[derive(Clone, Copy, Default, Debug)]
pub struct Overrides<'a> {
    pub servers: &'a [IpAddr],
    /// `.` alone for no domain at all.
    pub search: &'a [String],
    pub options: &'a [String],
}

/// The contents of a container's resolv.conf on a host whose own has the contents `host`, with docker's comments on
/// where they come from.
///
/// The caller reads [`SYSTEMD_RESOLV_CONF`] instead of /etc/resolv.conf if [`is_stub`].
pub fn resolv_conf(host: &str, mode: Mode, overrides: &Overrides<'_>) -> String {
    let Settings { servers, search, options } = Settings::parse(host);
    let search: Vec<&str> = match overrides.search.is_empty() {
        true => search,
        false => overrides.search.iter().map(String::as_str).filter(|domain| *domain != ".").collect(),
    };
    let mut ndots = options.iter().any(|option| option.starts_with("ndots:")).then_some("host");
    let mut options: Vec<&str> = options;
    if !overrides.options.is_empty() {
        options = overrides.options.iter().map(String::as_str).collect();
        ndots = options.iter().any(|option| option.starts_with("ndots:")).then_some("override");
    }
    let is_chosen = !overrides.servers.is_empty();
    let mut servers = if is_chosen { overrides.servers.to_vec() } else { servers };
    let mut comments = String::new();
    let transform = match mode {
        Mode::Shared => "",
        Mode::Host => {
            if !is_chosen {
                // A container without IPv6 reaches no others.
                servers.retain(|server| server.is_ipv4() && !server.is_loopback());
            }
            if servers.is_empty() {
                servers.extend(DEFAULT_SERVERS);
                comments.push_str("# Used default nameservers.\n");
            }
            " (legacy)"
        }
        Mode::Embedded => {
            let asked = |server: &IpAddr| match !is_chosen && (server.is_loopback() || server.is_ipv6()) {
                true => format!("host({server})"),
                false => server.to_string(),
            };
            if servers.is_empty() {
                servers.extend(DEFAULT_SERVERS);
                comments.push_str("# Used default nameservers.\n");
            }
            let asked: Vec<String> = servers.iter().map(asked).collect();
            comments.push_str(&format!("# ExtServers: [{}]\n", asked.join(" ")));
            servers = vec![dns::ADDRESS.into()];
            if ndots.is_none() {
                // A container's name has no dots, and is to be asked for as it is first.
                options.push("ndots:0");
                ndots = Some("internal");
            }
            " (internal resolver)"
        }
    };
    let mut lines = format!("{HEADER}\n");
    servers.iter().for_each(|server| lines.push_str(&format!("nameserver {server}\n")));
    if !search.is_empty() {
        lines.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !options.is_empty() {
        lines.push_str(&format!("options {}\n", options.join(" ")));
    }
    let overridden = [
        ("nameservers", is_chosen),
        ("search", !overrides.search.is_empty()),
        ("options", !overrides.options.is_empty()),
    ];
    let overridden: Vec<_> = overridden.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
    lines.push_str(&format!("\n# Based on host file: '/etc/resolv.conf'{transform}\n{comments}"));
    lines.push_str(&format!("# Overrides: [{}]\n", overridden.join(" ")));
    ndots.iter().for_each(|from| lines.push_str(&format!("# Option ndots from: {from}\n")));
    lines
}

/// The servers that a host with this resolv.conf asks, or those in `chosen`, to be asked from the host; docker's defaults
/// if there are none.
pub fn upstreams(host: &str, chosen: &[IpAddr]) -> Vec<SocketAddr> {
    let mut servers = if chosen.is_empty() { Settings::parse(host).servers } else { chosen.to_vec() };
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
}

/// What the files begin with.
const HEADER: &str = "# Generated by sampan.\n";
const DEFAULT_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, mode: Mode, overrides: &Overrides<'_>, expected: &str) {
        let expected = format!("{HEADER}\n{expected}");
        assert_eq!(resolv_conf(host, mode, overrides), expected, "{mode:?} {host:?}");
    }

    #[test]
    fn the_default_bridge_gets_the_hosts_reachable_servers() {
        let own = Overrides::default();
        check(
            "# made by hand\nnameserver 10.0.0.2\nnameserver 127.0.0.53\nsearch a.example b.example\noptions edns0\n",
            Mode::Host,
            &own,
            "nameserver 10.0.0.2\nsearch a.example b.example\noptions edns0\n\n\
             # Based on host file: '/etc/resolv.conf' (legacy)\n# Overrides: []\n",
        );
        check(
            "nameserver fd00::1\nnameserver 127.0.0.1\n",
            Mode::Host,
            &own,
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n\n\
             # Based on host file: '/etc/resolv.conf' (legacy)\n# Used default nameservers.\n# Overrides: []\n",
        );
        check(
            "nameserver 127.0.0.1\n",
            Mode::Shared,
            &own,
            "nameserver 127.0.0.1\n\n# Based on host file: '/etc/resolv.conf'\n# Overrides: []\n",
        );
    }

    #[test]
    fn a_user_defined_network_asks_its_own_resolver_first_by_the_bare_name() {
        check(
            "nameserver 10.0.0.2\nnameserver 127.0.0.53\nsearch .\ndomain corp.example\noptions rotate\n",
            Mode::Embedded,
            &Overrides::default(),
            "nameserver 127.0.0.11\nsearch corp.example\noptions rotate ndots:0\n\n\
             # Based on host file: '/etc/resolv.conf' (internal resolver)\n\
             # ExtServers: [10.0.0.2 host(127.0.0.53)]\n# Overrides: []\n# Option ndots from: internal\n",
        );
    }

    #[test]
    fn what_the_user_says_comes_before_what_the_host_says() {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (search, options) = (words(&["."]), words(&["ndots:9", "debug"]));
        let servers = ["1.1.1.1".parse().unwrap()];
        let overrides = Overrides { servers: &servers, search: &search, options: &options };
        let host = "nameserver 10.0.0.2\nsearch corp.example\noptions rotate\n";
        check(
            host,
            Mode::Embedded,
            &overrides,
            "nameserver 127.0.0.11\noptions ndots:9 debug\n\n\
             # Based on host file: '/etc/resolv.conf' (internal resolver)\n# ExtServers: [1.1.1.1]\n\
             # Overrides: [nameservers search options]\n# Option ndots from: override\n",
        );
        assert_eq!(upstreams(host, &servers), ["1.1.1.1:53".parse().unwrap()]);
    }

    #[test]
    fn the_resolver_may_ask_servers_only_the_host_can_reach() {
        let servers =
            upstreams("nameserver 127.0.0.53 # stub\nnameserver fd00::1\nnameserver fe80::1%eth0\n", &[]);
        assert_eq!(servers, ["127.0.0.53:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap()]);
        assert_eq!(upstreams("", &[])[0], "8.8.8.8:53".parse().unwrap());
        assert!(is_stub("nameserver 127.0.0.53\noptions edns0 trust-ad\n"));
        assert!(!is_stub("nameserver 127.0.0.53\nnameserver 10.0.0.2\n"));
    }
}
