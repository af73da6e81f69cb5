//! `buildx history`: the records of recent builds.

pub mod inspect;
pub mod logs;
pub mod ls;
pub mod rm;

use std::time::Duration;

use builder::builds::{Build, Outcome, Status};

/// A build's state, as BuildKit's listing has it.
fn status(build: &Build) -> &'static str {
    match build.outcome {
        Outcome::Running => "Running",
        Outcome::Completed => "Completed",
        Outcome::Failed(_) => "Error",
        Outcome::Canceled => "Canceled",
    }
}

/// `0.4s`, `1m 12s`.
fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        seconds if seconds < 3600 => format!("{}m {:2}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:2}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// How many steps there are, are done, and were cached.
fn counts(build: &Build) -> (usize, usize, usize) {
    let (mut total, mut done, mut cached) = (0, 0, 0);
    for (_, step) in build.shown() {
        total += 1;
        done += usize::from(step.has_passed());
        cached += usize::from(step.status == Status::Cached);
    }
    (total, done, cached)
}

/// A record's file name for its Dockerfile.
fn dockerfile(build: &Build) -> String {
    build.request.dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned())
}
