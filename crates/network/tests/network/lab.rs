//! Network namespaces that stand for a host, its neighbours and its containers.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    process::Command,
    thread,
    time::Duration,
};

use network::{Attachment, Bridge, Firewall, Forward, InterfaceName, Mac, attach, loopback_up, within};
use sys::process::{Namespaces, unshare};
use types::{ContainerId, Protocol};

/// Whether this process may make network namespaces; says so if not.
pub fn can_run() -> bool {
    let possible = thread::spawn(|| unshare(Namespaces::NETWORK)).join().unwrap();
    if let Err(error) = &possible {
        eprintln!("skipped: no network namespaces here: {error}");
    }
    possible.is_ok()
}

/// A network namespace.
pub struct Machine(File);

impl Machine {
    pub fn new() -> Machine {
        let open = || {
            unshare(Namespaces::NETWORK).unwrap();
            // Whatever this machine's is, a new one is no router.
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let machine = Machine(thread::spawn(open).join().unwrap());
        loopback_up(machine.as_fd()).unwrap();
        machine
    }

    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        within(self, work).unwrap()
    }

    /// Tells everybody who connects to `port` who they are.
    pub fn serve(&self, port: u16) {
        let listener = self.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // Whoever left early is not told.
                let _ = stream.peer_addr().and_then(|peer| write!(stream, "{}", peer.ip()));
            }
        });
    }

    /// Tells everybody who connects to `port` over IPv6 who they are.
    pub fn serve6(&self, port: u16) {
        let listener = self.inside(|| TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, port))).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.peer_addr().and_then(|peer| write!(stream, "{}", peer.ip()));
            }
        });
    }

    /// As whom `address` sees this machine, or why it does not.
    pub fn ask(&self, address: &str) -> String {
        let ask = || -> io::Result<String> {
            let address: SocketAddr = address.parse().unwrap();
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(400))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        self.inside(ask).unwrap_or_else(|error| error.kind().to_string())
    }

    /// Returns datagrams to `port` with the sender's address.
    pub fn serve_udp(&self, port: u16) {
        let socket = self.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                socket.send_to(peer.ip().to_string().as_bytes(), peer).unwrap();
            }
        });
    }

    pub fn ask_udp(&self, address: &str) -> String {
        self.ask_udp_with(address, b"?")
    }

    /// As whom `address` sees this machine, which sends it `question`.
    pub fn ask_udp_with(&self, address: &str, question: &[u8]) -> String {
        let ask = || -> io::Result<String> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_read_timeout(Some(Duration::from_millis(400)))?;
            socket.connect(address)?;
            socket.send(question)?;
            let mut buffer = [0; 64];
            let count = socket.recv(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
        };
        self.inside(ask).unwrap_or_else(|error| error.kind().to_string())
    }

    /// Runs a program, whose arguments have no spaces in them, on this machine's network. What it says.
    pub fn run(&self, program: &str, arguments: &str) -> String {
        let output = self.inside(|| Command::new(program).args(arguments.split(' ')).output());
        let output = output.unwrap_or_else(|error| panic!("{program}, which `make setup` installs: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a shell script on this machine's network, with mounts and processes of its own, which go with it.
    pub fn script(&self, script: &str) {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", script]);
        let output = self.inside(|| shell.output()).unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }

    pub fn firewall(&self) -> Firewall {
        self.inside(|| Firewall::open("lab")).unwrap()
    }

    pub fn ensure(&self, bridge: &Bridge) {
        self.inside(|| bridge.ensure(&Firewall::open("lab")?)).unwrap();
    }

    /// Connects a new machine to one of this machine's bridges.
    pub fn connect(&self, bridge: &Bridge, address: &str) -> Machine {
        let machine = Machine::new();
        self.attach(&machine, bridge, address, 0);
        machine
    }

    pub fn attach(&self, machine: &Machine, bridge: &Bridge, address: &str, nth: u8) {
        let address: Ipv4Addr = address.parse().unwrap();
        let [a, b, c, d] = address.octets();
        let mut id = [nth; 32];
        id[..4].copy_from_slice(&[a, b, c, d]);
        let attachment = Attachment {
            bridge: bridge.name.clone(),
            wiring: network::Wiring::Bridge,
            host_interface: InterfaceName::veth(&ContainerId::from_random(id), nth),
            interface: InterfaceName::eth(nth),
            address,
            prefix: bridge.subnet.prefix_len(),
            gateway: Some(bridge.gateway).filter(|_| nth == 0 && !bridge.internal),
            mac: Mac::of(address),
            mtu: None,
            isolated: !bridge.icc,
            ipv6: bridge.ipv6.map(|side| network::Ipv6Attachment {
                address: (side.subnet.network().to_bits() | u128::from(d)).into(),
                prefix: side.subnet.prefix_len(),
                gateway: Some(side.gateway).filter(|_| nth == 0 && !bridge.internal),
            }),
            link_local: Vec::new(),
        };
        self.inside(|| attach(machine.as_fd(), &[attachment])).unwrap();
    }
}

impl AsFd for Machine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A bridge for `subnet`, whose gateway is its first address.
pub fn bridge(name: &str, subnet: &str) -> Bridge {
    let subnet: ipnet::Ipv4Net = subnet.parse().unwrap();
    Bridge {
        name: name.parse().unwrap(),
        subnet,
        gateway: subnet.hosts().next().unwrap(),
        internal: false,
        icc: true,
        masquerade: true,
        mtu: None,
        ipv6: None,
    }
}

pub fn forward(host: &str, container: &str, protocol: Protocol) -> Forward {
    let (address, port) = host.split_once(':').unwrap();
    Forward {
        host_address: address.parse().ok(),
        host_port: port.parse().unwrap(),
        protocol,
        container: container.parse().unwrap(),
    }
}

/// A host with two networks of containers, on a LAN with a server and a neighbour.
pub struct Lab {
    pub host: Machine,
    pub a: Bridge,
    pub b: Bridge,
    /// 10.9.0.1, which knows nothing of the host's containers.
    pub server: Machine,
    /// 10.9.0.3, which sends to the host whatever is not on the LAN.
    pub neighbour: Machine,
}

/// The host's address on the LAN.
pub const HOST: &str = "10.9.0.2";

impl Lab {
    pub fn new() -> Lab {
        let (host, server) = (Machine::new(), Machine::new());
        let lan = bridge("lan0", "10.9.0.0/24");
        server.ensure(&lan);
        server.attach(&host, &lan, HOST, 0);
        let neighbour = Machine::new();
        server.attach(&neighbour, &Bridge { gateway: HOST.parse().unwrap(), ..lan.clone() }, "10.9.0.3", 0);
        let (a, b) = (bridge("br-a", "172.30.0.0/24"), bridge("br-b", "172.30.1.0/24"));
        host.ensure(&a);
        host.ensure(&b);
        Lab { host, a, b, server, neighbour }
    }
}
