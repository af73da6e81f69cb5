//! Writes the record of a build while it goes on.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use image::Layer;
use jiff::Timestamp;

use super::{Build, DIRECTORY, Log, Outcome, Request, Status, find, write};
use crate::{
    BuildError, Built,
    cache::{Cache, Made, hold},
    graph::{Graph, OperationId},
};

/// The record of a build that is running.
///
/// A record is a convenience: one that cannot be written is no reason for a build to fail.
pub struct Recorder {
    directory: PathBuf,
    state: Mutex<State>,
    _lock: Option<File>,
}

struct State {
    build: Build,
    /// The number of the first step of the graph that is being solved.
    first: usize,
}

/// What became of a step.
pub struct Ended<'a> {
    pub status: Status,
    pub reason: Option<&'a str>,
    pub made: Option<Made>,
    pub elapsed: Duration,
}

impl Recorder {
    /// Begins a record, and drops the oldest if there are many.
    pub fn begin(
        cache: &Cache,
        request: Request,
        target: Option<String>,
        platforms: Vec<String>,
    ) -> io::Result<Recorder> {
        let parent = cache.directory(DIRECTORY);
        fs::create_dir_all(&parent)?;
        let id = new_id()?;
        let directory = parent.join(&id);
        fs::create_dir(&directory)?;
        let lock = hold::lock(&directory)?;
        let build = Build {
            id,
            name: name(&request, target.as_deref()),
            request,
            target,
            platforms,
            started: Timestamp::now(),
            ended: None,
            outcome: Outcome::Running,
            tags: Vec::new(),
            image: None,
            steps: Vec::new(),
        };
        write(&directory, &build)?;
        bound(cache, &parent)?;
        Ok(Recorder { directory, state: Mutex::new(State { build, first: 0 }), _lock: lock })
    }

    pub fn id(&self) -> String {
        self.with(|state| state.build.id.clone())
    }

    pub fn plan(&self, graph: &Graph) {
        self.with(|state| state.first = state.build.plan(graph));
    }

    /// Notes how a step ended; `number` is that of its operation.
    pub fn ended(&self, number: OperationId, ended: Ended<'_>) {
        let Ended { status, reason, made, elapsed } = ended;
        self.with(|state| {
            let is_news = !matches!(status, Status::Cached);
            let Some(step) = state.build.steps.get_mut(state.first + number) else { return };
            step.status = status;
            step.reason = reason.map(str::to_owned);
            step.milliseconds = elapsed.as_millis() as u64;
            if made.is_some() {
                step.made = made;
            }
            if is_news {
                // See the type's documentation.
                write(&self.directory, &state.build).ok();
            }
        });
    }

    /// Keeps what a step's process wrote, unless there is much of it already.
    pub fn logged(&self, number: OperationId, log: Log) {
        self.with(|state| {
            let written: usize = state.build.steps.iter().map(|step| step.log.size()).sum();
            if written < MOST_LOGGED
                && let Some(step) = state.build.steps.get_mut(state.first + number)
            {
                step.log = log;
            }
        });
    }

    /// Keeps what a step had made when it failed.
    pub fn left(&self, number: OperationId, layer: &Layer) {
        self.with(|state| {
            if let Some(step) = state.build.steps.get_mut(state.first + number) {
                step.made = Some(Made::of(layer));
            }
        });
    }

    /// Completes the record.
    pub fn finish(&self, built: &Result<Built, BuildError>) {
        self.with(|state| {
            let build = &mut state.build;
            build.ended = Some(Timestamp::now());
            build.outcome = match built {
                Ok(_) => Outcome::Completed,
                Err(BuildError::Canceled) => Outcome::Canceled,
                Err(error) => Outcome::Failed(error.to_string()),
            };
            if let Ok(built) = built {
                build.image = Some(built.image.id);
                build.tags.clone_from(&built.exported.names);
            }
            write(&self.directory, build).ok();
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a build is called: after its context's directory, the Dockerfile if that is not just `Dockerfile`, and the target.
fn name(request: &Request, target: Option<&str>) -> String {
    let context = Path::new(&request.directory).join(&request.context);
    let context = fs::canonicalize(&context).unwrap_or(context);
    let mut name = match context.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => request.context.clone(),
    };
    if let Some(file) = request.dockerfile.as_deref().and_then(|file| Path::new(file).file_name())
        && file != "Dockerfile"
    {
        name.push_str(&format!("/{}", file.to_string_lossy()));
    }
    target.iter().for_each(|target| name.push_str(&format!(" ({target})")));
    name
}

/// Removes the oldest of more records than are kept.
fn bound(cache: &Cache, parent: &Path) -> io::Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        all.push((entry.metadata()?.modified()?, entry.file_name()));
    }
    all.sort();
    let excess = all.len().saturating_sub(MOST_BUILDS);
    for (_, id) in &all[..excess] {
        find::remove_in(cache, &parent.join(id))?;
    }
    Ok(())
}

/// As BuildKit's: 25 digits and letters, the first of them a letter.
fn new_id() -> io::Result<String> {
    let mut random = [0; 25];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let digit = |(place, byte): (usize, &u8)| {
        let choice = if place == 0 { 26 } else { letters.len() };
        char::from(letters[usize::from(*byte) % choice])
    };
    Ok(random.iter().enumerate().map(digit).collect())
}

/// How many records are kept.
const MOST_BUILDS: usize = 50;

/// How much output one record holds, in bytes.
const MOST_LOGGED: usize = 1 << 20;
