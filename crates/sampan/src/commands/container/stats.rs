//! `stats`: what containers use, measured again and again.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::Args;
use engine::{
    Engine, EngineError,
    container::{Container, Sample},
};
use serde_json::json;
use types::ContainerId;

use crate::{
    cli::{Globals, Verb},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// Display a live stream of container(s) resource usage statistics
#[derive(Args)]
pub struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    containers: Vec<String>,
}

impl Verb for Stats {
    const NAMES: &'static [&'static str] = &["container stats", "stats"];
    const USAGE: &'static str = "[OPTIONS] [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let format = Format::parse(self.format.as_deref(), COLUMNS)?;
        let engine = session::open(globals)?;
        let mut before = samples(&self.chosen(&engine)?, &engine)?;
        loop {
            thread::sleep(INTERVAL);
            let chosen = self.chosen(&engine)?;
            let now = samples(&chosen, &engine)?;
            let rows = chosen.iter().map(|(name, container)| {
                let sample = now.get(&container.id).copied().unwrap_or_default();
                // One that was not there before, or was started again since, has used all of it since.
                let earlier = before.get(&container.id).copied().unwrap_or(sample);
                row(name, container, &earlier, &sample, self.no_trunc)
            });
            let text = format.show(FIELDS, &rows.collect::<Vec<_>>())?;
            if let Err(error) = show(&text, !self.no_stream && io::stdout().is_terminal()) {
                // Nobody reads on.
                return if error.kind() == io::ErrorKind::BrokenPipe {
                    Ok(ExitCode::SUCCESS)
                } else {
                    Err(error.into())
                };
            }
            if self.no_stream {
                return Ok(ExitCode::SUCCESS);
            }
            before = now;
        }
    }
}

impl Stats {
    /// The containers to show, and what to call them: those that were named, or those there are.
    fn chosen(&self, engine: &Engine) -> Result<Vec<(String, Container)>, EngineError> {
        if !self.containers.is_empty() {
            return self.containers.iter().map(|name| Ok((name.clone(), engine.container(name)?))).collect();
        }
        let mut chosen = Vec::new();
        for container in engine.containers()? {
            if self.all || container.status()?.is_running() {
                chosen.push((container.id.short(), container));
            }
        }
        Ok(chosen)
    }
}

/// What those that run use now.
fn samples(
    chosen: &[(String, Container)],
    engine: &Engine,
) -> Result<HashMap<ContainerId, Sample>, EngineError> {
    let mut samples = HashMap::new();
    for (_, container) in chosen {
        samples.extend(engine.sample(container)?.map(|sample| (container.id, sample)));
    }
    Ok(samples)
}

fn row(name: &str, container: &Container, before: &Sample, now: &Sample, full: bool) -> Row {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let pair = |one, other| format!("{} / {}", human::size(one, 3), human::size(other, 3));
    let id = container.id.to_string();
    Row {
        fields: vec![
            ("BlockIO", json!(pair(now.read, now.written))),
            ("CPUPerc", json!(format!("{:.2}%", now.cpu_percent(before, processors)))),
            ("Container", json!(name)),
            ("ID", json!(if full { id.as_str() } else { human::short_id(&id) })),
            ("MemPerc", json!(format!("{:.2}%", now.memory_percent()))),
            (
                "MemUsage",
                json!(format!("{} / {}", human::memory(now.memory), human::memory(now.memory_limit))),
            ),
            ("Name", json!(&*container.name)),
            ("NetIO", json!(pair(now.received, now.sent))),
            ("PIDs", json!(now.processes.to_string())),
        ],
        labels: None,
    }
}

/// Prints a listing, over the one before if that is to be.
fn show(text: &str, in_place: bool) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if in_place {
        let lines = text.replace('\n', &format!("{TO_END_OF_LINE}\n"));
        write!(output, "{HOME}{lines}{TO_END_OF_SCREEN}")?;
    } else {
        output.write_all(text.as_bytes())?;
    }
    output.flush()
}

/// How long is measured for one line.
const INTERVAL: Duration = Duration::from_secs(1);

const HOME: &str = "\x1b[H";
const TO_END_OF_LINE: &str = "\x1b[K";
const TO_END_OF_SCREEN: &str = "\x1b[J";

const COLUMNS: &[&str] = &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

const FIELDS: Fields = &[
    ("BlockIO", "BLOCK I/O"),
    ("CPUPerc", "CPU %"),
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("Name", "NAME"),
    ("NetIO", "NET I/O"),
    ("PIDs", "PIDS"),
];
