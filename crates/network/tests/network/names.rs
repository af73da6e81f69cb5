//! Containers find each other by name.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    thread,
    time::Duration,
};

use network::dns::{self, Resolver};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE, rdata::RData,
};

use crate::{
    lab::{Machine, can_run},
    relayed::drive,
};

/// A container whose resolver knows one network, in `directory`.
fn container(directory: &Path, upstreams: Vec<SocketAddr>) -> Machine {
    let machine = Machine::new();
    let (udp, tcp) = machine.inside(|| {
        (UdpSocket::bind((dns::ADDRESS, 0)).unwrap(), TcpListener::bind((dns::ADDRESS, 0)).unwrap())
    });
    let (udp_port, tcp_port) = (udp.local_addr().unwrap().port(), tcp.local_addr().unwrap().port());
    udp.set_nonblocking(true).unwrap();
    tcp.set_nonblocking(true).unwrap();
    dns::redirect(std::os::fd::AsFd::as_fd(&machine), udp_port, tcp_port).unwrap();
    let resolver = Resolver::new(udp.into(), tcp.into(), vec![directory.to_owned()], upstreams).unwrap();
    drive(resolver, |resolver| resolver.ready().unwrap());
    machine
}

fn network() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for address in ["172.30.0.2", "172.30.0.3"] {
        fs::create_dir_all(directory.path().join("names/web")).unwrap();
        fs::write(directory.path().join("names/web").join(address), "").unwrap();
    }
    fs::create_dir_all(directory.path().join("addresses")).unwrap();
    fs::write(directory.path().join("addresses/172.30.0.2"), "0123456789ab\nproject-web-1\n").unwrap();
    directory
}

fn query(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(0x1234);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap();
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().unwrap()
}

fn by_udp(container: &Machine, query: &[u8]) -> Vec<u8> {
    let socket = container.inside(|| UdpSocket::bind("127.0.0.1:0")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect((dns::ADDRESS, 53)).unwrap();
    socket.send(query).unwrap();
    let mut buffer = [0; 4096];
    let count = socket.recv(&mut buffer).unwrap();
    buffer[..count].to_vec()
}

fn by_tcp(container: &Machine, query: &[u8]) -> Vec<u8> {
    let mut stream = container.inside(|| TcpStream::connect((dns::ADDRESS, 53))).unwrap();
    stream.write_all(&(query.len() as u16).to_be_bytes()).unwrap();
    stream.write_all(query).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// The answer in words: its code and its records.
fn words(answer: &[u8]) -> String {
    let packet = Packet::parse(answer).unwrap();
    assert_eq!(packet.id(), 0x1234);
    let mut words = vec![format!("{:?}", packet.rcode())];
    words.extend(packet.answers.iter().map(|record| match &record.rdata {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::PTR(name) => name.0.to_string(),
        other => format!("{other:?}"),
    }));
    words.join(" ")
}

/// A server that answers every question by UDP with 192.0.2.1, and by TCP with 192.0.2.2.
fn upstream() -> SocketAddr {
    fn answer(query: &[u8], address: Ipv4Addr) -> Vec<u8> {
        let query = Packet::parse(query).unwrap();
        let mut reply = Packet::new_reply(query.id());
        let question = query.questions[0].clone();
        let data = RData::A(address.into());
        reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 60, data));
        reply.questions.push(question);
        reply.build_bytes_vec().unwrap()
    }
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, peer)) = udp.recv_from(&mut buffer) {
            udp.send_to(&answer(&buffer[..count], Ipv4Addr::new(192, 0, 2, 1)), peer).unwrap();
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let answer = answer(&query, Ipv4Addr::new(192, 0, 2, 2));
            stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    address
}

/// A server that never answers; it lives as long as the socket.
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn names_of_the_network_are_answered_and_take_turns() {
    if !can_run() {
        return;
    }
    let network = network();
    let container = container(network.path(), Vec::new());
    assert_eq!(words(&by_udp(&container, &query("web", TYPE::A))), "NoError 172.30.0.2 172.30.0.3");
    assert_eq!(words(&by_udp(&container, &query("WEB", TYPE::A))), "NoError 172.30.0.3 172.30.0.2");
    assert_eq!(words(&by_tcp(&container, &query("web", TYPE::A))), "NoError 172.30.0.2 172.30.0.3");
    assert_eq!(words(&by_udp(&container, &query("web", TYPE::AAAA))), "NoError");
    let reverse = query("2.0.30.172.in-addr.arpa", TYPE::PTR);
    assert_eq!(words(&by_udp(&container, &reverse)), "NoError project-web-1");
    fs::remove_dir_all(network.path().join("names/web")).unwrap();
    assert_eq!(
        words(&by_udp(&container, &query("web", TYPE::A))),
        "NameError",
        "names go with their containers"
    );
}

#[test]
fn other_names_are_asked_of_the_hosts_servers_by_the_same_transport() {
    if !can_run() {
        return;
    }
    let network = network();
    let container = container(network.path(), vec![upstream()]);
    assert_eq!(words(&by_udp(&container, &query("example.com", TYPE::A))), "NoError 192.0.2.1");
    assert_eq!(words(&by_tcp(&container, &query("example.com", TYPE::A))), "NoError 192.0.2.2");
    assert_eq!(words(&by_udp(&container, &query("web", TYPE::MX))), "NoError", "our names never leave");
}

#[test]
fn a_server_that_does_not_answer_is_followed_by_the_next() {
    if !can_run() {
        return;
    }
    let network = network();
    let (_alive, silent) = silent();
    let closed = "127.0.0.1:1".parse().unwrap();
    let first = container(network.path(), vec![closed, silent, upstream()]);
    assert_eq!(words(&by_udp(&first, &query("example.com", TYPE::A))), "NoError 192.0.2.1");
    let second = container(network.path(), vec![silent, closed]);
    assert_eq!(words(&by_udp(&second, &query("example.com", TYPE::A))), "ServerFailure");
}

#[test]
fn a_name_cannot_lead_out_of_the_directory() {
    if !can_run() {
        return;
    }
    let network = network();
    fs::write(network.path().join("172.30.0.9"), "").unwrap();
    let container = container(network.path(), Vec::new());
    let mut dots = query("..", TYPE::A);
    if dots.len() == 17 {
        // The library drops empty labels; write the label "..".
        dots.splice(12..13, [2, b'.', b'.', 0]);
    }
    assert_eq!(words(&by_udp(&container, &dots)), "NameError");
}

#[test]
fn what_is_no_query_is_refused_and_does_no_harm() {
    if !can_run() {
        return;
    }
    let network = network();
    let container = container(network.path(), Vec::new());
    let mut many_records = query("web", TYPE::A);
    many_records[6..12].fill(0xff);
    let refused = by_udp(&container, &many_records);
    assert_eq!(Packet::parse(&refused).unwrap().rcode(), RCODE::FormatError);
    let mut cut = query("web", TYPE::A);
    cut.truncate(14);
    assert_eq!(Packet::parse(&by_udp(&container, &cut)).unwrap().rcode(), RCODE::FormatError);
    assert_eq!(words(&by_udp(&container, &query("web", TYPE::A))), "NoError 172.30.0.2 172.30.0.3");
}

#[test]
fn an_answer_too_long_for_udp_says_so_and_comes_whole_by_tcp() {
    if !can_run() {
        return;
    }
    let network = network();
    for last in 10..60 {
        fs::write(network.path().join(format!("names/web/172.30.0.{last}")), "").unwrap();
    }
    let container = container(network.path(), Vec::new());
    let short = by_udp(&container, &query("web", TYPE::A));
    assert!(short.len() <= 512 && Packet::parse(&short).unwrap().has_flags(PacketFlag::TRUNCATION));
    assert_eq!(Packet::parse(&by_tcp(&container, &query("web", TYPE::A))).unwrap().answers.len(), 52);
}
