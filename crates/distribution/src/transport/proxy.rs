//! Proxies, as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name them.

use std::{env, fmt, net::IpAddr};

use ipnet::IpNet;
use ureq::Proxy;

use crate::{SettingsError, location::Origin, settings::host_of};

/// Which proxy is between us and a host, if any. Connections pass through it with CONNECT.
#[derive(Clone)]
pub struct Proxies {
    /// For `https` URLs.
    secure: Option<Proxy>,
    /// For `http` URLs.
    plain: Option<Proxy>,
    direct: Vec<Exception>,
}

/// Hosts that are spoken to directly.
#[derive(Debug, Clone, PartialEq)]
enum Exception {
    Everyone,
    Network(IpNet),
    /// The host itself, where `itself`, and everything below it; on one port, or on every one.
    Name {
        name: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    pub fn none() -> Proxies {
        Proxies { secure: None, plain: None, direct: Vec::new() }
    }

    /// The proxies of these values of the three variables.
    pub fn new(secure: Option<&str>, plain: Option<&str>, direct: &str) -> Result<Proxies, SettingsError> {
        let proxy = |variable, value: Option<&str>| match value {
            Some(value) => Proxy::new(value)
                .ok()
                .filter(|proxy| {
                    matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https)
                })
                .map(Some)
                .ok_or(SettingsError::Proxy { variable }),
            None => Ok(None),
        };
        Ok(Proxies {
            secure: proxy("HTTPS_PROXY", secure)?,
            plain: proxy("HTTP_PROXY", plain)?,
            direct: direct.split([',', ' ']).filter_map(|entry| Exception::parse(entry.trim())).collect(),
        })
    }

    /// The proxies that the environment names, in upper or lower case.
    pub(crate) fn from_environment() -> Result<Proxies, SettingsError> {
        let variable = |upper: &str| {
            [upper.to_owned(), upper.to_lowercase()]
                .into_iter()
                .filter_map(|name| env::var(name).ok())
                .find(|value| !value.is_empty())
        };
        Proxies::new(
            variable("HTTPS_PROXY").as_deref(),
            variable("HTTP_PROXY").as_deref(),
            &variable("NO_PROXY").unwrap_or_default(),
        )
    }

    /// The proxy on the way to `origin`. This machine is always spoken to directly.
    pub(super) fn to(&self, origin: &Origin) -> Option<&Proxy> {
        let proxy = if origin.secure { &self.secure } else { &self.plain };
        let host = host_of(&origin.host);
        let is_here =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_direct = is_here || self.direct.iter().any(|exception| exception.covers(host, origin.port));
        proxy.as_ref().filter(|_| !is_direct)
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Exception> {
        let entry = entry.to_ascii_lowercase();
        if entry.is_empty() {
            return None;
        }
        if entry == "*" {
            return Some(Exception::Everyone);
        }
        if let Ok(network) = entry.parse::<IpNet>() {
            return Some(Exception::Network(network));
        }
        if let Ok(address) = entry.parse::<IpAddr>() {
            return Some(Exception::Network(address.into()));
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !entry.ends_with(']') => (name, Some(port.parse().ok()?)),
            _ => (entry.as_str(), None),
        };
        let below = name.strip_prefix("*.").or_else(|| name.strip_prefix('.'));
        let name = host_of(below.unwrap_or(name)).to_owned();
        Some(Exception::Name { name, itself: below.is_none(), port })
    }

    fn covers(&self, host: &str, at: u16) -> bool {
        match self {
            Exception::Everyone => true,
            Exception::Network(network) => {
                host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }
            Exception::Name { name, itself, port } => {
                port.is_none_or(|port| port == at)
                    && (*itself && host == name
                        || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.')))
            }
        }
    }
}

/// A proxy's URL may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("secure", &self.secure.is_some())
            .field("plain", &self.plain.is_some())
            .field("direct", &self.direct)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_names_suffixes_networks_and_ports() {
        let direct =
            "example.com, .corp.example,*.x.example,10.0.0.0/8,192.168.1.1,port.example:5000,fd00::/8";
        let proxies = Proxies::new(Some("http://p:3128"), None, direct).unwrap();
        let is_direct = |url: &str| proxies.to(&Origin::of(&url.parse().unwrap()).unwrap()).is_none();
        for url in [
            "https://example.com",
            "https://sub.Example.com:8443",
            "https://a.corp.example",
            "https://a.x.example",
            "https://10.1.2.3",
            "https://192.168.1.1:5000",
            "https://port.example:5000",
            "https://[fd00::1]",
            "https://localhost:5000",
            "https://127.0.0.1",
            "https://[::1]",
        ] {
            assert!(is_direct(url), "{url}");
        }
        for url in [
            "https://notexample.com",
            "https://corp.example",
            "https://11.0.0.1",
            "https://192.168.1.2",
            "https://port.example",
            "https://example.com.evil",
        ] {
            assert!(!is_direct(url), "{url}");
        }
        assert!(is_direct("http://elsewhere"), "HTTPS_PROXY is not for http");
    }

    #[test]
    fn a_star_is_everyone_and_nonsense_is_refused_without_being_repeated() {
        let all = Proxies::new(Some("http://p:3128"), Some("p:3128"), "*").unwrap();
        assert!(all.to(&Origin::of(&"https://a".parse().unwrap()).unwrap()).is_none());
        for nonsense in ["socks5://me:secret@p", "http://", "::me:secret@"] {
            let error = Proxies::new(Some(nonsense), None, "").unwrap_err().to_string();
            assert_eq!(error, "HTTPS_PROXY is not the URL of a proxy", "{nonsense}");
        }
        let proxies = Proxies::new(Some("http://me:secret@p:3128"), None, "").unwrap();
        assert!(!format!("{proxies:?}").contains("secret"));
    }
}
