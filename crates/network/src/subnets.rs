//! Choosing addresses for a new network.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{NetworkError, netlink::Route};

/// The first subnet of docker's pool that overlaps neither `taken` nor anything this host has an address in
/// or a route to. `None` if there is none left.
pub fn free(taken: &[Ipv4Net]) -> Result<Option<Ipv4Net>, NetworkError> {
    let route = Route::open().map_err(NetworkError::refused("open a netlink socket"))?;
    let mut used = route.destinations().map_err(NetworkError::refused("read the host's routes"))?;
    used.extend_from_slice(taken);
    Ok(choose(&used))
}

fn choose(used: &[Ipv4Net]) -> Option<Ipv4Net> {
    pool().find(|subnet| used.iter().all(|used| !overlap(subnet, used)))
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
        let used: Vec<Ipv4Net> = used.iter().map(|subnet| subnet.parse().unwrap()).collect();
        assert_eq!(choose(&used).map(|subnet| subnet.to_string()).unwrap_or_default(), expected, "{used:?}");
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
