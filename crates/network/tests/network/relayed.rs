//! What the firewall cannot redirect is relayed.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    thread,
};

use network::{Relay, reserve};
use rustix::event::{PollFd, PollFlags, poll};
use types::{Port, Protocol, Publish};

use crate::lab::{Lab, Machine, bridge, can_run};

/// Does `work` whenever the descriptor of its object is readable, as an event loop would.
pub fn drive<T: AsFd + Send + 'static>(mut object: T, mut work: impl FnMut(&mut T) + Send + 'static) {
    fn readable(fd: BorrowedFd<'_>) {
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
    }
    thread::spawn(move || {
        loop {
            readable(object.as_fd());
            work(&mut object);
        }
    });
}

fn relay(host: &Machine, target: SocketAddrV4) -> u16 {
    let publish = Publish {
        host_ip: None,
        host_port: None,
        host_port_last: None,
        container: Port { number: 80, protocol: Protocol::Tcp },
    };
    let reservation = host.inside(|| reserve(&publish)).unwrap();
    let host_netns = host.as_fd().try_clone_to_owned().unwrap();
    let relay = Relay::new([(reservation.socket.unwrap(), target)], None).unwrap();
    drive(relay, move |relay| network::within(&host_netns, || relay.ready()).unwrap().unwrap());
    reservation.publish.host_port.unwrap()
}

#[test]
fn a_client_on_the_hosts_ipv6_loopback_reaches_the_container() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    container.serve(80);
    let port = relay(&lab.host, SocketAddrV4::new(Ipv4Addr::new(172, 30, 0, 2), 80));
    assert_eq!(lab.host.ask(&format!("[::1]:{port}")), "172.30.0.1");
    assert_eq!(lab.host.ask(&format!("127.0.0.1:{port}")), "172.30.0.1", "without rules, over IPv4 too");
}

#[test]
fn much_data_flows_both_ways_at_once_and_each_direction_ends_by_itself() {
    if !can_run() {
        return;
    }
    const MUCH: usize = 20 << 20;
    let host = Machine::new();
    let bridge = bridge("br-r", "172.30.0.0/24");
    host.ensure(&bridge);
    let container = host.connect(&bridge, "172.30.0.2");
    let listener = container.inside(|| TcpListener::bind("0.0.0.0:80")).unwrap();
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        stream.write_all(&received).unwrap();
    });
    let port = relay(&host, SocketAddrV4::new(Ipv4Addr::new(172, 30, 0, 2), 80));
    let mut client =
        host.inside(|| TcpStream::connect(SocketAddr::new("::1".parse().unwrap(), port))).unwrap();
    let sent: Vec<u8> = (0..MUCH).map(|n| ((n * n) >> 7) as u8).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert!(received == sent, "{} of {} bytes came back as they were", received.len(), sent.len());
    echo.join().unwrap();
}

#[test]
fn a_container_that_does_not_listen_closes_the_clients_connection() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let _container = lab.host.connect(&lab.a, "172.30.0.2");
    let port = relay(&lab.host, SocketAddrV4::new(Ipv4Addr::new(172, 30, 0, 2), 80));
    let answer = lab.host.ask(&format!("[::1]:{port}"));
    assert!(["", "connection reset", "connection refused"].contains(&answer.as_str()), "{answer}");
}

#[test]
fn more_clients_than_fit_wait_for_their_turn() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let container = lab.host.connect(&lab.a, "172.30.0.2");
    container.serve(80);
    let port = relay(&lab.host, SocketAddrV4::new(Ipv4Addr::new(172, 30, 0, 2), 80));
    let clients: Vec<TcpStream> =
        lab.host.inside(|| (0..200).map(|_| TcpStream::connect(("::1", port)).unwrap()).collect());
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "172.30.0.1");
    }
}
