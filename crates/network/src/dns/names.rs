//! The names of a network's containers: files that come and go with the containers.
//!
//! ```text
//! <network>/names/<lower-case name>/<ipv4>    empty; a name with several addresses has several
//! <network>/addresses/<ipv4>                  its second line is the container's name
//! ```

use std::{cell::Cell, fs, net::Ipv4Addr, path::PathBuf};

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
        let addresses = self.addresses(&question.name)?;
        Some(Answer::Addresses(if question.kind == Kind::Address { addresses } else { Vec::new() }))
    }

    /// The addresses of a name, `None` if there is no such name.
    fn addresses(&self, name: &str) -> Option<Vec<Ipv4Addr>> {
        if !is_file_name(name) {
            return None;
        }
        let mut addresses = Vec::new();
        for network in &self.networks {
            let Ok(entries) = fs::read_dir(network.join("names").join(name)) else { continue };
            let address = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<Ipv4Addr>().ok();
            addresses.extend(entries.flatten().filter_map(address));
        }
        if addresses.is_empty() {
            return None;
        }
        addresses.sort_unstable();
        addresses.dedup();
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let first = turn % addresses.len();
        addresses.rotate_left(first);
        Some(addresses)
    }

    fn name(&self, address: Ipv4Addr) -> Option<String> {
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

/// The address that a name below in-addr.arpa is about.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let reversed: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [d, c, b, a] = reversed.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}
