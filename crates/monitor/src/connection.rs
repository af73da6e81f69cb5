//! The container's end of the network while it runs: its interfaces, its ports, its names.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use network::{Attachment, Firewall, Forward, Relay, RelayedDatagrams, Reservation, dns, dns::Resolver};
use runtime::Failure;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};
use types::{Port, Protocol, Publish};

use crate::{
    order::{Network, Order},
    pasta::Pasta,
};

/// Ports that a firewall leads.
type Led = (Firewall, Vec<Forward>);

/// A container that is connected. Its interfaces go with its namespace; the rest goes with [`Connection::close`].
#[derive(Debug)]
pub struct Connection {
    /// The ports as they were published, with the host's ports filled in.
    pub published: Vec<Publish>,
    /// What it is connected to.
    network: Network,
    forwards: Option<Led>,
    /// Keep ports that nothing is relayed from to ourselves.
    _reserved: Vec<OwnedFd>,
    pub relay: Option<Relay>,
    /// Of an ordinary user, whose host does not lead them.
    pub datagrams: Option<RelayedDatagrams>,
    pub resolver: Option<Resolver>,
    /// What leads an ordinary user's containers to the outside, once one of their networks does.
    pub pasta: Option<Pasta>,
}

impl Connection {
    /// Connects the network namespace `netns` as `network` says. On failure nothing of it is left.
    pub fn open(network: &Network, netns: BorrowedFd<'_>) -> Result<Connection, Failure> {
        // Ports first: they are what other programs may have.
        let reservations: Vec<Reservation> =
            network.publish.iter().map(network::reserve).collect::<Result<_, _>>().map_err(failure)?;
        let published: Vec<_> = reservations.iter().map(|reservation| reservation.publish).collect();
        let pasta = pasta(network)?;
        let (resolver, forwards) =
            network.beside_the_bridges(|| set_up(network, netns, &published)).map_err(context(ENTER))??;
        let connection = Connection {
            published,
            network: network.clone(),
            forwards,
            _reserved: Vec::new(),
            relay: None,
            datagrams: None,
            resolver,
            pasta,
        };
        let Some((address, _)) = addresses(network).filter(|_| !reservations.is_empty()) else {
            return Ok(connection);
        };
        let sockets = reservations
            .into_iter()
            .filter_map(|reservation| Some((reservation.publish.container, reservation.socket?)));
        let (streams, others): (Vec<_>, Vec<_>) =
            sockets.partition(|(port, _)| port.protocol == Protocol::Tcp);
        let lead = |(port, socket): (Port, _)| (socket, SocketAddrV4::new(address, port.number));
        let relay = Relay::new(streams.into_iter().map(lead), network.rootless.clone());
        let datagrams = network.rootless.clone().map(|netns| {
            let others = others.iter().map(|(port, socket)| Ok((*port, socket.try_clone()?)));
            let others: Vec<_> = others.collect::<io::Result<_>>()?;
            RelayedDatagrams::new(others.into_iter().map(lead), netns)
        });
        match relay.and_then(|relay| Ok((relay, datagrams.transpose()?))) {
            Ok((relay, datagrams)) => {
                let _reserved = others.into_iter().map(|(_, socket)| socket).collect();
                Ok(Connection { relay: Some(relay), datagrams, _reserved, ..connection })
            }
            Err(error) => {
                drop(connection.close());
                Err(Failure::setup(format_args!("relaying ports: {error}")))
            }
        }
    }

    /// Connects the container, whose process is `pid`, to what `now` says instead. On failure, interfaces that are new are
    /// taken away again.
    pub fn change(&mut self, now: Network, pid: i32) -> Result<(), Failure> {
        let netns =
            fs::File::open(format!("/proc/{pid}/ns/net")).map_err(context("the network namespace"))?;
        let before = self.network.clone();
        if self.pasta.is_none() {
            self.pasta = pasta(&now)?;
        }
        let change = || {
            self.change_from(&before, &now, netns.as_fd()).inspect_err(|_| {
                // The first failure is the one to tell; the order says again what it said before.
                let _ = self.change_from(&now, &before, netns.as_fd());
            })
        };
        before.beside_the_bridges(change).map_err(context(ENTER))??;
        self.network = now;
        Ok(())
    }

    /// Has another pasta in the place of the one that is gone; its descriptor, if there can be one.
    pub fn lead_out_again(&mut self) -> Option<BorrowedFd<'_>> {
        // First, for it is what is waited on.
        self.pasta = None;
        self.pasta = pasta(&self.network).ok().flatten();
        self.pasta.as_ref().map(AsFd::as_fd)
    }

    fn change_from(&mut self, before: &Network, now: &Network, netns: BorrowedFd<'_>) -> Result<(), Failure> {
        let lacks = |network: &Network, one: &Attachment| {
            network.attachments.iter().all(|other| other.host_interface != one.host_interface)
        };
        let gone: Vec<_> = before.attachments.iter().filter(|one| lacks(now, one)).cloned().collect();
        let new: Vec<_> = now.attachments.iter().filter(|one| lacks(before, one)).cloned().collect();
        network::detach(netns, &gone).map_err(failure)?;
        if !new.is_empty() {
            network::attach(netns, &new).map_err(failure)?;
        }
        network::lead_out(netns, &now.attachments).map_err(failure)?;
        match &mut self.resolver {
            Some(resolver) => resolver.reconfigure(now.names.clone(), now.upstreams.clone()),
            None if now.names.is_empty() => {}
            none => *none = Some(resolve(now, netns)?),
        }
        self.lead_ports(before, now)
    }

    /// Leads published ports to where the container is by now.
    fn lead_ports(&mut self, before: &Network, now: &Network) -> Result<(), Failure> {
        let (old, new) = (addresses(before), addresses(now));
        if old == new || self.published.is_empty() {
            return Ok(());
        }
        let (firewall, old) = match self.forwards.take() {
            Some(forwards) => forwards,
            None => (Firewall::open(&now.table).map_err(failure)?, Vec::new()),
        };
        let new_forwards = new.iter().flat_map(|(_, all)| forwards(&self.published, all)).collect::<Vec<_>>();
        let led = firewall.unpublish(&old).and_then(|()| firewall.publish(&new_forwards));
        self.forwards = Some((firewall, new_forwards));
        if let (Some(relay), Some((address, _))) = (&mut self.relay, new) {
            relay.lead_to(address);
            self.datagrams.iter_mut().for_each(|datagrams| datagrams.lead_to(address));
        }
        led.map_err(failure)
    }

    /// Takes back what the host was told about the container.
    ///
    /// After elements were removed, closing the firewall's socket waits some 10 ms for the kernel. Nobody should
    /// wait with it: the socket is returned, to be closed by the end of the process.
    pub fn close(self) -> Option<Firewall> {
        let (firewall, forwards) = self.forwards?;
        // What cannot be taken back now leads to an address nobody has, until that is given away again: the next
        // container that publishes the port is told so.
        let _ = firewall.unpublish(&forwards);
        Some(firewall)
    }
}

/// Makes the container's interfaces, and what belongs to them in the network namespace of the bridges.
fn set_up(
    network: &Network,
    netns: BorrowedFd<'_>,
    published: &[Publish],
) -> Result<(Option<Resolver>, Option<Led>), Failure> {
    network::attach(netns, &network.attachments).map_err(failure)?;
    let resolver = if network.names.is_empty() { None } else { Some(resolve(network, netns)?) };
    let Some((_, addresses)) = addresses(network).filter(|_| !published.is_empty()) else {
        return Ok((resolver, None));
    };
    let forwards = forwards(published, &addresses);
    let firewall = Firewall::open(&network.table).map_err(failure)?;
    firewall.publish(&forwards).map_err(failure)?;
    Ok((resolver, Some((firewall, forwards))))
}

/// What leads to the outside from where an ordinary user's bridges are, if one of these networks does.
fn pasta(network: &Network) -> Result<Option<Pasta>, Failure> {
    let netns = network.rootless.as_ref().filter(|_| network.leads_out());
    netns.map(Pasta::ensure).transpose()
}

/// Answers the container's questions for names on a port of its own loopback, to which those for port 53 are led.
fn resolve(network: &Network, netns: BorrowedFd<'_>) -> Result<Resolver, Failure> {
    let (udp, tcp) =
        network::within(netns, sockets).and_then(|sockets| sockets).map_err(context("resolver"))?;
    let port = |socket: &OwnedFd| -> io::Result<u16> {
        Ok(std::net::SocketAddr::try_from(getsockname(socket)?).map_err(io::Error::from)?.port())
    };
    let (udp_port, tcp_port) =
        (port(&udp).map_err(context("resolver"))?, port(&tcp).map_err(context("resolver"))?);
    dns::redirect(netns, udp_port, tcp_port).map_err(failure)?;
    Resolver::new(udp, tcp, network.names.clone(), network.upstreams.clone()).map_err(context("resolver"))
}

fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    let open = |kind| {
        let socket =
            socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        bind(&socket, &SocketAddrV4::new(dns::ADDRESS, 0))?;
        Ok::<_, io::Error>(socket)
    };
    let (udp, tcp) = (open(SocketType::DGRAM)?, open(SocketType::STREAM)?);
    listen(&tcp, 16)?;
    Ok((udp, tcp))
}

/// Where published ports lead: the container's addresses on its way out, or in its first network if it has none. The
/// first is also among the others.
fn addresses(network: &Network) -> Option<(Ipv4Addr, Vec<IpAddr>)> {
    let attachment = way_out(&network.attachments)?;
    let ipv6 = attachment.ipv6.as_ref().map(|ipv6| IpAddr::V6(ipv6.address));
    Some((attachment.address, [IpAddr::V4(attachment.address)].into_iter().chain(ipv6).collect()))
}

/// The interface by which a container reaches the outside, or its first if none leads there: published ports lead to it.
pub fn way_out(attachments: &[Attachment]) -> Option<&Attachment> {
    let way_out = attachments.iter().find(|attachment| attachment.gateway.is_some());
    way_out.or(attachments.first())
}

/// How the firewall leads published ports to these addresses.
fn forwards(published: &[Publish], addresses: &[IpAddr]) -> Vec<Forward> {
    let to_all = |publish: &Publish| {
        addresses.iter().filter_map(|address| Forward::new(publish, *address)).collect::<Vec<_>>()
    };
    published.iter().flat_map(to_all).collect()
}

/// Takes back what the host was told about a container whose monitor is gone.
pub fn withdraw(network: &Network, published: &[Publish]) -> io::Result<()> {
    let Some((_, addresses)) = addresses(network).filter(|_| !network.publish.is_empty()) else {
        return Ok(());
    };
    let asked = network.publish.iter().flat_map(Publish::choices);
    let all: Vec<Publish> = published.iter().copied().chain(asked).collect();
    if network.rootless.as_ref().is_some_and(|netns| !netns.exists()) {
        // It went with the last process, and all that it was told.
        return Ok(());
    }
    network.beside_the_bridges(|| {
        let firewall = Firewall::open(&network.table).map_err(io::Error::other)?;
        firewall.unpublish(&forwards(&all, &addresses)).map_err(io::Error::other)
    })?
}

/// Removes the files that say what the container has: addresses, names, users.
pub fn release_claims(order: &Order) {
    for claim in order.network.iter().flat_map(|network| &network.claims).chain(&order.claims) {
        // One that is gone was taken back already. One that stays is found to be stale when it is needed.
        let _ = fs::remove_file(claim);
    }
}

fn failure(error: impl std::error::Error) -> Failure {
    match error.source() {
        Some(source) => Failure::setup(format_args!("{error}: {source}")),
        None => Failure::setup(error),
    }
}

fn context(step: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::setup(format_args!("{step}: {error}"))
}

const ENTER: &str = "entering the networks' namespace";
