//! `buildx history inspect`: one build, and its steps.

use std::process::ExitCode;

use builder::builds::{self, Build, Outcome, Status, Step};
use clap::Args;
use jiff::{Timestamp, tz::TimeZone};

use super::{counts, dockerfile, duration};
use crate::{
    cli::{Globals, Verb},
    commands::builder::visit,
    output::{human, table},
    session,
};

/// Inspect a build record
#[derive(Args)]
pub struct Inspect {
    /// Override the configured builder instance
    #[arg(long, value_name = "string")]
    builder: Option<String>,
    /// Format the output: "pretty" or "json"
    #[arg(long, default_value = "pretty")]
    format: String,
    build: Option<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["buildx history inspect"];
    const USAGE: &'static str = "[OPTIONS] [REF]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let cache = session::open(globals)?.cache();
        let build = match builds::find(&cache, self.build.as_deref().unwrap_or_default()) {
            Ok(build) => build,
            Err(error) => return Ok(visit::explain(&error.into())),
        };
        match self.format.as_str() {
            "pretty" => print!("{}", human::visible(&pretty(&build, Timestamp::now()))),
            "json" => println!("{}", serde_json::to_string_pretty(&build)?),
            other => anyhow::bail!("invalid format {other:?}: \"pretty\" and \"json\" are known"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn pretty(build: &Build, now: Timestamp) -> String {
    let (total, done, cached) = counts(build);
    let mut lines = vec![
        ("Name", build.name.clone()),
        ("Context", build.request.context.clone()),
        ("Dockerfile", dockerfile(build)),
    ];
    lines.extend(build.target.clone().map(|target| ("Target", target)));
    if !build.platforms.is_empty() {
        lines.push(("Platforms", build.platforms.join(", ")));
    }
    lines.push(("", String::new()));
    let started =
        build.started.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    lines.push(("Started", started));
    lines.push(("Duration", duration(build.duration(now))));
    match &build.outcome {
        Outcome::Running => lines.push(("Status", "Running".to_owned())),
        Outcome::Canceled => lines.push(("Status", "Canceled".to_owned())),
        Outcome::Failed(error) => lines.push(("Error", error.clone())),
        Outcome::Completed => {}
    }
    let percent = (100 * cached).checked_div(done).unwrap_or(0);
    lines.push(("Build Steps", format!("{done}/{total} ({percent}% cached)")));
    lines.extend(build.image.map(|image| ("Image", image.to_string())));
    if !build.tags.is_empty() {
        lines.push(("Tags", build.tags.iter().map(|tag| tag.familiar()).collect::<Vec<_>>().join(", ")));
    }
    let line = |(name, value): &(&str, String)| match name.is_empty() {
        true => "\n".to_owned(),
        false => format!("{name}:\t{value}\n"),
    };
    let text: String = lines.iter().map(line).collect();
    let head = table::align(&text, WIDTH);
    let rows: Vec<[String; 4]> = build.shown().map(|(_, step)| row(step)).collect();
    match rows.is_empty() {
        true => head,
        false => format!("{head}\n{}", table::table(&["STEP", "STATUS", "DURATION", "INSTRUCTION"], &rows)),
    }
}

fn row(step: &Step) -> [String; 4] {
    let status = match step.status {
        Status::Pending => "-",
        Status::Cached => "CACHED",
        Status::Done => "DONE",
        Status::Failed(_) => "ERROR",
        Status::Canceled => "CANCELED",
    };
    let took = match step.status {
        Status::Done | Status::Failed(_) => duration(step.duration()),
        _ => String::new(),
    };
    let title = step.title.replace(['\t', '\n'], " ");
    [step.name.clone(), status.to_owned(), took, title]
}

/// As wide as buildx's first column.
const WIDTH: usize = 16;
