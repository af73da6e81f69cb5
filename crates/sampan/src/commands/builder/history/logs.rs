//! `buildx history logs`: what a build had to say.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use builder::{
    Stream,
    builds::{self, Build, Status},
};
use clap::Args;

use crate::{
    cli::{Globals, Verb},
    commands::builder::visit,
    output::progress::{Event, Mode, Palette, Progress, What},
    session,
};

/// Print the logs of a build record
#[derive(Args)]
pub struct Logs {
    /// Override the configured builder instance
    #[arg(long, value_name = "string")]
    builder: Option<String>,
    /// Set type of progress output ("plain", "rawjson")
    #[arg(long, value_name = "string", default_value = "plain")]
    progress: String,
    build: Option<String>,
}

impl Verb for Logs {
    const NAMES: &'static [&'static str] = &["buildx history logs"];
    const USAGE: &'static str = "[OPTIONS] [REF]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let mode: Mode = self.progress.parse()?;
        anyhow::ensure!(
            matches!(mode, Mode::Plain | Mode::RawJson),
            "progress type {:?} cannot show what is over: use \"plain\" or \"rawjson\"",
            self.progress
        );
        let cache = session::open(globals)?.cache();
        let build = match builds::find(&cache, self.build.as_deref().unwrap_or_default()) {
            Ok(build) => build,
            Err(error) => return Ok(visit::explain(&error.into())),
        };
        let since_1970 = Duration::from_nanos(u64::try_from(build.started.as_nanosecond())?);
        let began = SystemTime::UNIX_EPOCH + since_1970;
        replay(&build, Progress::new(mode, io::stdout().lock(), None, Palette::none(), began)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows the steps one after the other.
fn replay(build: &Build, mut progress: Progress<impl Write>) -> io::Result<()> {
    let mut now = Duration::ZERO;
    for (number, (_, step)) in build.shown().enumerate() {
        let mut show = |at, what| progress.show(&Event { step: number + 1, at: now + at, what });
        if step.status == Status::Pending {
            continue;
        }
        let name = match step.name.is_empty() {
            true => step.title.clone(),
            false => format!("[{}] {}", step.name, step.title),
        };
        show(Duration::ZERO, What::Started { name: &name })?;
        for piece in &step.log.pieces {
            let stream = if piece.is_error { Stream::Err } else { Stream::Out };
            let what = What::Output { stream, bytes: piece.text.as_bytes() };
            show(Duration::from_millis(piece.milliseconds), what)?;
        }
        let end = match &step.status {
            Status::Cached => What::Cached,
            Status::Failed(message) => What::Failed { message },
            Status::Canceled => What::Canceled,
            Status::Done | Status::Pending => What::Done,
        };
        show(step.duration(), end)?;
        now += step.duration();
    }
    progress.finish(now, None)
}
