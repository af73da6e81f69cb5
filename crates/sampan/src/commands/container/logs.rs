//! `logs`: what a container said.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use engine::container::LogOptions;
use jiff::{SignedDuration, Timestamp};
use monitor::log::Stream;

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
            // docker takes anything that is no number for "all".
            tail: self.tail.parse().ok(),
            since: self.since.as_deref().map(time).transpose()?,
            until: self.until.as_deref().map(time).transpose()?,
            follow: self.follow,
        };
        let (mut output, mut errors) = (io::BufWriter::new(io::stdout().lock()), io::stderr().lock());
        // Output that is slow to come is kept in parts of lines.
        let mut in_line = [false; 2];
        let read = engine.logs(&container, &options, |entry| {
            let mut line = Vec::new();
            let continues = &mut in_line[usize::from(entry.stream == Stream::Stderr)];
            if self.timestamps && !*continues {
                write!(line, "{:.9} ", entry.at)?;
            }
            *continues = !entry.content.ends_with(b"\n");
            line.extend_from_slice(&entry.content);
            match entry.stream {
                Stream::Stdout => output.write_all(&line)?,
                Stream::Stderr => {
                    output.flush()?;
                    errors.write_all(&line)?;
                }
            }
            if self.follow { output.flush() } else { Ok(()) }
        });
        match read.map_err(anyhow::Error::from).and_then(|()| Ok(output.flush()?)) {
            // Whoever reads has seen enough.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            other => other.map(|()| ExitCode::SUCCESS),
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// A time as docker takes it: RFC 3339, seconds since 1970, or how long ago.
fn time(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Timestamp::from_nanosecond((seconds * 1e9) as i128)?);
    }
    let ago: SignedDuration = text.parse().map_err(|_| {
        anyhow::anyhow!("invalid value for \"since\": failed to parse value as time or duration: {text:?}")
    })?;
    Ok(Timestamp::now() - ago)
}
