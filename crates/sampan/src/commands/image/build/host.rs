//! `--add-host`: names that RUN's processes find in `/etc/hosts`.

use builder::{ExtraHost, HostAddress};

use super::fields::fields;

/// `name:address` or `name=address`, several of them with commas between.
pub fn hosts(list: &[String]) -> anyhow::Result<Vec<ExtraHost>> {
    let mut hosts = Vec::new();
    for text in list.iter().filter(|text| !text.is_empty()) {
        for field in fields(text)? {
            hosts.push(host(&field).ok_or_else(|| anyhow::anyhow!("invalid host {field}"))?);
        }
    }
    Ok(hosts)
}

fn host(text: &str) -> Option<ExtraHost> {
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':'))?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    let address = match bare {
        "host-gateway" => HostAddress::Gateway,
        address => HostAddress::Ip(address.parse().ok()?),
    };
    (!name.is_empty()).then(|| ExtraHost { name: name.to_owned(), address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_and_an_address() {
        let ip = |address: &str| HostAddress::Ip(address.parse().expect(address));
        for (text, name, address) in [
            ("foo:1.2.3.4", "foo", ip("1.2.3.4")),
            ("foo=1.2.3.4", "foo", ip("1.2.3.4")),
            ("foo=[::1]", "foo", ip("::1")),
            ("foo:::1", "foo", ip("::1")),
            ("x:host-gateway", "x", HostAddress::Gateway),
        ] {
            let host = host(text).expect(text);
            assert_eq!((host.name.as_str(), host.address), (name, address), "{text}");
        }
        assert_eq!(hosts(&["a:1.1.1.1,b:2.2.2.2".into()]).expect("two").len(), 2);
        for text in ["foo", "foo:bar", "foo:", ":1.2.3.4"] {
            assert_eq!(hosts(&[text.into()]).expect_err(text).to_string(), format!("invalid host {text}"));
        }
    }
}
