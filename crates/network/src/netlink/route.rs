//! Links, addresses and routes (rtnetlink). Wraps `netlink-packet-route`, whose names change with every
//! release.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

use ipnet::Ipv4Net;
use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoIpVlan, InfoKind,
        InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth, IpVlanMode, LinkAttribute, LinkExtentMask,
        LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
    },
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
};

use rustix::io::Errno;

use super::Socket;
use crate::{InterfaceName, IpvlanMode, Mac, MacvlanMode, NetworkError, Wiring};

/// A socket for links, addresses and routes of the namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Route(Socket);

/// An address for an interface.
#[derive(Debug)]
pub(crate) struct Address {
    pub address: IpAddr,
    pub prefix: u8,
}

/// A pair of connected interfaces: one end here on a bridge, the other in a container.
#[derive(Debug)]
pub(crate) struct Veth<'a> {
    pub host: &'a InterfaceName,
    pub bridge: u32,
    pub inside: &'a InterfaceName,
    pub netns: BorrowedFd<'a>,
    pub mac: Mac,
    pub mtu: Option<u32>,
}

/// An interface in a container that is part of one of the host's.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub parent: u32,
    pub inside: &'a InterfaceName,
    pub netns: BorrowedFd<'a>,
    pub mac: Mac,
    pub mtu: Option<u32>,
    pub wiring: Wiring,
}

/// How a bridge treats one of its ports.
#[derive(Debug)]
pub(crate) struct PortOptions {
    /// Frames may leave by the port they came from.
    pub hairpin: bool,
    /// Frames from this port do not reach other isolated ports.
    pub isolated: bool,
}

impl Route {
    /// Opens a socket for the calling thread's network namespace.
    pub fn open() -> io::Result<Route> {
        Socket::open(None).map(Route)
    }

    /// Carries out all requests in order with one datagram. What follows a failed request is tried
    /// nevertheless.
    pub fn carry_out(&self, batch: Batch) -> Result<(), NetworkError> {
        let Batch { mut requests, actions } = batch;
        let Some(last) = requests.last_mut() else { return Ok(()) };
        last.header.flags |= NLM_F_ACK;
        let sequence = last.header.sequence_number;
        self.0.transact(&serialize(&mut requests), sequence).map_err(|refusal| {
            let action = actions.into_iter().nth(refusal.sequence as usize).unwrap_or_default();
            NetworkError::Refused { action, source: refusal.error }
        })
    }

    /// The index of the interface called `name`, if there is one. Does not wait for changes under way.
    pub fn index(&self, name: &InterfaceName) -> io::Result<Option<u32>> {
        match rustix::net::netdevice::name_to_index(&self.0, name) {
            Err(Errno::NODEV) => Ok(None),
            index => Ok(Some(index?)),
        }
    }

    /// Waits until these interfaces carry what their links would let them.
    ///
    /// The kernel switches an interface on some time after its link comes up and loses packets until then;
    /// asked about an interface, it does so before it answers (since Linux 6.8; older ones just answer).
    pub fn settle(&self, names: &[&InterfaceName]) -> io::Result<()> {
        let ask = |name: &&InterfaceName| {
            let mut message = named(name);
            message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
            request(RouteNetlinkMessage::GetLink(message), 0)
        };
        let mut requests: Vec<_> = names.iter().map(ask).collect();
        let mut missing = requests.len();
        if missing == 0 {
            return Ok(());
        }
        self.0.exchange(&serialize(&mut requests), |_| {
            missing -= 1;
            missing == 0
        })
    }

    /// Every IPv4 destination this namespace has an address in or a route to, the default route aside.
    pub fn destinations(&self) -> io::Result<Vec<Ipv4Net>> {
        let mut found = Vec::new();
        let mut addresses = AddressMessage::default();
        addresses.header.family = AddressFamily::Inet;
        self.dump(RouteNetlinkMessage::GetAddress(addresses), |message| {
            if let RouteNetlinkMessage::NewAddress(message) = message {
                let prefix = message.header.prefix_len;
                found.extend(message.attributes.iter().filter_map(|attribute| match attribute {
                    AddressAttribute::Address(IpAddr::V4(address)) => Ipv4Net::new(*address, prefix).ok(),
                    _ => None,
                }));
            }
        })?;
        let mut routes = RouteMessage::default();
        routes.header.address_family = AddressFamily::Inet;
        self.dump(RouteNetlinkMessage::GetRoute(routes), |message| {
            if let RouteNetlinkMessage::NewRoute(message) = message {
                let prefix = message.header.destination_prefix_length;
                found.extend(message.attributes.iter().filter_map(|attribute| match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                        Ipv4Net::new(*address, prefix).ok()
                    }
                    _ => None,
                }));
            }
        })?;
        Ok(found)
    }

    /// The interfaces of this namespace: index, name and device group.
    pub fn links(&self) -> io::Result<Vec<(u32, String, u32)>> {
        let mut found = Vec::new();
        self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
            let RouteNetlinkMessage::NewLink(message) = message else { return };
            let (mut name, mut group) = (String::new(), 0);
            for attribute in message.attributes {
                match attribute {
                    LinkAttribute::IfName(text) => name = text,
                    LinkAttribute::Group(number) => group = number,
                    _ => {}
                }
            }
            found.push((message.header.index, name, group));
        })?;
        Ok(found)
    }

    /// The addresses of this namespace, with the index of the interface that each is on.
    pub fn addresses(&self) -> io::Result<Vec<(u32, IpAddr)>> {
        let mut found = Vec::new();
        self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
            let RouteNetlinkMessage::NewAddress(message) = message else { return };
            let index = message.header.index;
            // Of two ends, the local one is ours.
            let local = |attribute: &AddressAttribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            };
            let any = |attribute: &AddressAttribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            };
            let attributes = &message.attributes;
            let address = attributes.iter().find_map(local).or_else(|| attributes.iter().find_map(any));
            found.extend(address.map(|address| (index, address)));
        })?;
        Ok(found)
    }

    fn dump(
        &self,
        question: RouteNetlinkMessage,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let mut request = [request(question, NLM_F_DUMP)];
        let mut verdict = Ok(());
        self.0.exchange(&serialize(&mut request), |answer| {
            if let Some(end) = answer.error() {
                verdict = end;
                return true;
            }
            // A message newer than the library is skipped: it describes nothing we could collide with.
            if let Ok(message) = parse(answer.kind, answer.payload) {
                each(message);
            }
            false
        })?;
        verdict
    }
}

/// Requests that travel together, each with the words that describe it should it fail.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    requests: Vec<NetlinkMessage<RouteNetlinkMessage>>,
    actions: Vec<String>,
}

impl Batch {
    /// Creates a bridge, not yet up, in the device `group`. Fails if the name is taken.
    pub fn create_bridge(&mut self, name: &InterfaceName, mac: Mac, mtu: Option<u32>, group: u32) {
        let mut message = named(name);
        message.attributes.extend([
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
            // A bridge without an address of its own changes it with its ports, under the neighbours' caches.
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Group(group),
        ]);
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.push(RouteNetlinkMessage::NewLink(message), CREATE, format!("create bridge {name}"));
    }

    /// Creates the pair, its host end a port of the bridge and up, its other end not yet.
    pub fn create_veth(&mut self, veth: &Veth<'_>) {
        // The kernel ties the ends together only after configuring this one, so it cannot be up yet.
        let mut inside = named(veth.inside);
        inside.attributes.push(LinkAttribute::Address(veth.mac.0.to_vec()));
        inside.attributes.push(LinkAttribute::NetNsFd(veth.netns.as_raw_fd()));
        let mut host = named(veth.host);
        up(&mut host);
        host.attributes.push(LinkAttribute::Controller(veth.bridge));
        for end in [&mut inside, &mut host] {
            // By default the kernel makes a queue per processor, each a directory in sysfs, and then removes
            // them.
            end.attributes.extend([LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)]);
            end.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
        }
        host.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]));
        self.push(RouteNetlinkMessage::NewLink(host), CREATE, format!("create interface {}", veth.host));
    }

    /// Creates a part of an interface inside a container, not yet up.
    pub fn create_part(&mut self, part: &Part<'_>) {
        let mut message = named(part.inside);
        message.attributes.push(LinkAttribute::Link(part.parent));
        message.attributes.push(LinkAttribute::NetNsFd(part.netns.as_raw_fd()));
        message.attributes.extend(part.mtu.map(LinkAttribute::Mtu));
        let (kind, data) = match part.wiring {
            Wiring::Ipvlan(mode) => {
                let mode = match mode {
                    IpvlanMode::L2 => IpVlanMode::L2,
                    IpvlanMode::L3 => IpVlanMode::L3,
                    IpvlanMode::L3s => IpVlanMode::L3S,
                };
                (InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)]))
            }
            Wiring::Macvlan(mode) => {
                message.attributes.push(LinkAttribute::Address(part.mac.0.to_vec()));
                (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(macvlan(mode))]))
            }
            Wiring::Bridge => (InfoKind::MacVlan, InfoData::MacVlan(Vec::new())),
        };
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        let action = format!("create interface {}", part.inside);
        self.push(RouteNetlinkMessage::NewLink(message), CREATE, action);
    }

    /// Makes a bridge's port leave IPv6 alone and treat frames as `options` say.
    pub fn configure_port(&mut self, name: &InterfaceName, options: &PortOptions) {
        let mut message = named(name);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![
            AfSpecInet6::AddrGenMode(In6AddrGenMode::None),
        ])]));
        if options.hairpin || options.isolated {
            message.attributes.push(LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(vec![
                    InfoBridgePort::HairpinMode(options.hairpin),
                    InfoBridgePort::Isolated(options.isolated),
                ])),
            ]));
        }
        self.push(RouteNetlinkMessage::NewLink(message), 0, format!("configure interface {name}"));
    }

    pub fn set_up(&mut self, name: &InterfaceName) {
        let mut message = named(name);
        up(&mut message);
        self.push(RouteNetlinkMessage::NewLink(message), 0, format!("bring up interface {name}"));
    }

    /// Gives the interface an address; one it has already stays. Nobody is asked whether he has it.
    pub fn add_address(&mut self, index: u32, Address { address, prefix }: Address) {
        let mut message = AddressMessage::default();
        message.header.prefix_len = prefix;
        message.header.index = index;
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        match address {
            IpAddr::V4(address) => {
                message.header.family = AddressFamily::Inet;
                if let Ok(subnet) = Ipv4Net::new(address, prefix)
                    && prefix < 31
                {
                    message.attributes.push(AddressAttribute::Broadcast(subnet.broadcast()));
                }
            }
            IpAddr::V6(_) => {
                message.header.family = AddressFamily::Inet6;
                message.header.flags = AddressHeaderFlags::Nodad;
            }
        }
        let action = format!("add address {address}/{prefix}");
        self.push(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE, action);
    }

    /// Makes `gateway` the way to everything else, instead of another of its family.
    pub fn set_default_route(&mut self, gateway: IpAddr) {
        let mut message = RouteMessage::default();
        let (family, gateway_of) = match gateway {
            IpAddr::V4(gateway) => (AddressFamily::Inet, RouteAddress::Inet(gateway)),
            IpAddr::V6(gateway) => (AddressFamily::Inet6, RouteAddress::Inet6(gateway)),
        };
        message.header.address_family = family;
        message.header.table = netlink_packet_route::route::RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![RouteAttribute::Gateway(gateway_of)];
        let action = format!("add default route via {gateway}");
        self.push(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE, action);
    }

    pub fn delete_link(&mut self, name: &InterfaceName) {
        self.push(RouteNetlinkMessage::DelLink(named(name)), 0, format!("delete interface {name}"));
    }

    fn push(&mut self, message: RouteNetlinkMessage, flags: u16, action: String) {
        let mut request = request(message, flags);
        request.header.sequence_number = self.actions.len() as u32;
        self.requests.push(request);
        self.actions.push(action);
    }
}

fn macvlan(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    }
}

fn named(name: &InterfaceName) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_string()));
    message
}

fn up(message: &mut LinkMessage) {
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
}

fn request(message: RouteNetlinkMessage, flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request
}

fn serialize(requests: &mut [NetlinkMessage<RouteNetlinkMessage>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in requests {
        request.finalize();
        let start = bytes.len();
        bytes.resize(start + request.buffer_len().next_multiple_of(4), 0);
        request.serialize(&mut bytes[start..]);
    }
    bytes
}

fn parse(kind: u16, payload: &[u8]) -> Result<RouteNetlinkMessage, DecodeError> {
    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    RouteNetlinkMessage::deserialize(&header, payload)
}

const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;
