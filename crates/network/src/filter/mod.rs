//! What the host's own firewall says, read from the kernel and thought through: for explanations, never for decisions.
//!
//! The kernel itself decides who reaches a published port (see [`crate::Firewall`]); this says beforehand what it will decide,
//! and which rule says so. What cannot be understood is said to be unknown.
//!
//! ```text
//! nftables (nft, firewalld, iptables, ufw) ──netlink──▶ nft, xt for iptables' matches ──▶ Filters ──▶ walk ──▶ Verdict
//! ```
//!
//! The tables of iptables-legacy are not read: see [`has_legacy`].

mod addresses;
mod explain;
mod nft;
mod remedy;
mod rule;
#[cfg(test)]
mod tests;
mod walk;
mod xt;

pub use self::{
    addresses::Addresses,
    explain::{Explanation, HostInterface, Obstacle, Published, Reach, Way, explain},
    nft::has_legacy,
    rule::{Action, Base, Chain, Field, Filters, Hook, Kind, Rule, Table, Test},
    walk::{Decision, Packet, Reason, State, Verdict},
};
