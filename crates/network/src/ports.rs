//! Ports of the host, held by a socket for as long as they are published.
//!
//! The firewall redirects what comes in over IPv4 before it reaches the socket. The socket keeps others off
//! the port, finds out who is on it already, and receives what the firewall cannot redirect: see
//! [`crate::Relay`].

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt},
};
use types::{Protocol, Publish};

/// A port of the host that is ours.
#[derive(Debug)]
pub struct Reservation {
    /// What was asked for, with the host's port filled in.
    pub publish: Publish,
    /// Bound, non-blocking, and listening if its protocol connects. `None` for a protocol of which this kernel only
    /// passes on the packets.
    pub socket: Option<OwnedFd>,
}

/// A process that has a port of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    pub name: String,
    pub pid: u32,
}

/// A port of the host that cannot be ours.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error("failed to bind host port {address}/{protocol}: address already in use{}", by(.holder))]
    InUse { address: SocketAddr, protocol: Protocol, holder: Option<Holder> },
    #[error("failed to bind host port {address}/{protocol}: this host has no such address")]
    NotOurs { address: SocketAddr, protocol: Protocol },
    #[error("failed to bind host port {address}/{protocol}")]
    Bind { address: SocketAddr, protocol: Protocol, source: io::Error },
}

/// Takes the host's port that `publish` names, the first that is free of several, or any free one if it names none.
///
/// On every address of the host that is one socket for IPv4 and IPv6.
pub fn reserve(publish: &Publish) -> Result<Reservation, ReserveError> {
    let mut refusal = None;
    for choice in publish.choices() {
        match reserve_one(&choice) {
            Err(error @ ReserveError::InUse { .. }) => refusal = Some(error),
            outcome => return outcome,
        }
    }
    Err(refusal.expect("there is at least one choice"))
}

fn reserve_one(publish: &Publish) -> Result<Reservation, ReserveError> {
    let protocol = publish.container.protocol;
    let port = publish.host_port.unwrap_or(0);
    let address = publish.host_ip.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    let only = if publish.host_ip.is_some() { Reach::OneFamily } else { Reach::BothFamilies };
    let bound = match open(SocketAddr::new(address, port), protocol, only) {
        // The kernel was told to do without IPv6.
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if publish.host_ip.is_none() => {
            open((Ipv4Addr::UNSPECIFIED, port).into(), protocol, Reach::OneFamily)
        }
        bound => bound,
    };
    if let (Err(Errno::PROTONOSUPPORT), Some(_)) = (&bound, publish.host_port) {
        return Ok(Reservation { publish: *publish, socket: None });
    }
    let asked = publish.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let (socket, port) = bound.map_err(|error| {
        let address = SocketAddr::new(asked, port);
        match error {
            Errno::ADDRINUSE => ReserveError::InUse { address, protocol, holder: holder(port, protocol) },
            Errno::ADDRNOTAVAIL => ReserveError::NotOurs { address, protocol },
            error => ReserveError::Bind { address, protocol, source: error.into() },
        }
    })?;
    Ok(Reservation { publish: Publish { host_port: Some(port), ..*publish }, socket: Some(socket) })
}

/// What an unspecified IPv6 address stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    BothFamilies,
    OneFamily,
}

fn open(address: SocketAddr, protocol: Protocol, reach: Reach) -> Result<(OwnedFd, u16), Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let (kind, transport) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, rustix::net::ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, rustix::net::ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, rustix::net::ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(transport))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, reach == Reach::OneFamily)?;
    }
    if protocol != Protocol::Udp {
        // Connections that linger after an earlier use of the port do not keep it from being used again.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    if protocol != Protocol::Udp {
        listen(&socket, BACKLOG)?;
    }
    let bound = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

/// Who has this port, if /proc lets us find out. Reads the sockets of every process: for error messages only.
fn holder(port: u16, protocol: Protocol) -> Option<Holder> {
    let (tables, listening) = match protocol {
        Protocol::Tcp => (["tcp", "tcp6"], "0A"),
        Protocol::Udp => (["udp", "udp6"], "07"),
        Protocol::Sctp => return None,
    };
    let inodes: Vec<String> = tables
        .into_iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok())
        .flat_map(|table| sockets_on(port, listening, &table))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let has_one = |process: &Path| {
        let descriptors = fs::read_dir(process.join("fd")).ok()?;
        let mut links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str())).then_some(())
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        has_one(&entry.path())?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        Some(Holder { name: name.trim_end().to_owned(), pid })
    })
}

/// The inodes of the sockets in this state on this port, in a table such as /proc/net/tcp.
fn sockets_on(port: u16, state: &str, table: &str) -> Vec<u64> {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
    let inode = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?.rsplit_once(':')?.1;
        let matches = u16::from_str_radix(local, 16).ok()? == port && fields.nth(1)? == state;
        if matches { fields.nth(5)?.parse().ok() } else { None }
    };
    table.lines().filter_map(inode).collect()
}

fn by(holder: &Option<Holder>) -> String {
    holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name.escape_default(), self.pid)
    }
}

const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use types::Port;

    use super::*;

    fn publish(host_ip: Option<IpAddr>, host_port: Option<u16>, protocol: Protocol) -> Publish {
        Publish { host_ip, host_port, host_port_last: None, container: Port { number: 80, protocol } }
    }

    #[test]
    fn a_port_that_is_taken_names_who_has_it() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let first = reserve(&publish(None, None, protocol)).unwrap();
            let port = first.publish.host_port;
            assert_ne!(port.unwrap(), 0);
            for host_ip in [None, Some(Ipv4Addr::LOCALHOST.into()), Some(Ipv6Addr::LOCALHOST.into())] {
                match reserve(&publish(host_ip, port, protocol)) {
                    Err(ReserveError::InUse { holder: Some(holder), .. }) => {
                        assert_eq!(holder.pid, std::process::id());
                    }
                    other => panic!("{host_ip:?} {protocol}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn addresses_of_the_host_are_reserved_one_by_one() {
        let one = reserve(&publish(Some([127, 0, 0, 1].into()), None, Protocol::Tcp)).unwrap();
        let port = one.publish.host_port;
        reserve(&publish(Some([127, 0, 0, 2].into()), port, Protocol::Tcp)).unwrap();
        assert!(matches!(
            reserve(&publish(Some([192, 0, 2, 1].into()), port, Protocol::Tcp)),
            Err(ReserveError::NotOurs { .. })
        ));
    }

    #[test]
    fn of_several_ports_the_first_that_is_free_is_taken() {
        let taken = reserve(&publish(None, None, Protocol::Tcp)).unwrap();
        let first = taken.publish.host_port.unwrap();
        let range = Publish { host_port_last: Some(first.saturating_add(9)), ..taken.publish };
        let second = reserve(&range).unwrap();
        assert!(second.publish.host_port.unwrap() > first, "{second:?}");
        assert_eq!(second.publish.host_port_last, None);
    }

    #[test]
    fn only_sockets_on_the_port_and_in_the_state_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100\n\
             1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100\n\
             2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100\n";
        assert_eq!(sockets_on(8080, "0A", table), [111]);
    }

    #[test]
    fn what_is_in_the_way_is_told_in_dockers_words() {
        let error = ReserveError::InUse {
            address: "0.0.0.0:80".parse().unwrap(),
            protocol: Protocol::Tcp,
            holder: Some(Holder { name: "nginx".to_owned(), pid: 7 }),
        };
        let expected = "failed to bind host port 0.0.0.0:80/tcp: address already in use by nginx (pid 7)";
        assert_eq!(error.to_string(), expected);
    }
}
