//! Queries and answers on the wire.

use std::net::IpAddr;

use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, ResourceRecord, TYPE,
    rdata::{A, AAAA, PTR, RData},
};

/// A query we understand.
pub(super) struct Question<'a> {
    packet: Packet<'a>,
    /// What is asked for, in lower case. Empty if it has bytes no name of ours has.
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Address,
    Ipv6Address,
    AnyAddress,
    Pointer,
    Other,
}

/// What we know about a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Empty if it is not what was asked for.
    Addresses(Vec<IpAddr>),
    Name(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    Malformed = 1,
    Server = SERVER_FAILURE as isize,
    NoSuchName = 3,
    NotImplemented = NOT_IMPLEMENTED as isize,
}

impl<'a> Question<'a> {
    /// `None` if there is nothing to refer to in an answer.
    pub fn parse(query: &'a [u8]) -> Option<Result<Question<'a>, Failure>> {
        let header = query.first_chunk::<HEADER>()?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if header[2] & IS_ANSWER != 0 {
            return None;
        }
        if header[2] & OPERATION != 0 {
            return Some(Err(Failure::NotImplemented));
        }
        // The parser makes room for as many records as the header promises.
        if count(4) != 1 || count(6) != 0 || count(8) != 0 || count(10) > 2 {
            return Some(Err(Failure::Malformed));
        }
        let Ok(packet) = Packet::parse(query) else { return Some(Err(Failure::Malformed)) };
        let question = packet.questions.first()?;
        let kind = match (question.qtype, question.qclass) {
            (QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN)) => Kind::Address,
            (QTYPE::TYPE(TYPE::AAAA), QCLASS::CLASS(CLASS::IN)) => Kind::Ipv6Address,
            (QTYPE::ANY, QCLASS::CLASS(CLASS::IN)) => Kind::AnyAddress,
            (QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN)) => Kind::Pointer,
            _ => Kind::Other,
        };
        let name = plain(&question.qname);
        Some(Ok(Question { packet, name, kind }))
    }

    /// The message that answers this question. One too long for UDP says so instead.
    pub fn answered(&self, answer: &Answer, transport: Transport) -> Vec<u8> {
        let longest = match (transport, self.packet.opt()) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, Some(opt)) => usize::from(opt.udp_packet_size).clamp(SHORT, LONG),
            (Transport::Udp, None) => SHORT,
        };
        let built = self.build(answer, PacketFlag::empty());
        if built.len() <= longest {
            return built;
        }
        self.build(&Answer::Addresses(Vec::new()), PacketFlag::TRUNCATION)
    }

    fn build(&self, answer: &Answer, flags: PacketFlag) -> Vec<u8> {
        let mut reply = Packet::new_reply(self.packet.id());
        reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE | flags);
        if self.packet.has_flags(PacketFlag::RECURSION_DESIRED) {
            reply.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        let question = &self.packet.questions[0];
        let record = |data| ResourceRecord::new(question.qname.clone(), CLASS::IN, SECONDS_TO_LIVE, data);
        match answer {
            Answer::Addresses(addresses) => {
                let data = |address: &IpAddr| match address {
                    IpAddr::V4(address) => RData::A(A::from(*address)),
                    IpAddr::V6(address) => RData::AAAA(AAAA::from(*address)),
                };
                reply.answers = addresses.iter().map(|address| record(data(address))).collect();
            }
            Answer::Name(name) => {
                reply.answers.extend(Name::new(name).ok().map(|name| record(RData::PTR(PTR(name)))))
            }
        }
        reply.questions.push(question.clone());
        reply
            .build_bytes_vec_compressed()
            .expect("a question that was parsed and short records can be written")
    }
}

/// The answer to `query`, at least a header long, that says what went wrong.
pub(super) fn failure(query: &[u8], failure: Failure) -> Vec<u8> {
    let mut answer = query[..question_end(query).unwrap_or(HEADER)].to_vec();
    answer[2] |= IS_ANSWER;
    answer[3] = RECURSION_AVAILABLE | failure as u8;
    let questions = u8::from(answer.len() > HEADER);
    answer[4..HEADER].copy_from_slice(&[0, questions, 0, 0, 0, 0, 0, 0]);
    answer
}

/// Whether `answer` answers `query` if that was sent with the number `id`: a stranger would have to guess all
/// three.
pub(super) fn answers(answer: &[u8], query: &[u8], id: u16) -> bool {
    let is_answer = answer.len() >= HEADER && answer[2] & IS_ANSWER != 0 && answer[..2] == id.to_be_bytes();
    let Some(end) = question_end(query) else { return false };
    // Some servers answer without repeating the question when they refuse.
    let without_question = answer.len() == HEADER && is_failure(answer);
    is_answer
        && (without_question
            || answer.get(HEADER..end).is_some_and(|q| q.eq_ignore_ascii_case(&query[HEADER..end])))
}

/// Whether the server could not answer, so that another might.
pub(super) fn is_failure(answer: &[u8]) -> bool {
    matches!(answer[3] & 0xf, SERVER_FAILURE | NOT_IMPLEMENTED | REFUSED)
}

/// Where the only question ends.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match *message.get(at)? {
            0 => break,
            length if length < 0x40 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
    Some(at + 5).filter(|end| *end <= message.len())
}

fn plain(name: &Name<'_>) -> String {
    let mut plain = String::new();
    for label in name.as_bytes() {
        if !label.iter().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(b)) {
            return String::new();
        }
        if !plain.is_empty() {
            plain.push('.');
        }
        plain.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
    }
    plain
}

const HEADER: usize = 12;
const IS_ANSWER: u8 = 0x80;
const OPERATION: u8 = 0x78;
const SERVER_FAILURE: u8 = 2;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;
const RECURSION_AVAILABLE: u8 = 0x80;
/// What a client that says nothing else takes by UDP.
const SHORT: usize = 512;
/// What we send by UDP to whoever would take more.
const LONG: usize = 4096;
/// Docker says 600. A container that is replaced gets another address, and whoever honours what we say would
/// go on sending to the old one.
const SECONDS_TO_LIVE: u32 = 5;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn queries_that_nobody_would_write_are_answered_or_dropped() {
        let many = Answer::Addresses((0..=255).map(|n| IpAddr::from([10, 0, 0, n])).collect());
        let answers = [many, Answer::Addresses(Vec::new()), Answer::Name("web.example.com".to_owned())];
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/query");
        let words =
            ["\u{3}www", "\0\0", "\0\u{1}", "\u{c0}\u{c}", "\0)", "\u{7f}", "\u{1}\u{0}\0\u{1}\0\0\0\0\0\0"];
        testkit::fuzz(&corpus, &words, |query| match Question::parse(query) {
            None => {}
            Some(Err(why)) => {
                let answer = failure(query, why);
                assert!(is_reply(&answer, query) && answer.len() <= query.len());
                assert_eq!(answer[3] & 0xf, why as u8);
            }
            Some(Ok(question)) => {
                for answer in &answers {
                    let by_udp = question.answered(answer, Transport::Udp);
                    assert!(is_reply(&by_udp, query) && by_udp.len() <= LONG);
                    let by_tcp = question.answered(answer, Transport::Tcp);
                    assert!(is_reply(&by_tcp, query) && Packet::parse(&by_tcp).is_ok());
                }
            }
        });
    }

    #[test]
    fn answers_that_nobody_would_write_are_not_taken_for_those_of_the_server_that_was_asked() {
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05redis\0\0\x01\0\x01";
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/query");
        testkit::fuzz(&corpus, &["\u{5}redis", "\u{5}REDIS", "\u{12}4"], |answer| {
            if answers(answer, query, 0x1234) {
                assert!(is_reply(answer, query));
                assert!(
                    is_failure(answer) || answer[HEADER..].to_ascii_lowercase().starts_with(&query[HEADER..])
                );
            }
        });
    }

    fn is_reply(answer: &[u8], query: &[u8]) -> bool {
        answer.len() >= HEADER && answer[..2] == query[..2] && answer[2] & IS_ANSWER != 0
    }
}
