//! The options that say which networks a container is in, and how.

use std::{fmt::Display, net::IpAddr, str::FromStr};

use clap::Args;
use engine::{
    EngineError,
    container::{EndpointSettings, HostAddress, Naming},
};

/// How a container is to be connected, and what it calls itself and others.
#[derive(Args)]
pub struct Networks {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list", value_parser = extra_host)]
    add_host: Vec<(String, HostAddress)>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = server)]
    dns: Vec<IpAddr>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = domain)]
    dns_search: Vec<String>,
    /// Container NIS domain name
    #[arg(long, value_name = "string")]
    domainname: Option<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string")]
    ip: Option<String>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "string")]
    ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = link)]
    link: Vec<(String, String)>,
    /// Container IPv4/IPv6 link-local addresses
    #[arg(long, value_name = "list")]
    link_local_ip: Vec<String>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string")]
    mac_address: Option<String>,
    /// Connect a container to a network
    #[arg(long, alias = "net", value_name = "network", value_parser = target)]
    network: Vec<Target>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "list")]
    network_alias: Vec<String>,
}

/// A network as `--network` names it, with what is said of the container's place there.
#[derive(Debug, Clone, Default)]
pub struct Target {
    name: String,
    aliases: Vec<String>,
    links: Vec<(String, String)>,
    ip: Option<String>,
    ip6: Option<String>,
    link_local: Vec<String>,
    mac: Option<String>,
    driver_options: Vec<(String, String)>,
    gateway_priority: i32,
}

impl Networks {
    /// The networks by name, each with what is special about the container's place in it.
    pub fn memberships(&self) -> anyhow::Result<Vec<(String, EndpointSettings)>> {
        let is_users = |name: &str| {
            !matches!(name, "bridge" | "default" | "host" | "none") && !name.starts_with("container:")
        };
        let mut networks = self.network.clone();
        if networks.is_empty() {
            networks.push(Target { name: "bridge".to_owned(), ..Target::default() });
        }
        self.add_to(&mut networks[0])?;
        for (index, Target { name, .. }) in networks.iter().enumerate() {
            if networks[..index].iter().any(|other| other.name == *name) {
                anyhow::bail!("network {name:?} is specified multiple times");
            }
        }
        let users = networks.iter().filter(|network| is_users(&network.name)).count();
        if users > 0 && users < networks.len() {
            anyhow::bail!(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
            );
        }
        networks.into_iter().map(|network| Ok((network.name.clone(), network.settings()?))).collect()
    }

    /// What the container calls itself and others, and whom it asks for names.
    pub fn naming(&self) -> Naming {
        Naming {
            domain: self.domainname.clone().unwrap_or_default(),
            servers: self.dns.clone(),
            search: self.dns_search.clone(),
            options: self.dns_option.clone(),
            hosts: self.add_host.clone(),
        }
    }

    /// The options beside `--network` are about the first one.
    fn add_to(&self, first: &mut Target) -> anyhow::Result<()> {
        let both = |one: bool, other: bool, what: &str| match one && other {
            true => Err(anyhow::anyhow!("conflicting options: cannot specify both {what}")),
            false => Ok(()),
        };
        let (aliases, local) = (&self.network_alias, &self.link_local_ip);
        both(!first.aliases.is_empty(), !aliases.is_empty(), "--network-alias and per-network alias")?;
        both(!first.links.is_empty(), !self.link.is_empty(), "--link and per-network links")?;
        both(first.ip.is_some(), self.ip.is_some(), "--ip and per-network IPv4 address")?;
        both(first.ip6.is_some(), self.ip6.is_some(), "--ip6 and per-network IPv6 address")?;
        both(first.mac.is_some(), self.mac_address.is_some(), "--mac-address and per-network MAC address")?;
        let what = "--link-local-ip and per-network link-local IP addresses";
        both(!first.link_local.is_empty(), !local.is_empty(), what)?;
        first.aliases.extend(aliases.iter().cloned());
        first.links.extend(self.link.iter().cloned());
        first.link_local.extend(local.iter().cloned());
        first.ip = self.ip.clone().or(first.ip.take());
        first.ip6 = self.ip6.clone().or(first.ip6.take());
        first.mac = self.mac_address.clone().or(first.mac.take());
        Ok(())
    }
}

impl Target {
    fn settings(self) -> anyhow::Result<EndpointSettings> {
        let name = self.name.as_str();
        let mac =
            |text: &String| text.parse().map_err(|_| anyhow::anyhow!("{text} is not a valid mac address"));
        Ok(EndpointSettings {
            ip: self.ip.as_ref().map(|text| address(name, "IPv4", text)).transpose()?,
            ip6: self.ip6.as_ref().map(|text| address(name, "IPv6", text)).transpose()?,
            link_local: self
                .link_local
                .iter()
                .map(|text| address(name, "link-local IP", text))
                .collect::<Result<_, _>>()?,
            mac: self.mac.as_ref().map(mac).transpose()?,
            aliases: self.aliases,
            links: self.links,
            gateway_priority: self.gateway_priority,
            driver_options: self.driver_options,
        })
    }
}

/// A name, or a list of settings with a name among them.
fn target(text: &str) -> Result<Target, String> {
    let mut target = Target::default();
    if !text.contains('=') {
        text.clone_into(&mut target.name);
        return Ok(target);
    }
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        let (key, value) = (key.trim().to_lowercase(), value.trim().to_owned());
        match key.as_str() {
            "name" => target.name = value,
            "alias" => target.aliases.push(value),
            "ip" => target.ip = Some(value),
            "ip6" => target.ip6 = Some(value),
            "link-local-ip" => target.link_local.push(value),
            "mac-address" => target.mac = Some(value),
            "driver-opt" => {
                let (key, value) =
                    value.split_once('=').ok_or("invalid key value pair format in driver options")?;
                target.driver_options.push((key.trim().to_lowercase(), value.trim().to_owned()));
            }
            "gw-priority" => {
                target.gateway_priority =
                    value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if target.name.is_empty() { Err("network name/id is not specified".to_owned()) } else { Ok(target) }
}

/// `container[:alias]`.
pub fn link(text: &str) -> Result<(String, String), String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (container, alias) = match parts.as_slice() {
        [""] => return Err("empty string specified for links".to_owned()),
        [container] => (*container, *container),
        [container, alias] => (*container, *alias),
        _ => return Err(format!("bad format for links: {text}")),
    };
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    Ok((container.trim_start_matches('/').to_owned(), alias.to_owned()))
}

/// `name:address` or `name=address`, the address perhaps in brackets; `host-gateway` is the host's.
fn extra_host(text: &str) -> Result<(String, HostAddress), String> {
    let separator = text.find('=').or_else(|| text.find(':'));
    let parts = separator.map(|at| (&text[..at], &text[at + 1..]));
    let (name, address) = parts
        .filter(|(name, address)| !name.is_empty() && !address.is_empty())
        .ok_or_else(|| format!("bad format for add-host: {text:?}"))?;
    if address == "host-gateway" {
        return Ok((name.to_owned(), HostAddress::Gateway));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address = bare.parse().map_err(|_| format!("invalid IP address in add-host: {address:?}"))?;
    Ok((name.to_owned(), HostAddress::Ip(address)))
}

fn server(text: &str) -> Result<IpAddr, String> {
    text.trim().parse().map_err(|_| format!("IP address is not correctly formatted: {text}"))
}

/// A domain of labels; `.` alone stands for having none.
fn domain(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && !label.starts_with('-')
    };
    let is_domain = text == "." || text.strip_suffix('.').unwrap_or(text).split('.').all(is_label);
    if is_domain { Ok(text.to_owned()) } else { Err(format!("{text} is not a valid domain")) }
}

/// An address for a place in `network`, refused as docker's daemon does.
pub fn address<T: FromStr<Err: Display>>(network: &str, kind: &str, text: &str) -> Result<T, EngineError> {
    text.parse().map_err(|_| {
        EngineError::Invalid(format!(
            "invalid config for network {network}: invalid endpoint settings:\ninvalid {kind} address: {text}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(targets: &[&str]) -> Result<Vec<(String, EndpointSettings)>, String> {
        let networks = Networks {
            add_host: Vec::new(),
            dns: Vec::new(),
            dns_option: Vec::new(),
            dns_search: Vec::new(),
            domainname: None,
            ip: None,
            ip6: None,
            link: Vec::new(),
            link_local_ip: Vec::new(),
            mac_address: None,
            network: targets.iter().map(|text| target(text)).collect::<Result<_, _>>()?,
            network_alias: vec!["www".to_owned()],
        };
        networks.memberships().map_err(|error| error.to_string())
    }

    #[test]
    fn a_network_is_a_name_or_a_list_of_settings() {
        let targets = ["blue", "name=red,alias=db,ip=10.1.0.9,gw-priority=7,driver-opt=a=b"];
        let parsed = parse(&targets).expect("valid");
        assert_eq!((parsed[0].0.as_str(), &*parsed[0].1.aliases), ("blue", &["www".to_owned()][..]));
        let (name, red) = &parsed[1];
        assert_eq!((name.as_str(), &*red.aliases), ("red", &["db".to_owned()][..]));
        assert_eq!((red.ip, red.gateway_priority), (Some([10, 1, 0, 9].into()), 7));
        assert_eq!(red.driver_options, [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn what_does_not_go_together_is_told_in_dockers_words() {
        let check = |targets: &[&str], expected: &str| {
            assert_eq!(parse(targets).expect_err("invalid"), expected);
        };
        check(&["alias=x"], "network name/id is not specified");
        check(&["name=a,b"], "invalid field b");
        check(&["name=a,colour=b"], "invalid field key colour");
        check(&["name=a,gw-priority=x"], "invalid gw-priority (x): invalid syntax");
        check(&["name=a,mac-address=zz"], "zz is not a valid mac address");
        check(&["a", "a"], "network \"a\" is specified multiple times");
        check(
            &["a", "host"],
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        );
        check(
            &["name=a,alias=x"],
            "conflicting options: cannot specify both --network-alias and per-network alias",
        );
    }

    #[test]
    fn a_link_has_a_name_or_two() {
        assert_eq!(link("db").expect("valid"), ("db".to_owned(), "db".to_owned()));
        assert_eq!(link("/web/db:store").expect("valid"), ("web/db".to_owned(), "store".to_owned()));
        assert_eq!(link("a:b:c").expect_err("invalid"), "bad format for links: a:b:c");
    }

    #[test]
    fn hosts_have_addresses_of_either_family() {
        let ip = |text: &str| HostAddress::Ip(text.parse().expect("valid"));
        assert_eq!(extra_host("a:10.0.0.1"), Ok(("a".to_owned(), ip("10.0.0.1"))));
        assert_eq!(extra_host("a:::1"), Ok(("a".to_owned(), ip("::1"))));
        assert_eq!(extra_host("a=[::1]"), Ok(("a".to_owned(), ip("::1"))));
        assert_eq!(extra_host("a=host-gateway"), Ok(("a".to_owned(), HostAddress::Gateway)));
        assert_eq!(extra_host("x"), Err("bad format for add-host: \"x\"".to_owned()));
        assert_eq!(extra_host("a:b"), Err("invalid IP address in add-host: \"b\"".to_owned()));
        assert_eq!(domain(".."), Err(".. is not a valid domain".to_owned()));
        assert_eq!(domain("corp.example"), Ok("corp.example".to_owned()));
    }
}
