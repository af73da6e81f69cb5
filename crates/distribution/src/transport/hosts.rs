//! Names that no server is asked for: `/etc/hosts`, and this machine itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of `host`, a name in lower case, according to this `/etc/hosts`.
pub(super) fn addresses(hosts: &str, host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse().ok());
        if let Some(address) = address
            && words.any(|name| name.eq_ignore_ascii_case(host))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    // RFC 6761, section 6.3: these names are never asked for.
    if found.is_empty() && (host == "localhost" || host.ends_with(".localhost")) {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_with_the_name_counts_and_comments_do_not() {
        let hosts = "127.0.0.1 localhost\n::1\tlocalhost ip6\n# 10.0.0.9 registry\n10.0.0.1 a Registry # b\nbad registry\n10.0.0.1 registry";
        let of = |host: &str| addresses(hosts, host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(of("registry"), ["10.0.0.1"]);
        assert_eq!(of("b"), [""; 0]);
        assert_eq!(addresses("", "localhost").len(), 2);
    }
}
