//! Choosing addresses for a new network.

use std::{io, net::Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{NetworkError, netlink::Route};

/// How many addresses a network is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// As many as docker's: 65,000 or 4,000.
    Large,
    /// 250, so that a host has room for thousands of networks where docker has it for 31.
    Small,
}

/// The first subnet of docker's pool that overlaps neither `taken` nor anything this host has an address in
/// or a route to. `None` if there is none left.
pub fn free(taken: &[Ipv4Net], size: Size) -> Result<Option<Ipv4Net>, NetworkError> {
    let route = Route::open().map_err(NetworkError::refused("open a netlink socket"))?;
    let mut used = route.destinations().map_err(NetworkError::refused("read the host's routes"))?;
    used.extend_from_slice(taken);
    Ok(choose(&used, size))
}

/// A subnet of addresses that nobody else has: 40 bits of chance below fd00::/8, as RFC 4193 wants them.
pub fn unique_local() -> io::Result<Ipv6Net> {
    let mut octets = [0; 16];
    getrandom(&mut octets[1..6], GetRandomFlags::empty())?;
    octets[0] = 0xfd;
    Ok(Ipv6Net::new_assert(octets.into(), 64))
}

fn choose(used: &[Ipv4Net], size: Size) -> Option<Ipv4Net> {
    let is_free = |subnet: &Ipv4Net| used.iter().all(|used| !overlap(subnet, used));
    match size {
        Size::Large => pool().find(is_free),
        // The first of the pool is for large networks as long as there is another.
        Size::Small => pool().skip(1).chain(pool().take(1)).flat_map(pieces).find(is_free),
    }
}

/// The subnets of 256 addresses in a large one.
fn pieces(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Net> {
    subnet.subnets(24).into_iter().flatten()
}

/// 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20.
fn pool() -> impl Iterator<Item = Ipv4Net> {
    let large = (17..=31).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..16).map(|third| (Ipv4Addr::new(192, 168, third * 16, 0), 20));
    large.chain(small).map(|(address, prefix)| Ipv4Net::new_assert(address, prefix))
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(used: &[&str], expected: &str) {
        check_size(Size::Large, used, expected);
    }

    fn check_size(size: Size, used: &[&str], expected: &str) {
        let used: Vec<Ipv4Net> = used.iter().map(|subnet| subnet.parse().unwrap()).collect();
        let chosen = choose(&used, size).map(|subnet| subnet.to_string());
        assert_eq!(chosen.unwrap_or_default(), expected, "{used:?}");
    }

    #[test]
    fn small_subnets_fill_what_is_free_between_the_others() {
        check_size(Size::Small, &[], "172.18.0.0/24");
        check_size(Size::Small, &["172.17.0.0/16", "172.18.0.0/24", "172.18.1.0/25"], "172.18.2.0/24");
        check_size(Size::Small, &["172.16.0.0/12"], "192.168.0.0/24");
        let mut used = vec!["172.17.0.0/16".to_owned()];
        for _ in 0..1000 {
            let taken: Vec<_> = used.iter().map(|subnet| subnet.parse().unwrap()).collect();
            used.push(choose(&taken, Size::Small).expect("room for a thousand").to_string());
        }
        assert_eq!(used[1000], "172.21.231.0/24");
    }

    #[test]
    fn the_first_subnet_that_overlaps_nothing_is_chosen() {
        check(&[], "172.17.0.0/16");
        check(&["172.17.0.0/16"], "172.18.0.0/16");
        check(&["172.17.200.1/24", "172.18.0.0/15"], "172.20.0.0/16");
        check(&["172.16.0.0/12"], "192.168.0.0/20");
        check(&["172.16.0.0/12", "192.168.1.7/24"], "192.168.16.0/20");
        check(&["172.16.0.0/12", "192.168.0.0/16"], "");
    }
}
