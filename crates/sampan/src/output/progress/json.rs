//! Progress as JSON lines for programs: the messages of BuildKit's `SolveStatus`.
//!
//! ```text
//! {"vertexes":[{"digest":"sha256:…","name":"[2/4] RUN make","started":"2026-01-01T00:00:00.5Z"}]}
//! {"logs":[{"vertex":"sha256:…","stream":1,"data":"aGkK","timestamp":"2026-01-01T00:00:00.75Z"}]}
//! ```
//!
//! A step's digest only tells it from others. Parts of a step and remarks are statuses that are complete.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use builder::Stream;
use jiff::Timestamp;
use serde::Serialize;
use types::Digest;

use super::{Event, What};

/// Writes a line for each event to `W`.
pub struct RawJson<W> {
    out: W,
    began: Timestamp,
    steps: BTreeMap<usize, Vertex>,
}

#[derive(Serialize, Default)]
struct Message {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<Vertex>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<Log>,
}

#[derive(Serialize, Clone)]
struct Vertex {
    digest: Digest,
    name: String,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Serialize)]
struct Status {
    id: String,
    vertex: Digest,
    current: u64,
    timestamp: Timestamp,
    started: Timestamp,
    completed: Timestamp,
}

#[derive(Serialize)]
struct Log {
    vertex: Digest,
    stream: u8,
    data: String,
    timestamp: Timestamp,
}

/// What BuildKit calls the failure of what it ended itself.
const CANCELED: &str = "context canceled";

impl<W: Write> RawJson<W> {
    /// `began` is when the build did.
    pub fn new(out: W, began: SystemTime) -> RawJson<W> {
        let began = Timestamp::try_from(began).unwrap_or(Timestamp::UNIX_EPOCH);
        RawJson { out, began, steps: BTreeMap::new() }
    }

    pub fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        let timestamp = self.time(event.at);
        if let What::Started { name } = event.what {
            let digest = Digest::of(format!("{} {name}", event.step).as_bytes());
            let (completed, cached, error) = (None, false, String::new());
            let vertex =
                Vertex { digest, name: name.to_owned(), started: timestamp, completed, cached, error };
            self.steps.insert(event.step, vertex);
        }
        let Some(step) = self.steps.get_mut(&event.step) else { return Ok(()) };
        if event.what.is_end() {
            step.completed = Some(timestamp);
        }
        let status = |id: &str| {
            let (id, vertex, started) = (id.to_owned(), step.digest, step.started);
            vec![Status { id, vertex, current: 0, timestamp, started, completed: timestamp }]
        };
        let mut message = Message::default();
        match event.what {
            What::Output { stream, bytes } => {
                let stream = match stream {
                    Stream::Out => 1,
                    Stream::Err => 2,
                };
                let data = BASE64_STANDARD.encode(bytes);
                message.logs = vec![Log { vertex: step.digest, stream, data, timestamp }];
            }
            What::Part(text) | What::Remark(text) => message.statuses = status(text),
            What::Cached => step.cached = true,
            What::Failed { message } => step.error = message.to_owned(),
            What::Canceled => step.error = CANCELED.to_owned(),
            What::Started { .. } | What::Done => {}
        }
        if matches!(event.what, What::Started { .. }) || event.what.is_end() {
            message.vertexes = vec![step.clone()];
        }
        serde_json::to_writer(&mut self.out, &message)?;
        writeln!(self.out)?;
        self.out.flush()
    }

    fn time(&self, since: Duration) -> Timestamp {
        self.began.checked_add(since).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: What<'_>, expected: &str) {
        let mut text = Vec::new();
        let mut json = RawJson::new(&mut text, SystemTime::UNIX_EPOCH);
        let at = Duration::from_millis;
        json.show(&Event { step: 2, at: at(0), what: What::Started { name: "[2/2] RUN \"x\"" } }).unwrap();
        json.show(&Event { step: 2, at: at(1500), what }).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (_, last) = text.split_once('\n').unwrap();
        let digest = Digest::of(b"2 [2/2] RUN \"x\"").to_string();
        assert_eq!(last.replace(&digest, "DIGEST"), format!("{expected}\n"));
    }

    #[test]
    fn the_lines_are_those_of_buildkit() {
        let vertex = r#""digest":"DIGEST","name":"[2/2] RUN \"x\"","started":"1970-01-01T00:00:00Z","completed":"1970-01-01T00:00:01.5Z""#;
        check(What::Done, &format!(r#"{{"vertexes":[{{{vertex}}}]}}"#));
        check(What::Cached, &format!(r#"{{"vertexes":[{{{vertex},"cached":true}}]}}"#));
        check(
            What::Failed { message: "exit code: 1" },
            &format!(r#"{{"vertexes":[{{{vertex},"error":"exit code: 1"}}]}}"#),
        );
        check(What::Canceled, &format!(r#"{{"vertexes":[{{{vertex},"error":"context canceled"}}]}}"#));
        check(
            What::Output { stream: Stream::Err, bytes: b"no newline\xff" },
            r#"{"logs":[{"vertex":"DIGEST","stream":2,"data":"bm8gbmV3bGluZf8=","timestamp":"1970-01-01T00:00:01.5Z"}]}"#,
        );
        check(
            What::Remark("not cached: a changed"),
            r#"{"statuses":[{"id":"not cached: a changed","vertex":"DIGEST","current":0,"timestamp":"1970-01-01T00:00:01.5Z","started":"1970-01-01T00:00:00Z","completed":"1970-01-01T00:00:01.5Z"}]}"#,
        );
    }
}
