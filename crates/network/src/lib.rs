//! Connects containers: bridges, veth pairs, address translation, published ports, names.
//!
//! Speaks netlink to the kernel and plain data to its callers. Knows nothing of containers' lifecycles,
//! images, terminals or databases, and runs no helper programs.
//!
//! | what | costs a container's start |
//! |---|---|
//! | [`Bridge::ensure`] | two netlink questions, once the bridge is there |
//! | [`attach`] | two netlink batches: one on the host, one inside |
//! | [`Firewall::publish`] | one nftables transaction that adds set elements, never rules |
//!
//! [`Relay`] and [`dns::Resolver`] serve a running container. Each is a single descriptor, readable when
//! there is work, for somebody else's single-threaded event loop.

mod attachment;
mod bridge;
mod error;
mod family;
mod firewall;
mod interface;
pub mod ipv6;
mod lock;
mod namespace;
mod netlink;
mod places;
mod ports;
mod relay;
mod relayed_datagrams;
mod resolv_conf;
mod rootless;
mod trial;

pub mod dns;
pub mod filter;
pub mod subnets;

pub use attachment::{
    Attachment, Ipv6Attachment, IpvlanMode, MacvlanMode, Wiring, attach, detach, lead_out, loopback_up,
};
pub use bridge::{Bridge, Ipv6Subnet};
pub use error::NetworkError;
pub use family::Family;
pub use firewall::{Firewall, Forward};
pub use interface::{InterfaceName, InvalidInterfaceName, Mac};
pub use lock::HostLock;
pub use namespace::within;
pub use ports::{Holder, Reservation, ReserveError, reserve};
pub use relay::Relay;
pub use relayed_datagrams::RelayedDatagrams;
pub use resolv_conf::{Mode, Overrides, SYSTEMD_RESOLV_CONF, is_stub, resolv_conf, upstreams};
pub use rootless::RootlessNetns;
pub use trial::{Abilities, try_out};
