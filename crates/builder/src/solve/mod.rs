//! Carries out a graph: each operation is looked up by the content of its inputs, and done only if it is not known.

mod copy;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use image::{Configuration, Image, Layer, Lease};
use types::Digest;

use crate::{
    BuildError, MOST_LAYERS,
    cache::{Cache, Inputs, Made, Record, Trace},
    context::{Context, Tree},
    diagnostic::{Diagnostic, Problem},
    event::{Event, Task, TaskId},
    graph::{Action, Graph, MakeDirectory, Operation, Run, Source},
    host::{Host, RunStep},
    owner,
    progress::Progress,
    scratch::Scratch,
    stack::Stack,
};

pub use copy::CopyError;

/// What operations are carried out with.
pub struct Solver<'a, 'p> {
    pub host: &'a dyn Host,
    pub lease: &'a Lease,
    pub cache: &'a Cache,
    pub context: &'a mut Context,
    pub progress: &'a mut Progress<'p>,
    /// Known results are not used for RUN, nor for anything else: `--no-cache`.
    pub ignore_cache: bool,
    /// Names the build whose trace tells why a step is not known.
    pub identity: Digest,
    /// The Dockerfile, for showing where something failed.
    pub file: &'a str,
    pub source: &'a str,
}

/// A file system: its layers, lowest first, and what the last operation on it came to.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub layers: Vec<Layer>,
    pub record: Option<Record>,
}

impl Solver<'_, '_> {
    /// Carries out all operations; the answer has a state for each.
    pub fn solve(&mut self, graph: &Graph) -> Result<Vec<State>, BuildError> {
        let before = self.cache.trace(&self.identity);
        let mut trace = Trace::default();
        let mut states: Vec<State> = Vec::new();
        for operation in &graph.operations {
            let task = Task::Step { label: operation.label.clone(), title: operation.title.clone() };
            let task = self.progress.start(&task);
            let state = match &operation.action {
                Action::Base(base) => {
                    let layers = base.as_ref().map(|base| base.layers.clone()).unwrap_or_default();
                    self.hold_all(&layers)?;
                    self.progress.finish(task, Instant::now());
                    State { layers, record: None }
                }
                _ => {
                    let below = operation.input.map(|input| states[input].layers.clone()).unwrap_or_default();
                    let time = graph.config.created.as_deref();
                    let result = self.step(operation, &below, task, &before, &mut trace, time);
                    if let Err(error) = &result {
                        self.progress.event(Event::Failed { id: task, error: &error.to_string() });
                    }
                    let record = result?;
                    let made = record.layer.as_ref().map(Made::layer);
                    let layers: Vec<Layer> = below.into_iter().chain(made).collect();
                    if layers.len() > MOST_LAYERS {
                        return Err(BuildError::TooManyLayers);
                    }
                    State { layers, record: Some(record) }
                }
            };
            states.push(state);
        }
        if trace != before {
            self.cache.keep_trace(&self.identity, &trace).map_err(BuildError::Cache)?;
        }
        Ok(states)
    }

    fn step(
        &mut self,
        operation: &Operation,
        below: &[Layer],
        task: TaskId,
        before: &Trace,
        trace: &mut Trace,
        time: Option<&str>,
    ) -> Result<Record, BuildError> {
        let began = Instant::now();
        let trees = self.trees(operation)?;
        let inputs = Inputs {
            title: operation.title.clone(),
            definition: definition(&operation.action),
            below: below.iter().map(|layer| layer.diff_id).collect(),
            files: trees.iter().map(|trees| trees.iter().flat_map(Tree::files).collect()).collect(),
        };
        let key = inputs.key();
        let mut record = self.cache.record(&key);
        let mut turn = None;
        while !self.ignore_cache {
            if let Some(record) = &record
                && self.is_usable(record, below)?
            {
                self.cache.used(&key);
                trace.steps.push(inputs);
                self.progress.event(Event::Cached { id: task });
                return Ok(record.clone());
            }
            if turn.is_some() {
                break;
            }
            turn = Some(self.cache.turn(&key).map_err(BuildError::Cache)?);
            record = self.cache.record(&key); // of whoever had the turn before
        }
        let reason = match &record {
            Some(_) if self.ignore_cache => "the cache is not used (--no-cache)".to_owned(),
            Some(_) => "the layer it made is gone".to_owned(),
            None => match before.steps.get(trace.steps.len()) {
                None => "it was never built".to_owned(),
                Some(before) => {
                    inputs.difference(before).unwrap_or_else(|| "its result was removed".to_owned())
                }
            },
        };
        self.progress.event(Event::Missed { id: task, reason: &reason });
        trace.steps.push(inputs.clone());
        let layer = self.make(operation, below, &trees, task, seconds(time))?;
        let layer = layer.as_ref().map(Made::of);
        let record = Record { layer, created: jiff::Timestamp::now().to_string() };
        self.cache.keep_record(&key, &inputs, &record).map_err(BuildError::Cache)?;
        self.progress.finish(task, began);
        Ok(record)
    }

    /// Whether what the record tells of is there; from now on it stays.
    fn is_usable(&self, record: &Record, below: &[Layer]) -> Result<bool, BuildError> {
        record.layer.as_ref().map_or(Ok(true), |made| self.hold(&made.layer(), below))
    }

    /// The files of the context that the operation takes, for each of its sources.
    fn trees(&mut self, operation: &Operation) -> Result<Vec<Vec<Tree>>, BuildError> {
        let Action::Copy(copy) = &operation.action else { return Ok(Vec::new()) };
        let trees = copy.sources.iter().map(|source| match source {
            Source::Files(pattern) => self.context.select(pattern),
            Source::Inline { .. } => Ok(Vec::new()),
        });
        trees.collect::<Result<_, _>>().map_err(|error| {
            let mut problem = Problem::new(error.to_string(), operation.span.clone());
            if let crate::context::ContextError::NotFound { hidden: true, .. } = error {
                problem = problem.helped("the ignore file (.dockerignore) leaves it out");
            }
            BuildError::Context { error, diagnostic: self.diagnostic(problem) }
        })
    }

    /// Does what the operation says; the answer is the layer with the changes, if there are any.
    fn make(
        &mut self,
        operation: &Operation,
        below: &[Layer],
        trees: &[Vec<Tree>],
        task: TaskId,
        time: i64,
    ) -> Result<Option<Layer>, BuildError> {
        let scratch = Scratch::new(&self.cache.scratch_path()).map_err(BuildError::Cache)?;
        let upper = scratch.directory("upper").map_err(BuildError::Cache)?;
        let lower = self.directories(below)?;
        let directories = std::iter::once(upper.as_path()).chain(lower.iter().map(PathBuf::as_path));
        let stack = Stack::open(directories).map_err(BuildError::Cache)?;
        stack.adopt_root(time).map_err(BuildError::Cache)?;
        match &operation.action {
            Action::Base(_) => return Ok(None),
            Action::Run(run) => {
                let work = scratch.directory("work").map_err(BuildError::Cache)?;
                self.run(run, operation, lower, &upper, work, task)?;
            }
            Action::Copy(copy) => copy::copy(copy, trees, self.context, &stack, &scratch, time)
                .map_err(|error| self.failed(operation, error))?,
            Action::MakeDirectory(make) => {
                make_directory(make, &stack, time).map_err(|error| self.failed(operation, error))?;
                if is_empty(&upper) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(self.lease.commit_layer(&upper)?))
    }

    fn run(
        &mut self,
        run: &Run,
        operation: &Operation,
        layers: Vec<PathBuf>,
        upper: &Path,
        work: PathBuf,
        task: TaskId,
    ) -> Result<(), BuildError> {
        let step = RunStep {
            layers,
            upper: upper.to_owned(),
            work,
            arguments: run.arguments.clone(),
            environment: [run.environment.as_slice(), &run.ambient].concat(),
            directory: run.directory.clone(),
            user: run.user.clone(),
            hostname: HOSTNAME.to_owned(),
            network: run.network,
        };
        let mut tail = Vec::new();
        let progress = &mut *self.progress;
        let code = self.host.run(&step, &mut |stream, bytes| {
            progress.event(Event::Output { id: task, stream, bytes });
            tail.extend_from_slice(bytes);
            if tail.len() > 2 * LONGEST_TAIL {
                tail.drain(..tail.len() - LONGEST_TAIL);
            }
        })?;
        if code == 0 {
            return Ok(());
        }
        let command = run.arguments.join(" ");
        let message = format!("process {command:?} did not complete successfully: exit code: {code}");
        let start = tail.len().saturating_sub(LONGEST_TAIL);
        Err(BuildError::Run {
            command,
            code,
            output: String::from_utf8_lossy(&tail[start..]).into_owned(),
            diagnostic: self.diagnostic(Problem::new(message, operation.span.clone())),
        })
    }

    /// The layers' directories, topmost first.
    fn directories(&self, layers: &[Layer]) -> Result<Vec<PathBuf>, BuildError> {
        let nothing = Digest::of(b"");
        // The store knows directories by image, because what a layer's is may depend on those below it.
        let image = Image {
            manifest: nothing,
            id: nothing,
            config: Configuration::default(),
            layers: layers.to_vec(),
        };
        Ok(self.host.store().layer_directories(&image)?)
    }

    /// Whether the store has `layer` on top of `below`; from now on it stays.
    fn hold(&self, layer: &Layer, below: &[Layer]) -> Result<bool, BuildError> {
        let diff_ids: Vec<Digest> = below.iter().chain([layer]).map(|layer| layer.diff_id).collect();
        let held = self.lease.hold(&layer.blob, &diff_ids)?;
        Ok(held.blob && held.tree)
    }

    fn hold_all(&self, layers: &[Layer]) -> Result<(), BuildError> {
        for (height, layer) in layers.iter().enumerate() {
            if !self.hold(layer, &layers[..height])? {
                return Err(BuildError::LayerMissing(layer.diff_id));
            }
        }
        Ok(())
    }

    fn failed(&self, operation: &Operation, error: CopyError) -> BuildError {
        let problem = Problem::new(error.to_string(), operation.span.clone());
        BuildError::Copy { diagnostic: self.diagnostic(problem), error }
    }

    fn diagnostic(&self, problem: Problem) -> Box<Diagnostic> {
        Box::new(Diagnostic { file: self.file.to_owned(), source: self.source.to_owned(), problem })
    }
}

/// WORKDIR: the directory, unless something is there.
fn make_directory(make: &MakeDirectory, stack: &Stack, time: i64) -> Result<(), CopyError> {
    let path = Path::new(&make.path);
    let resolved = stack.resolve(path, true).map_err(CopyError::at(path))?;
    match resolved.kind() {
        Some(kind) if kind.is_dir() => return Ok(()),
        Some(_) => return Err(CopyError::NotDirectory(resolved.path)),
        None => {}
    }
    let owner = make.owner.as_ref().map(|owner| owner::find(owner, stack)).transpose()?.unwrap_or_default();
    stack.make_directory(&resolved.path, owner, time).map_err(CopyError::at(path))?;
    stack.restore_times(&resolved.path, time).map_err(CopyError::at(path))
}

/// All that can change an operation's result, but for what it stands on and the files it takes.
fn definition(action: &Action) -> String {
    let json = match action {
        Action::Base(_) => Ok(String::new()),
        Action::Run(run) => serde_json::to_string(&("run", run)),
        Action::Copy(copy) => serde_json::to_string(&("copy", copy)),
        Action::MakeDirectory(make) => serde_json::to_string(&("directory", make)),
    };
    json.expect("strings are serializable")
}

/// The time that made directories get: the base's own, so that the same build makes the same layer.
fn seconds(created: Option<&str>) -> i64 {
    created.and_then(|created| created.parse::<jiff::Timestamp>().ok()).map_or(0, |time| time.as_second())
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// What processes of RUN see as the machine's name.
const HOSTNAME: &str = "build";

/// How many bytes of a failed process's output its error carries.
const LONGEST_TAIL: usize = 8 << 10;
