//! The names of a network's containers: files that come and go with the containers.
//!
//! ```text
//! <network>/names/<lower-case name>/<address>  empty; a name with several addresses has several
//! <network>/addresses/<address>                its second line is the container's name
//! ```

use std::{
    cell::Cell,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use super::message::{Answer, Kind, Question};

/// The names a container may know: those of its networks.
#[derive(Debug)]
pub(super) struct Names {
    networks: Vec<PathBuf>,
    /// Who of several comes first differs from answer to answer.
    turn: Cell<usize>,
}

impl Names {
    pub fn new(networks: Vec<PathBuf>) -> Names {
        Names { networks, turn: Cell::new(0) }
    }

    /// `None` if the question is for others to answer.
    pub fn answer(&self, question: &Question<'_>) -> Option<Answer> {
        if let Some(address) = reverse(&question.name) {
            return match question.kind {
                Kind::Pointer => self.name(address).map(Answer::Name),
                _ => None,
            };
        }
        let mut addresses = self.addresses(&question.name)?;
        addresses.retain(|address| match question.kind {
            Kind::Address => address.is_ipv4(),
            Kind::Ipv6Address => address.is_ipv6(),
            Kind::AnyAddress => true,
            Kind::Pointer | Kind::Other => false,
        });
        if !addresses.is_empty() {
            let turn = self.turn.get();
            self.turn.set(turn.wrapping_add(1));
            let first = turn % addresses.len();
            addresses.rotate_left(first);
        }
        Some(Answer::Addresses(addresses))
    }

    /// The addresses of a name, `None` if there is no such name.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        if !is_file_name(name) {
            return None;
        }
        let mut addresses = Vec::new();
        for network in &self.networks {
            let Ok(entries) = fs::read_dir(network.join("names").join(name)) else { continue };
            let address = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<IpAddr>().ok();
            addresses.extend(entries.flatten().filter_map(address));
        }
        if addresses.is_empty() {
            return None;
        }
        addresses.sort_unstable();
        addresses.dedup();
        Some(addresses)
    }

    fn name(&self, address: IpAddr) -> Option<String> {
        self.networks.iter().find_map(|network| {
            let lines = fs::read_to_string(network.join("addresses").join(address.to_string())).ok()?;
            lines.lines().nth(1).filter(|name| !name.is_empty()).map(str::to_owned)
        })
    }
}

fn is_file_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// The address that a name below in-addr.arpa or ip6.arpa is about.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".ip6.arpa") {
        let mut address: u128 = 0;
        for (nth, digit) in digits.split('.').enumerate() {
            let digit = if digit.len() == 1 { u128::from_str_radix(digit, 16).ok()? } else { return None };
            address |= digit.checked_shl(4 * u32::try_from(nth).ok()?)?;
        }
        return (digits.len() == 63).then(|| Ipv6Addr::from_bits(address).into());
    }
    let reversed: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [d, c, b, a] = reversed.octets();
    Some(Ipv4Addr::new(a, b, c, d).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_are_read_backwards() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(reverse(name).map(|address| address.to_string()).as_deref(), expected, "{name}");
        };
        check("2.0.30.172.in-addr.arpa", Some("172.30.0.2"));
        let zeros = "0.".repeat(27);
        check(&format!("2.0.0.{zeros}d.f.ip6.arpa"), Some("fd00::2"));
        check(&format!("{zeros}d.f.ip6.arpa"), None);
        check("web", None);
    }
}
