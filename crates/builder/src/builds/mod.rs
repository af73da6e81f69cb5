//! Records of recent builds: what each came to, step by step, so that one can go back to any of them.
//!
//! ```text
//! <cache>/builds/<id>/record    locked, as the directory, while the build goes on
//! ```
//!
//! A record is replaced whole whenever a step has been carried out, so a build that was killed leaves one too. It names
//! layers, and keeps none: those of a step stay as long as the cache has the step. What a failed step had made so far goes
//! into the cache as the result of a step that nobody asks for.
//!
//! No secret is in a record: of secrets it has the ids, of proxies nothing, of addresses all but the password, and in
//! what a process wrote the values it was given are blotted out.

mod find;
mod log;
mod recorder;
mod visit;

use std::{fs, io, path::Path, time::Duration};

use image::Layer;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use types::{Digest, Reference};

use crate::{
    cache::{Made, hold},
    graph::{Action, Graph, Mount, MountKind, Operation, Origin, Process, Run},
};

pub use find::{Found, LookupError, find, find_step, list, remove};
pub(crate) use log::Draft;
pub use log::{Log, Piece};
pub(crate) use recorder::{Ended, Recorder};
pub use visit::{Visit, VisitError, difference, visit};

/// One build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Build {
    pub id: String,
    /// As buildx names it: `app/Dockerfile (target)`.
    pub name: String,
    /// What it was asked for with.
    pub request: Request,
    #[serde(default)]
    pub target: Option<String>,
    #[serde(default)]
    pub platforms: Vec<String>,
    pub started: Timestamp,
    #[serde(default)]
    pub ended: Option<Timestamp>,
    pub outcome: Outcome,
    #[serde(default)]
    pub tags: Vec<Reference>,
    #[serde(default)]
    pub image: Option<Digest>,
    pub steps: Vec<Step>,
}

/// The command line of a build, for doing it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What followed the command's name, without passwords.
    pub arguments: Vec<String>,
    pub directory: String,
    /// The context as it was named, without a password.
    pub context: String,
    /// The Dockerfile, if it was named.
    pub dockerfile: Option<String>,
    /// Why the arguments alone will not do, if they will not.
    pub incomplete: Option<String>,
}

/// How a build ended, if it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Running,
    Completed,
    Failed(String),
    Canceled,
}

/// One operation of a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// What it goes by: `build/2`, for what progress shows as `[build 2/5]`.
    pub name: String,
    /// As progress shows it.
    pub title: String,
    /// The step it stands on.
    pub input: Option<usize>,
    /// The layers that it begins with: an image's.
    #[serde(default)]
    pub base: Vec<Made>,
    pub process: Process,
    #[serde(default)]
    pub run: Option<KeptRun>,
    pub status: Status,
    /// Why it was not cached.
    #[serde(default)]
    pub reason: Option<String>,
    /// The layer it made; or, if it failed, what it had made by then.
    #[serde(default)]
    pub made: Option<Made>,
    /// How long it took.
    #[serde(default)]
    pub milliseconds: u64,
    #[serde(default)]
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was never begun, or never ended.
    Pending,
    Cached,
    Done,
    Failed(String),
    Canceled,
}

/// A RUN with what its key leaves out: where the files of its mounts come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRun {
    run: Run,
    origins: Vec<Option<(Origin, String)>>,
}

impl KeptRun {
    fn of(run: &Run, first: usize) -> KeptRun {
        let origin = |mount: &Mount| {
            let (origin, source) = mount.takes()?;
            let origin = match origin {
                Origin::State(id) => Origin::State(first + id),
                other => other,
            };
            Some((origin, source.to_owned()))
        };
        KeptRun { run: run.clone(), origins: run.mounts.iter().map(origin).collect() }
    }

    /// As it was planned.
    fn restored(&self) -> Run {
        let mut run = self.run.clone();
        for (mount, origin) in run.mounts.iter_mut().zip(&self.origins) {
            let Some((origin, path)) = origin else { continue };
            match &mut mount.kind {
                MountKind::Files { from, source } => (*from, *source) = (*origin, path.clone()),
                MountKind::Cache(cache) => cache.from = Some(*origin),
                _ => {}
            }
        }
        run
    }
}

impl Build {
    /// Adds what is to be done for one platform; the number of the first of its steps.
    fn plan(&mut self, graph: &Graph) -> usize {
        let first = self.steps.len();
        self.steps.extend(graph.operations.iter().map(|operation| Step::of(operation, first)));
        first
    }

    /// The layers of what a step stands on, lowest first.
    pub fn below(&self, step: usize) -> Vec<Layer> {
        match self.steps[step].input {
            Some(input) if input < step => self.layers(input),
            _ => Vec::new(),
        }
    }

    /// The layers of what a step came to, lowest first.
    pub fn layers(&self, step: usize) -> Vec<Layer> {
        let Step { base, made, .. } = &self.steps[step];
        let mut layers = self.below(step);
        layers.extend(base.iter().chain(made).map(Made::layer));
        layers
    }

    /// How long it took, or has taken by now.
    pub fn duration(&self, now: Timestamp) -> Duration {
        self.ended.unwrap_or(now).duration_since(self.started).try_into().unwrap_or_default()
    }

    /// The steps that have a place in progress.
    pub fn shown(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().filter(|(_, step)| step.title != "FROM scratch")
    }

    /// The step that failed, if one did.
    pub fn failed_step(&self) -> Option<usize> {
        self.steps.iter().position(|step| matches!(step.status, Status::Failed(_)))
    }
}

impl Step {
    fn of(operation: &Operation, first: usize) -> Step {
        let base = match &operation.action {
            Action::Base(Some(image)) => image.layers.iter().map(Made::of).collect(),
            _ => Vec::new(),
        };
        let run = match &operation.action {
            Action::Run(run) => Some(KeptRun::of(run, first)),
            _ => None,
        };
        Step {
            name: name(&operation.label),
            title: operation.title.clone(),
            input: operation.input.map(|input| first + input),
            base,
            process: operation.process.clone(),
            run,
            status: Status::Pending,
            reason: None,
            made: None,
            milliseconds: 0,
            log: Log::default(),
        }
    }

    pub fn has_passed(&self) -> bool {
        matches!(self.status, Status::Cached | Status::Done)
    }

    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}

/// What the step that progress calls `[build 2/5] ` goes by: `build/2`.
pub fn name(label: &str) -> String {
    let words = label.trim().trim_start_matches('[').trim_end_matches(']');
    let words = words.rsplit_once('/').map_or(words, |(before, _)| before);
    words.split_whitespace().collect::<Vec<_>>().join("/")
}

/// Whether a build is at it just now.
fn is_running(directory: &Path) -> bool {
    hold::is_in_use(directory)
}

fn read(directory: &Path) -> Option<Build> {
    let mut build: Build = serde_json::from_slice(&fs::read(directory.join(RECORD)).ok()?).ok()?;
    if build.outcome == Outcome::Running && !is_running(directory) {
        // It was killed. When, only the file knows.
        build.outcome = Outcome::Canceled;
        let modified = fs::metadata(directory.join(RECORD)).and_then(|metadata| metadata.modified());
        build.ended = modified.ok().and_then(|time| Timestamp::try_from(time).ok());
    }
    Some(build)
}

fn write(directory: &Path, build: &Build) -> io::Result<()> {
    crate::cache::replace(&directory.join(RECORD), &serde_json::to_vec(build)?)
}

/// Where they are, below the cache's directory.
pub const DIRECTORY: &str = "builds";

const RECORD: &str = "record";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_by_what_progress_shows_in_brackets() {
        for (label, expected) in [
            ("[2/5] ", "2"),
            ("[build  2/12] ", "build/2"),
            ("[linux/arm64 build 2/5] ", "linux/arm64/build/2"),
            ("", ""),
        ] {
            assert_eq!(name(label), expected, "{label}");
        }
    }
}
