//! `logs`: what a container said.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use engine::container::{Container, LogOptions, log_attributes};
use jiff::{SignedDuration, Timestamp};
use monitor::log::{Selection, Stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Fetch the logs of a container
#[derive(Args)]
pub struct Logs {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long)]
    since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long)]
    until: Option<String>,
    container: String,
}

impl Verb for Logs {
    const NAMES: &'static [&'static str] = &["container logs", "logs"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let container = engine.container(&self.container)?;
        let options = LogOptions {
            selection: Selection {
                // docker takes anything that is no number for "all".
                tail: self.tail.parse().ok(),
                since: self.since.as_deref().map(|text| time(text, "since")).transpose()?,
                until: self.until.as_deref().map(|text| time(text, "until")).transpose()?,
            },
            follow: self.follow,
        };
        let details = if self.details { Some(details(&container)?) } else { None };
        let mut output = io::BufWriter::with_capacity(BUFFER, io::stdout().lock());
        let mut errors = io::BufWriter::with_capacity(BUFFER, io::stderr().lock());
        // Both may be one terminal: what was said first is shown first.
        let mut last = Stream::Stdout;
        // Output that is slow to come is kept in parts of lines.
        let mut in_line = [false; 2];
        let read = engine.logs(&container, options, |entry| {
            let stream = entry.map(|entry| entry.stream);
            if stream != Some(last) {
                output.flush()?;
                errors.flush()?;
            }
            let Some(entry) = entry else { return Ok(()) };
            last = entry.stream;
            let continues = &mut in_line[entry.stream as usize];
            let target: &mut dyn Write = match entry.stream {
                Stream::Stdout => &mut output,
                Stream::Stderr => &mut errors,
            };
            if !*continues && self.timestamps {
                write!(target, "{} ", in_full(entry.time))?;
            }
            if !*continues && let Some(details) = &details {
                write!(target, "{details} ")?;
            }
            *continues = !entry.content.ends_with(b"\n");
            target.write_all(&entry.content)
        });
        match read.map_err(anyhow::Error::from).and_then(|()| Ok(output.flush()?)) {
            // Whoever reads has seen enough.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            other => other.map(|()| ExitCode::SUCCESS),
        }
    }
}

/// A time of a log with all nine digits, as docker shows it: its files leave out zeros at the end.
fn in_full(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<9}Z")
}

/// What was chosen to be told of a container with each of its lines.
fn details(container: &Container) -> anyhow::Result<String> {
    let encode = |text: &str| utf8_percent_encode(text, QUERY).to_string().replace("%20", "+");
    let pairs = log_attributes(container)?;
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    Ok(pairs.join(","))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// A time as docker takes it: RFC 3339, seconds since 1970, or how long ago.
fn time(text: &str, option: &str) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Timestamp::from_nanosecond((seconds * 1e9) as i128)?);
    }
    let ago: SignedDuration = text.parse().map_err(|_| {
        anyhow::anyhow!("invalid value for \"{option}\": failed to parse value as time or duration: {text:?}")
    })?;
    Ok(Timestamp::now() - ago)
}

/// How much is written at once.
const BUFFER: usize = 64 * 1024;
/// What Go leaves as it is in the query of a URL.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
