//! Sets of addresses: those that a rule is about, and those that are left for the next one.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpSubnets, Ipv4Subnets, Ipv6Subnets};

use crate::Family;

/// Addresses of one family, as numbers: sorted ranges that do not touch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    family: Family,
    ranges: Vec<(u128, u128)>,
}

impl Addresses {
    pub fn all(family: Family) -> Addresses {
        Addresses { family, ranges: vec![(0, highest(family))] }
    }

    pub fn none(family: Family) -> Addresses {
        Addresses { family, ranges: Vec::new() }
    }

    /// Those within `ranges`, each from a first to a last one, in any order.
    pub fn within(family: Family, ranges: &[(u128, u128)]) -> Addresses {
        let mut sorted: Vec<_> = ranges.iter().filter(|(first, last)| first <= last).copied().collect();
        sorted.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::new();
        for (first, last) in sorted {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Addresses { family, ranges: joined }
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let number = match address {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        };
        Family::of(address) == self.family
            && self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    pub fn and(&self, other: &Addresses) -> Addresses {
        let both = self.ranges.iter().flat_map(|a| {
            let pairs = other.ranges.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1)));
            pairs.filter(|(first, last)| first <= last)
        });
        Addresses { family: self.family, ranges: both.collect() }
    }

    pub fn or(&self, other: &Addresses) -> Addresses {
        Addresses::within(self.family, &[self.ranges.as_slice(), other.ranges.as_slice()].concat())
    }

    pub fn without(&self, other: &Addresses) -> Addresses {
        self.and(&other.others())
    }

    /// All that are not among these.
    fn others(&self) -> Addresses {
        let mut ranges = Vec::new();
        let mut next = Some(0);
        for (first, last) in &self.ranges {
            if let Some(start) = next.filter(|start| start < first) {
                ranges.push((start, first - 1));
            }
            next = last.checked_add(1);
        }
        let highest = highest(self.family);
        ranges.extend(next.filter(|start| *start <= highest).map(|start| (start, highest)));
        Addresses { family: self.family, ranges }
    }

    /// As few prefixes as there are for these.
    fn prefixes(&self) -> Vec<String> {
        let subnets = |(first, last): &(u128, u128)| -> IpSubnets {
            match self.family {
                Family::V4 => {
                    Ipv4Subnets::new(Ipv4Addr::from_bits(*first as u32), Ipv4Addr::from_bits(*last as u32), 0)
                        .into()
                }
                Family::V6 => {
                    Ipv6Subnets::new(Ipv6Addr::from_bits(*first), Ipv6Addr::from_bits(*last), 0).into()
                }
            }
        };
        let text = |prefix: ipnet::IpNet| match prefix.prefix_len() == prefix.max_prefix_len() {
            true => prefix.addr().to_string(),
            false => prefix.to_string(),
        };
        self.ranges.iter().flat_map(subnets).map(text).collect()
    }
}

/// `everybody`, `nobody`, prefixes, or everybody but some.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.others();
        if others.is_empty() {
            return f.write_str("everybody");
        }
        if self.is_empty() {
            return f.write_str("nobody");
        }
        let (own, but) = (self.prefixes(), others.prefixes());
        if but.len() < own.len() {
            write!(f, "everybody but {}", but.join(", "))
        } else {
            f.write_str(&own.join(", "))
        }
    }
}

/// The highest address of a family.
fn highest(family: Family) -> u128 {
    u128::MAX >> (128 - family.bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(prefixes: &[&str]) -> Addresses {
        let ranges: Vec<_> = prefixes
            .iter()
            .map(|text| text.parse::<ipnet::Ipv4Net>().unwrap())
            .map(|net| (net.network().to_bits().into(), net.broadcast().to_bits().into()))
            .collect();
        Addresses::within(Family::V4, &ranges)
    }

    #[test]
    fn sets_are_joined_cut_and_taken_from_each_other() {
        let all = Addresses::all(Family::V4);
        let private = v4(&["10.0.0.0/8", "192.168.0.0/16"]);
        assert_eq!(all.without(&private).and(&private), Addresses::none(Family::V4));
        assert_eq!(all.without(&private).or(&private), all);
        assert_eq!(v4(&["10.0.0.128/25", "10.0.0.0/25"]), v4(&["10.0.0.0/24"]));
        assert_eq!(private.without(&v4(&["10.0.0.0/8"])), v4(&["192.168.0.0/16"]));
        assert_eq!(all.without(&all).to_string(), "nobody");
        let six = Addresses::all(Family::V6);
        assert_eq!(six.without(&Addresses::none(Family::V6)), six);
    }

    #[test]
    fn they_read_as_people_would_put_it() {
        let all = Addresses::all(Family::V4);
        assert_eq!(all.to_string(), "everybody");
        assert_eq!(v4(&["10.0.0.0/8", "10.9.0.1/32"]).to_string(), "10.0.0.0/8");
        assert_eq!(v4(&["192.168.1.7/32", "10.0.0.0/8"]).to_string(), "10.0.0.0/8, 192.168.1.7");
        assert_eq!(all.without(&v4(&["10.9.0.1/32"])).to_string(), "everybody but 10.9.0.1");
    }
}
