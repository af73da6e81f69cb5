//! Going back to a step: its file system, with all that its process had, for a shell; or two of them to compare.

use std::collections::BTreeMap;

use image::{Layer, Lease};

use super::{Build, Found, LookupError, Status};
use crate::{
    BuildError, Observer,
    cache::{Cache, transport::Imports},
    compare::{self, FileDifference},
    context::{Context, Index},
    date::SourceDate,
    graph::{Action, Operation, OperationId, Origin, Run},
    host::{Host, HostError, RunStep},
    ignore::Ignore,
    input::{Courier, Input, NamedContext, NamedPlaces},
    progress::Progress,
    remote::Remotes,
    scratch::Scratch,
    solve::{self, Solver},
    stop::Stop,
};

/// Why there is no going back.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error("step {step} of build {build} was never carried out")]
    NeverDone { build: String, step: String },
    /// The cache has let go of it.
    #[error("the files of step {step} of build {build} are not kept any more")]
    Gone { build: String, step: String },
    #[error("the files that step {step} of build {build} left when it failed were not kept")]
    NotKept { build: String, step: String },
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// A process in a step's place.
pub struct Visit<'a> {
    pub found: &'a Found,
    /// The build as it was asked for: what is mounted of its context, its secrets and agents are taken from there.
    pub request: crate::Build,
    /// The step's own shell if it is empty.
    pub command: Vec<String>,
}

/// Prepares a process in a step's place, and lets `talk` run it; what it changes is thrown away. The answer is the
/// process's exit code.
pub fn visit(
    visit: Visit<'_>,
    host: &dyn Host,
    observer: &mut (dyn Observer + Send),
    talk: &mut dyn FnMut(&RunStep) -> Result<i32, HostError>,
) -> Result<i32, VisitError> {
    let Visit { found: Found { build, step: number }, request, command } = visit;
    let step = &build.steps[*number];
    let cache = &Cache::new(request.cache);
    let lease = &host.store().lease().map_err(BuildError::from)?;
    let layers = held(build, *number, lease)?;
    let process = &step.process;
    let run = match &step.run {
        Some(kept) => kept.restored(),
        None => Run {
            environment: process.environment.clone(),
            directory: process.directory.clone(),
            user: process.user.clone(),
            network: request.network,
            ..Run::default()
        },
    };
    let run = Run { arguments: if command.is_empty() { process.shell() } else { command }, ..run };

    let scratch = Scratch::new(&cache.scratch_path()).map_err(BuildError::Cache)?;
    let progress = &Progress::new(observer);
    let needs_ssh = request.context.is_ssh() || request.contexts.values().any(NamedContext::is_ssh);
    let remotes = &Remotes::new(needs_ssh);
    let courier = Courier { cache, remotes, progress, keep_git_dir: false };
    let origins: Vec<Origin> = run.mounts.iter().filter_map(|mount| Some(mount.takes()?.0)).collect();
    let input = match origins.contains(&Origin::Context) {
        true => Some(Input::read(request.context, request.dockerfile, &courier).map_err(BuildError::from)?),
        false => None,
    };
    let nothing = scratch.directory("nothing").map_err(BuildError::Cache)?;
    let nothing = Context::open(&nothing, Ignore::default(), Index::default()).map_err(BuildError::Cache)?;
    let mut from = BTreeMap::new();
    for origin in origins {
        if let Origin::State(id) = origin
            && id < build.steps.len()
        {
            from.insert(id, held(build, id, lease)?);
        }
    }
    let stop = match request.stop {
        Some(stop) => stop,
        None => std::sync::Arc::new(Stop::new().map_err(BuildError::Cache)?),
    };
    let solver = Solver {
        host,
        lease,
        cache,
        imports: &Imports::open(&[], host, progress),
        context: input.as_ref().map_or(&nothing, |input| &input.context),
        remotes,
        named: &NamedPlaces::new(&request.contexts, courier),
        progress,
        ignore_cache: false,
        redo: &[],
        date: SourceDate::Chosen(0),
        file: "",
        source: "",
        before: &cache.before(types::Digest::of(&[])),
        trace: Default::default(),
        stop: &stop,
        run: &request.run,
        record: None,
        again: None,
    };
    let operation = Operation::source(Action::Base(None), String::new(), step.title.clone(), 0..0);
    let place = solve::Visited { operation: &operation, run: &run, layers: &layers, from, scratch: &scratch };
    Ok(solver.visit(place, talk)?)
}

/// What is different in the file system of the second step, compared with the first one's.
pub fn difference(first: &Found, second: &Found, host: &dyn Host) -> Result<Vec<FileDifference>, VisitError> {
    let lease = host.store().lease().map_err(BuildError::from)?;
    let directories = |found: &Found| -> Result<_, VisitError> {
        let layers = held(&found.build, found.step, &lease)?;
        Ok(solve::directories(host.store(), &layers)?)
    };
    let (first, second) = (directories(first)?, directories(second)?);
    Ok(compare::file_systems(&first, &second).map_err(BuildError::Cache)?)
}

/// The layers of what a step came to, which stay from now on.
fn held(build: &Build, number: OperationId, lease: &Lease) -> Result<Vec<Layer>, VisitError> {
    let step = &build.steps[number];
    let (build_id, name) = (build.id.clone(), step.name.clone());
    match &step.status {
        Status::Failed(_) if step.run.is_none() || step.made.is_none() => {
            return Err(VisitError::NotKept { build: build_id, step: name });
        }
        Status::Pending | Status::Canceled => {
            return Err(VisitError::NeverDone { build: build_id, step: name });
        }
        _ => {}
    }
    let layers = build.layers(number);
    for (height, layer) in layers.iter().enumerate() {
        let diff_ids: Vec<_> = layers[..=height].iter().map(|layer| layer.diff_id).collect();
        let held = lease.hold(&layer.blob, &diff_ids).map_err(BuildError::from)?;
        if !(held.blob && held.tree) {
            return Err(VisitError::Gone { build: build_id, step: name });
        }
    }
    Ok(layers)
}
