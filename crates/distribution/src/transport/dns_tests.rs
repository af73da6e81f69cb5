use std::{net::TcpListener, thread};

use simple_dns::{ResourceRecord, rdata::A};

use super::*;

/// A name server that answers as `answer` says: a name's address, or a code. Over UDP only that there is more, if
/// `is_long`.
fn serve(is_long: bool, answer: fn(&str) -> Result<[u8; 4], RCODE>) -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    let reply = move |query: &[u8], is_truncated: bool| {
        let query = Packet::parse(query).unwrap();
        let mut reply = query.clone().into_reply();
        let name = query.questions[0].qname.clone();
        let is_address = query.questions[0].qtype == QTYPE::TYPE(TYPE::A);
        match answer(&name.to_string()) {
            _ if is_truncated => reply.set_flags(PacketFlag::TRUNCATION),
            Ok(address) if is_address => {
                let data = RData::A(A { address: u32::from_be_bytes(address) });
                reply.answers.push(ResourceRecord::new(name, CLASS::IN, 60, data));
            }
            Ok(_) => {}
            Err(code) => *reply.rcode_mut() = code,
        }
        reply.questions = query.questions;
        reply.build_bytes_vec().unwrap()
    };
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            // What somebody else guesses comes first, and is not believed.
            let mut forged = reply(&buffer[..length], false);
            forged[0] ^= 0x55;
            udp.send_to(&forged, from).unwrap();
            udp.send_to(&reply(&buffer[..length], is_long), from).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query).unwrap();
            let reply = reply(&query, false);
            stream.write_all(&[&(reply.len() as u16).to_be_bytes(), &reply[..]].concat()).unwrap();
        }
    });
    address
}

fn asking(servers: &[SocketAddr]) -> Configuration {
    let mut configuration = Configuration::parse("search lan corp.example");
    configuration.servers = servers.to_vec();
    configuration.patience = Duration::from_millis(200);
    configuration
}

fn address(text: &str) -> Answer {
    Answer::Addresses(vec![text.parse().unwrap()])
}

#[test]
fn a_name_is_asked_for_as_it_is_and_below_the_search_domains() {
    let server = serve(false, |name| match name {
        "registry.example" => Ok([192, 0, 2, 1]),
        "registry.corp.example" => Ok([192, 0, 2, 2]),
        _ => Err(RCODE::NameError),
    });
    assert_eq!(asking(&[server]).look_up("registry.example"), address("192.0.2.1"));
    assert_eq!(asking(&[server]).look_up("registry"), address("192.0.2.2"));
    assert_eq!(asking(&[server]).look_up("registry."), Answer::NoSuchName);
    assert_eq!(asking(&[server]).look_up("nothing.example"), Answer::NoSuchName);
}

#[test]
fn an_answer_too_long_for_a_datagram_is_asked_for_over_tcp() {
    let server = serve(true, |_| Ok([192, 0, 2, 3]));
    assert_eq!(asking(&[server]).look_up("registry.example"), address("192.0.2.3"));
}

#[test]
fn a_server_that_is_silent_or_broken_is_followed_by_the_next() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let broken = serve(false, |_| Err(RCODE::ServerFailure));
    let good = serve(false, |_| Ok([192, 0, 2, 4]));
    let servers = [silent.local_addr().unwrap(), broken, good];
    assert_eq!(asking(&servers).look_up("registry.example"), address("192.0.2.4"));
    assert_eq!(asking(&servers[..2]).look_up("registry.example"), Answer::Nothing);
}

#[test]
fn resolv_conf_says_whom_to_ask_and_how() {
    let text = "# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver 10.0.0.2 ; y\nnameserver 10.0.0.3\n\
                domain old\nsearch a.example. b\noptions ndots:2 timeout:1 attempts:9 rotate\n";
    let configuration = Configuration::parse(text);
    let servers: Vec<_> = configuration.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.1:53", "[fe80::1]:53", "10.0.0.2:53"]);
    assert_eq!(configuration.candidates("x.y"), ["x.y.a.example", "x.y.b", "x.y"]);
    assert_eq!(configuration.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b"]);
    assert_eq!((configuration.patience, configuration.attempts), (Duration::from_secs(1), 5));
    assert_eq!(Configuration::parse("").servers[0].to_string(), "127.0.0.1:53");
}

#[test]
fn what_is_not_an_answer_to_the_question_is_none() {
    let mut packet = Packet::new_query(7);
    let question = Name::new_unchecked("a.example");
    packet.questions.push(Question::new(question, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
    let query = packet.build_bytes_vec().unwrap();
    let mut answer = query.clone();
    answer[2] |= 0x80;
    assert!(read(&answer, &query, 7).is_some());
    assert!(read(&answer, &query, 8).is_none(), "another number");
    assert!(read(&query, &query, 7).is_none(), "a query");
    let mut other = answer.clone();
    other[13] ^= 1;
    assert!(read(&other, &query, 7).is_none(), "another name");
    let mut many = answer.clone();
    many[6] = 0xff;
    assert!(read(&many, &query, 7).is_none(), "more records than there is room for");
    for length in 0..answer.len() {
        assert!(read(&answer[..length], &query, 7).is_none(), "{length}");
    }
}
