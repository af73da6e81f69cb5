//! One operation: looked up by the content of what goes into it, and done only if it is not known.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Instant,
};

use image::{Configuration, Image, Layer, Store};
use types::Digest;

use super::{
    CopyError, Given, Solver, State, chain, copy, dates,
    difference::{self, Difference},
    mounts::Found,
    remote::{self, Arrival},
    run::Place,
    verify,
};
use crate::{
    BuildError, MOST_LAYERS,
    builds::{Ended, Status},
    cache::{Inputs, Made, Record},
    context::{Context, Tree},
    diagnostic::{Diagnostic, Problem},
    error::chain_of,
    event::{Event, Task, TaskId},
    graph::{Action, Copy, MakeDirectory, Operation, OperationId, Origin, Source},
    input::Opened,
    owner::{self, UnknownOwner},
    scratch::Scratch,
    stack::{NewDirectory, Stack},
};

/// The files that an operation takes, as they are found.
#[derive(Default)]
pub(super) struct Files {
    /// For each of its sources.
    trees: Vec<Vec<Tree>>,
    /// The state they are in, unless it is the build context.
    state: Option<Context>,
    /// The named context they are in, if it is one.
    named: Option<Arc<Opened>>,
    /// For each source what is elsewhere.
    arrivals: Vec<Option<Arrival>>,
    /// For each mount of RUN.
    mounts: Vec<Option<Found>>,
}

impl Files {
    /// The directory that is copied, if it is one and nothing else.
    pub(super) fn only_directory(&self) -> Option<&Tree> {
        let [trees] = self.trees.as_slice() else { return None };
        let [tree] = trees.as_slice() else { return None };
        tree.is_directory.then_some(tree)
    }

    /// Where they are, if not in the build context.
    fn place(&self) -> Option<&Context> {
        self.state.as_ref().or(self.named.as_ref().map(|named| &named.context))
    }

    /// What was found for each source, by its name, as a key has it.
    fn known_by(&self, operation: &Operation) -> Vec<BTreeMap<String, Digest>> {
        let Action::Copy(copy) = &operation.action else {
            return self.mounts.iter().flatten().map(Found::known_by).collect();
        };
        let found = copy.sources.iter().zip(&self.trees).zip(&self.arrivals);
        found
            .map(|((source, trees), arrival)| {
                let arrived = arrival.as_ref().and_then(|arrival| remote::known_by(source, arrival));
                trees.iter().flat_map(Tree::files).chain(arrived).collect()
            })
            .collect()
    }
}

impl Solver<'_, '_> {
    /// Carries out one operation.
    pub(super) fn carry_out(&self, operation: &Operation, given: Given) -> Result<State, BuildError> {
        if let Action::Base(None) = &operation.action {
            return Ok(State::default());
        }
        if let (Action::Base(_), Some(before)) = (&operation.action, &given.before) {
            return Ok(before.clone());
        }
        let label = match given.before {
            None => operation.label.clone(),
            Some(_) => verify::label(&operation.label),
        };
        let task = Task::Step { label, title: operation.title.clone() };
        let task = self.progress.start(&task);
        let (number, began) = (given.number, Instant::now());
        let result = match &operation.action {
            Action::Base(base) => self.base(base.as_deref(), task, number),
            _ => self.step(operation, given, task),
        };
        if let Err(error) = &result {
            let error = error.to_string();
            let status = match self.stop.is_set() {
                true => {
                    self.progress.event(Event::Canceled { id: task });
                    Status::Canceled
                }
                false => {
                    self.progress.event(Event::Failed { id: task, error: &error });
                    Status::Failed(error)
                }
            };
            self.note(number, Ended { status, reason: None, made: None, elapsed: began.elapsed() });
        }
        result
    }

    fn base(&self, base: Option<&Image>, task: TaskId, number: OperationId) -> Result<State, BuildError> {
        let began = Instant::now();
        let layers = base.map(|base| base.layers.clone()).unwrap_or_default();
        for (height, layer) in layers.iter().enumerate() {
            if !self.hold(layer, &layers[..height])? {
                return Err(BuildError::LayerMissing(layer.diff_id));
            }
        }
        self.progress.finish(task, began);
        // An image that is here is as good as one that was cached.
        self.note(
            number,
            Ended { status: Status::Cached, reason: None, made: None, elapsed: began.elapsed() },
        );
        Ok(State { layers, record: None })
    }

    fn step(&self, operation: &Operation, given: Given, task: TaskId) -> Result<State, BuildError> {
        let began = Instant::now();
        let files = self.files(operation, &given)?;
        let inputs = Inputs {
            title: operation.title.clone(),
            definition: definition(&operation.action),
            below: match &operation.action {
                // What stands on nothing is the same on everything.
                Action::Copy(Copy { link: true, .. }) => Vec::new(),
                _ => given.below.iter().map(|layer| layer.diff_id).collect(),
            },
            stands_on_base: operation.stands_on_base,
            arguments: operation.arguments.clone(),
            files: files.known_by(operation),
            date: self.date.chosen(),
            uniform: match &operation.action {
                Action::Copy(copy) => {
                    let place = files.place().unwrap_or(self.context);
                    difference::uniform(copy, &files, place, self.date.seconds())
                }
                _ => None,
            },
        };
        let key = inputs.key();
        let ignore_cache =
            self.ignore_cache || self.redo.get(given.number).is_some_and(|is_redone| *is_redone);
        let mut known = self.cache.record(&key);
        let mut usable = self.is_usable(known.as_ref(), &given.below)?;
        let mut turn = None;
        if !usable && !ignore_cache {
            turn = Some(self.cache.turn(&key).map_err(BuildError::Cache)?);
            // Another build may have had the turn before.
            known = self.cache.record(&key);
            usable = self.is_usable(known.as_ref(), &given.below)?;
        }
        if !usable
            && !ignore_cache
            && let Some(record) = self.imported(&key, &operation.title, &given.below)?
        {
            (known, usable) = (Some(record), true);
        }
        let reason = match &known {
            Some(_) if self.ignore_cache => Some("the cache is not used (--no-cache)".to_owned()),
            Some(_) if ignore_cache => Some("it is to be done again".to_owned()),
            Some(_) if usable => None,
            Some(_) => Some("the layer it made is gone".to_owned()),
            None if given.before.is_some() => Some("it is built again (--verify)".to_owned()),
            None => Some(match self.before.step(&operation.place) {
                None => "it was never built".to_owned(),
                Some(before) => {
                    inputs.difference(before).unwrap_or_else(|| "its result was removed".to_owned())
                }
            }),
        };
        let difference = match reason {
            Some(_) if !ignore_cache && given.before.is_none() => {
                let height = self.directories(&given.below)?.len();
                self.difference(operation, &files, &inputs, height)?
            }
            _ => None,
        };
        let mut trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        trace.keys.insert(operation.place.clone(), key);
        trace.steps.insert(operation.place.clone(), inputs);
        drop(trace);
        let record = match (reason, known) {
            (None, Some(record)) => {
                self.cache.used(&key);
                self.progress.event(Event::Cached { id: task });
                let made = record.layer.clone();
                let elapsed = began.elapsed();
                self.note(given.number, Ended { status: Status::Cached, reason: None, made, elapsed });
                record
            }
            (reason, _) => {
                let reason = reason.unwrap_or_default();
                self.progress.event(Event::Missed { id: task, reason: &reason });
                let layer = self.make(operation, &given, &files, difference.as_ref(), task, &key)?;
                let layer = layer.as_ref().map(Made::of);
                let record = Record { layer, created: jiff::Timestamp::now().to_string() };
                self.cache
                    .keep_record(&key, &operation.title, &given.below, &record)
                    .map_err(BuildError::Cache)?;
                let (made, elapsed) = (record.layer.clone(), began.elapsed());
                self.note(given.number, Ended { status: Status::Done, reason: Some(&reason), made, elapsed });
                match &given.before {
                    Some(before) => self.compare(operation, before, &record, task, began)?,
                    None => self.progress.finish(task, began),
                }
                record
            }
        };
        drop(turn);
        let made = record.layer.as_ref().map(Made::layer);
        let layers: Vec<Layer> = given.below.into_iter().chain(made).collect();
        match layers.len() > MOST_LAYERS {
            true => Err(BuildError::TooManyLayers),
            false => Ok(State { layers, record: Some(record) }),
        }
    }

    /// Whether what a record tells of is there; from now on it stays.
    fn is_usable(&self, record: Option<&Record>, below: &[Layer]) -> Result<bool, BuildError> {
        match record {
            Some(Record { layer: Some(made), .. }) => self.hold(&made.layer(), below),
            other => Ok(other.is_some()),
        }
    }

    /// What a cache outside this machine has of a step; from now on it is this machine's too.
    fn imported(&self, key: &Digest, title: &str, below: &[Layer]) -> Result<Option<Record>, BuildError> {
        let record = match self.imports.bring(key, below, self.host, self.lease) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error) => {
                // The step can still be done.
                self.progress.event(Event::Warning(&format!("cannot use the cache: {}", chain_of(&error))));
                return Ok(None);
            }
        };
        self.cache.keep_record(key, title, below, &record).map_err(BuildError::Cache)?;
        Ok(Some(record))
    }

    /// Finds the files that the operation takes.
    fn files(&self, operation: &Operation, given: &Given) -> Result<Files, BuildError> {
        let copy = match &operation.action {
            Action::Copy(copy) => copy,
            Action::Run(run) => {
                let mounts = self.find_mounts(run, operation, given)?;
                return Ok(Files { mounts, ..Files::default() });
            }
            Action::Base(_) | Action::MakeDirectory(_) => return Ok(Files::default()),
        };
        let state = match copy.from {
            Origin::Context | Origin::Named(_) => None,
            Origin::State(id) => Some(self.open_state(given.from.get(&id).map_or(&[], Vec::as_slice))?),
        };
        let named = match copy.from {
            Origin::Named(number) => Some(self.named.open(number)?),
            Origin::Context | Origin::State(_) => None,
        };
        let own = state.as_ref().or(named.as_ref().map(|named| &named.context));
        let place = own.unwrap_or(self.context);
        let trees = copy.sources.iter().map(|source| match source {
            Source::Files(pattern) => place.select(pattern, &copy.selection),
            Source::Inline { .. } | Source::Url(_) | Source::Git(_) => Ok(Vec::new()),
        });
        let trees = trees.collect::<Result<Vec<_>, _>>().map_err(|error| {
            let mut problem = Problem::new(error.to_string(), operation.span.clone());
            if let Some(help) = error.help() {
                problem = problem.helped(help);
            }
            BuildError::Context { error, diagnostic: self.diagnostic(problem) }
        })?;
        if let Some(own) = own {
            own.save_index().map_err(BuildError::Cache)?;
        }
        let arrivals = remote::ask(copy, self.remotes, self.cache)
            .map_err(|error| self.failed(operation, CopyError::of_key(error)))?;
        Ok(Files { trees, state, named, arrivals, mounts: Vec::new() })
    }

    /// A state's file system as a place to copy from.
    pub(super) fn open_state(&self, layers: &[Layer]) -> Result<Context, BuildError> {
        let directories = self.directories(layers)?;
        let index = self.cache.index_path(&chain(layers));
        Context::of_state(&directories, &index).map_err(BuildError::Cache)
    }

    /// Does what the operation says; the answer is the layer with the changes, if there are any.
    fn make(
        &self,
        operation: &Operation,
        given: &Given,
        files: &Files,
        difference: Option<&Difference>,
        task: TaskId,
        key: &Digest,
    ) -> Result<Option<Layer>, BuildError> {
        let below = given.below.as_slice();
        let scratch = Scratch::new(&self.cache.scratch_path()).map_err(BuildError::Cache)?;
        let upper = scratch.directory("upper").map_err(BuildError::Cache)?;
        let lower = match &operation.action {
            Action::Copy(Copy { link: true, .. }) => Vec::new(),
            _ => self.directories(below)?,
        };
        let directories = std::iter::once(upper.as_path()).chain(lower.iter().map(PathBuf::as_path));
        let stack = Stack::open(directories).map_err(BuildError::Cache)?;
        let date = self.date.seconds();
        let unknown = &|owner: UnknownOwner| self.progress.event(Event::Warning(&owner.to_string()));
        stack.adopt_root(date).map_err(BuildError::Cache)?;
        match &operation.action {
            Action::Base(_) => return Ok(None),
            Action::Run(run) => {
                let place = Place { lower, upper: &upper, scratch: &scratch };
                let ran = self.run(run, operation, &files.mounts, place, task, given.number);
                if let Err(BuildError::Run { .. }) = &ran {
                    self.keep_failed(operation, given, key, &upper);
                }
                ran?;
            }
            Action::Copy(copy) => {
                let given = copy::Sources {
                    trees: &files.trees,
                    context: files.place().unwrap_or(self.context),
                    arrivals: &files.arrivals,
                    remotes: self.remotes,
                    cache: self.cache,
                    difference,
                };
                copy::copy(copy, given, &stack, &scratch, date, unknown)
                    .map_err(|error| self.failed(operation, error))?;
            }
            Action::MakeDirectory(make) => {
                make_directory(make, &stack, date, unknown).map_err(|error| self.failed(operation, error))?;
            }
        }
        dates::limit(&upper, date).map_err(BuildError::Cache)?;
        Ok(Some(match difference {
            Some(difference) => self.lease.commit_difference(&upper, &difference.basis)?,
            None => self.lease.commit_layer(&upper)?,
        }))
    }

    /// Keeps what a process had made when it failed, for whoever wants to know why: as a step's result like others, but
    /// under a key that no step has.
    fn keep_failed(&self, operation: &Operation, given: &Given, key: &Digest, upper: &Path) {
        let Some(record) = self.record else { return };
        if is_scarce(upper) {
            return;
        }
        let keep = || -> Result<Layer, BuildError> {
            let layer = self.lease.commit_layer(upper)?;
            let left = Record { layer: Some(Made::of(&layer)), created: jiff::Timestamp::now().to_string() };
            let key = Digest::of(format!("failed {key}").as_bytes());
            let title = format!("{} (failed)", operation.title);
            self.cache.keep_record(&key, &title, &given.below, &left).map_err(BuildError::Cache)?;
            Ok(layer)
        };
        match keep() {
            Ok(layer) => record.left(given.number, &layer),
            Err(error) => {
                let text = format!("what the step had made when it failed is not kept: {}", chain_of(&error));
                self.progress.event(Event::Warning(&text));
            }
        }
    }

    /// Writes down how an operation ended.
    fn note(&self, number: OperationId, ended: Ended<'_>) {
        if let Some(record) = self.record {
            record.ended(number, ended);
        }
    }

    /// The layers' directories, topmost first.
    pub(super) fn directories(&self, layers: &[Layer]) -> Result<Vec<PathBuf>, BuildError> {
        directories(self.host.store(), layers)
    }

    /// Whether the store has `layer` on top of `below`; from now on it stays.
    fn hold(&self, layer: &Layer, below: &[Layer]) -> Result<bool, BuildError> {
        let diff_ids: Vec<Digest> = below.iter().chain([layer]).map(|layer| layer.diff_id).collect();
        let held = self.lease.hold(&layer.blob, &diff_ids)?;
        Ok(held.blob && held.tree)
    }

    fn failed(&self, operation: &Operation, error: CopyError) -> BuildError {
        let mut problem = Problem::new(error.to_string(), operation.span.clone());
        if let CopyError::CacheKey(error) | CopyError::Remote(error) = &error {
            problem.help = error.hint().map(str::to_owned);
        }
        BuildError::Copy { diagnostic: self.diagnostic(problem), error }
    }

    pub(super) fn diagnostic(&self, problem: Problem) -> Box<Diagnostic> {
        Box::new(Diagnostic { file: self.file.to_owned(), source: self.source.to_owned(), problem })
    }
}

/// The directories of `layers`, topmost first.
pub fn directories(store: &Store, layers: &[Layer]) -> Result<Vec<PathBuf>, BuildError> {
    let nothing = Digest::of(b"");
    // The store knows directories by image, because what a layer's is may depend on those below it.
    let image =
        Image { manifest: nothing, id: nothing, config: Configuration::default(), layers: layers.to_vec() };
    Ok(store.layer_directories(&image)?)
}

/// Whether the disk has so little left that nothing is to be kept on it only because it might be looked at.
fn is_scarce(path: &Path) -> bool {
    let bytes = |disk: &rustix::fs::StatVfs, blocks: u64| blocks.saturating_mul(disk.f_frsize);
    rustix::fs::statvfs(path)
        .is_ok_and(|disk| bytes(&disk, disk.f_bavail) < (bytes(&disk, disk.f_blocks) / 10).min(SCARCE))
}

/// Bytes that are not scarce on any disk.
const SCARCE: u64 = 5 << 30;

/// WORKDIR: the directory, unless something is there.
fn make_directory(
    make: &MakeDirectory,
    stack: &Stack,
    time: i64,
    unknown: &dyn Fn(UnknownOwner),
) -> Result<(), CopyError> {
    let path = Path::new(&make.path);
    let resolved = stack.resolve(path, true).map_err(CopyError::at(path))?;
    match resolved.kind() {
        Some(kind) if kind.is_dir() => return Ok(()),
        Some(_) => return Err(CopyError::InFile(resolved.path)),
        None => {}
    }
    let owner = make.owner.as_ref().map(|owner| owner::find(owner, stack, unknown)).transpose()?;
    let new = NewDirectory { owner: owner.unwrap_or_default(), mode: 0o755, time };
    stack.make_directory(&resolved.path, new).map_err(CopyError::at(path))?;
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
