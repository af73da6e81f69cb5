//! Names and hardware addresses of network interfaces.

use std::{fmt, net::Ipv4Addr, ops::Deref, path::Path, str::FromStr};

/// A network interface's name: 1 to 15 bytes the kernel and nftables take as they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct InterfaceName(String);

/// Not usable as the name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid interface name {0:?}: expected 1 to 15 of [a-zA-Z0-9_.-]")]
pub struct InvalidInterfaceName(String);

impl InterfaceName {
    /// The host's end of a container's `nth` interface: `veth`, ten digits of the container's id, and `nth`
    /// in base 36.
    ///
    /// Panics if `nth` is above 35.
    pub fn veth(container: &types::ContainerId, nth: u8) -> InterfaceName {
        let nth = char::from_digit(nth.into(), 36).expect("fewer than 36 interfaces");
        InterfaceName(format!("veth{}{nth}", &container.short()[..10]))
    }

    /// A container's `nth` interface as seen inside: `eth0`, `eth1`, …
    pub fn eth(nth: u8) -> InterfaceName {
        InterfaceName(format!("eth{nth}"))
    }

    /// Whether the calling thread's network namespace has such an interface.
    pub fn exists(&self) -> bool {
        Path::new("/proc/sys/net/ipv4/conf").join(&self.0).exists()
    }

    /// `lo`.
    pub(crate) fn loopback() -> InterfaceName {
        InterfaceName("lo".to_owned())
    }

    /// The name padded with zeros, as nftables compares it.
    pub(crate) fn padded(&self) -> [u8; 16] {
        let mut padded = [0; 16];
        padded[..self.0.len()].copy_from_slice(self.0.as_bytes());
        padded
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidInterfaceName;

    fn from_str(text: &str) -> Result<InterfaceName, InvalidInterfaceName> {
        let valid = (1..=15).contains(&text.len())
            && text != "."
            && text != ".."
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if valid {
            Ok(InterfaceName(text.to_owned()))
        } else {
            Err(InvalidInterfaceName(text.chars().take(40).collect()))
        }
    }
}

impl Deref for InterfaceName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for InterfaceName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<InterfaceName, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Docker's address for the interface that holds `address`: `02:42` and its four bytes. Whoever inherits
    /// the address inherits the neighbours' caches too.
    pub fn of(address: Ipv4Addr) -> Mac {
        let [a, b, c, d] = address.octets();
        Mac([0x02, 0x42, a, b, c, d])
    }
}

/// Not six hex numbers joined by colons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid MAC address: {0}")]
pub struct InvalidMac(String);

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Mac, InvalidMac> {
        let invalid = || InvalidMac(text.chars().take(40).collect());
        let mut parts = text.split(':');
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_none() { Ok(Mac(bytes)) } else { Err(invalid()) }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl serde::Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_the_kernel_would_cut_or_a_path_is_refused() {
        for valid in ["eth0", "br-0123456789ab", "a"] {
            assert!(valid.parse::<InterfaceName>().is_ok(), "{valid:?}");
        }
        for invalid in ["", "br-0123456789abc", "..", "a/b", "a b", "a:1"] {
            assert!(invalid.parse::<InterfaceName>().is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn a_containers_interfaces_have_names_of_their_own() {
        let id = types::ContainerId::from_random([0xab; 32]);
        assert_eq!(&*InterfaceName::veth(&id, 0), "vethababababab0");
        assert_eq!(&*InterfaceName::veth(&id, 35), "vethababababab".to_owned() + "z");
    }

    #[test]
    fn a_mac_prints_as_it_parses() {
        assert_eq!(Mac::of(Ipv4Addr::new(172, 17, 0, 2)).to_string(), "02:42:ac:11:00:02");
        assert_eq!("02:42:ac:11:00:02".parse(), Ok(Mac::of(Ipv4Addr::new(172, 17, 0, 2))));
        for invalid in ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "02:42:ac:11:00:+2", "2:42:ac:11:00:02"]
        {
            assert!(invalid.parse::<Mac>().is_err(), "{invalid:?}");
        }
    }
}
