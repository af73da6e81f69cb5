//! Ports a container listens on, and where the host publishes them.

use std::{fmt, net::IpAddr, str::FromStr};

/// A transport protocol with ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// A port inside a container: `80/tcp`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Port {
    pub number: u16,
    pub protocol: Protocol,
}

/// One port of a container published on the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Publish {
    /// The host's address to listen on; all of them if `None`.
    pub host_ip: Option<IpAddr>,
    /// The host's port; one that is free if `None`.
    pub host_port: Option<u16>,
    /// Where any of several ports of the host will do, the last of them.
    #[serde(default)]
    pub host_port_last: Option<u16>,
    pub container: Port,
}

/// Text that names no port or publishes none, with docker's wording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPort {
    #[error("invalid containerPort: {0}")]
    Container(String),
    #[error("invalid hostPort: {0}")]
    Host(String),
    #[error("invalid proto: {0}")]
    Protocol(String),
    #[error("invalid IP address: {0}")]
    Address(String),
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges { container: String, host: String },
    #[error("no port specified: {0}<empty>")]
    Missing(String),
}

impl Port {
    /// Parses `80`, `80/udp` or a range `8000-8010/tcp`; TCP unless said otherwise.
    pub fn parse_range(text: &str) -> Result<Vec<Port>, InvalidPort> {
        let (numbers, protocol) = split_protocol(text)?;
        let (first, last) = range(numbers).ok_or_else(|| InvalidPort::Container(numbers.to_owned()))?;
        Ok((first..=last).map(|number| Port { number, protocol }).collect())
    }
}

impl Publish {
    /// Publishes `container` wherever there is room.
    pub fn anywhere(container: Port) -> Publish {
        Publish { host_ip: None, host_port: None, host_port_last: None, container }
    }

    /// The same with each of the host's ports that will do.
    pub fn choices(&self) -> impl Iterator<Item = Publish> {
        let Publish { host_port, host_port_last, .. } = *self;
        let ports = host_port.map_or(0..=0, |first| first..=host_port_last.unwrap_or(first));
        let one = *self;
        ports.map(move |port| Publish { host_port: host_port.map(|_| port), host_port_last: None, ..one })
    }

    /// Parses `[ip:][hostPort[-end]:]containerPort[-end][/protocol]`, with IPv6 addresses in brackets. Ranges
    /// must be of equal length and pair up, but of many ports of the host one may be chosen.
    pub fn parse(text: &str) -> Result<Vec<Publish>, InvalidPort> {
        let (rest, protocol) = split_protocol(text)?;
        let (rest, container) = rest.rsplit_once(':').unwrap_or(("", rest));
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) if !rest.ends_with(']') => (address, host),
            _ if rest.starts_with('[') || rest.contains('.') => (rest, ""),
            _ => ("", rest),
        };
        if container.is_empty() {
            return Err(InvalidPort::Missing(text.to_owned()));
        }
        let host_ip = match address.trim_start_matches('[').trim_end_matches(']') {
            "" => None,
            ip => Some(ip.parse::<IpAddr>().map_err(|_| InvalidPort::Address(ip.to_owned()))?),
        };
        let (first, last) = range(container).ok_or_else(|| InvalidPort::Container(container.to_owned()))?;
        let host_range = match host {
            "" => None,
            _ => Some(range(host).ok_or_else(|| InvalidPort::Host(host.to_owned()))?),
        };
        let is_choice = first == last && host_range.is_some_and(|(first, last)| first < last);
        if let Some((host_first, host_last)) = host_range
            && host_last - host_first != last - first
            && !is_choice
        {
            return Err(InvalidPort::Ranges { container: container.to_owned(), host: host.to_owned() });
        }
        Ok((first..=last)
            .map(|number| Publish {
                host_ip,
                host_port: host_range.map(|(from, _)| from + (number - first)).filter(|port| *port != 0),
                host_port_last: host_range.filter(|_| is_choice).map(|(_, last)| last),
                container: Port { number, protocol },
            })
            .collect())
    }
}

fn split_protocol(text: &str) -> Result<(&str, Protocol), InvalidPort> {
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Ok((rest, Protocol::Tcp)),
        "udp" => Ok((rest, Protocol::Udp)),
        "sctp" => Ok((rest, Protocol::Sctp)),
        _ => Err(InvalidPort::Protocol(protocol.to_owned())),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |s: &str| if s.starts_with('+') { None } else { s.parse::<u16>().ok() };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

impl FromStr for Port {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Port, InvalidPort> {
        match Port::parse_range(text)?.as_slice() {
            [port] => Ok(*port),
            _ => Err(InvalidPort::Container(text.to_owned())),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl serde::Serialize for Port {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Port {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Port, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let actual = match Publish::parse(text) {
            Ok(all) => all
                .iter()
                .flat_map(Publish::choices)
                .map(|p| {
                    let ip = p.host_ip.map_or("*".to_owned(), |ip| ip.to_string());
                    let port = p.host_port.map_or("?".to_owned(), |port| port.to_string());
                    format!("{ip} {port} {}", p.container)
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn every_form_of_publishing_is_understood() {
        check("80", "* ? 80/tcp");
        check("4000:80", "* 4000 80/tcp");
        check("53:53/udp", "* 53 53/udp");
        check("127.0.0.1:4000:80", "127.0.0.1 4000 80/tcp");
        check("127.0.0.1::80", "127.0.0.1 ? 80/tcp");
        check("[::1]:4000:80", "::1 4000 80/tcp");
        check("0:80", "* ? 80/tcp");
        check("8000-8002:80", "* 8000 80/tcp, * 8001 80/tcp, * 8002 80/tcp");
        check("8000-8001:80-81", "* 8000 80/tcp, * 8001 81/tcp");
    }

    #[test]
    fn what_publishes_nothing_says_why() {
        check("", "no port specified: <empty>");
        check("4000:", "no port specified: 4000:<empty>");
        check("4000:http", "invalid containerPort: http");
        check("x:80", "invalid hostPort: x");
        check("80:70000", "invalid containerPort: 70000");
        check("80/icmp", "invalid proto: icmp");
        check("300.0.0.1:1:1", "invalid IP address: 300.0.0.1");
        check("1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3");
    }
}
