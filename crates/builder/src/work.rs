//! What a build does for one platform: read the Dockerfile, carry out the graph, and perhaps do it again.

use std::sync::{Mutex, PoisonError};

use image::Lease;
use types::{Digest, Platform, Reference};

use crate::{
    BuildError,
    builds::{self, Recorder},
    cache::{
        Cache, Trace,
        transport::{self, CacheExport, CacheTarget, Carried, Imports},
    },
    call,
    date::SourceDate,
    diagnostic::Problem,
    event::{Event, Task},
    graph::{self, Graph},
    host::Host,
    input::{Courier, Input, NamedPlaces},
    lint::{self, Finding},
    parse,
    plan::{PlanError, Planner, Settings},
    progress::Progress,
    recipe::Recipe,
    scratch::Scratch,
    solve::{Again, Solver, State},
    stop::Stop,
};

/// What the builds for all platforms have in common.
pub(crate) struct Work<'a, 'p> {
    pub host: &'a dyn Host,
    pub lease: &'a Lease,
    pub imports: &'a Imports,
    pub courier: Courier<'a, 'p>,
    pub named: &'a NamedPlaces<'a, 'p>,
    pub input: &'a Input,
    pub no_cache: bool,
    pub redo: Redo,
    pub record: Option<&'a Recorder>,
    pub date: SourceDate,
    pub stop: &'a Stop,
}

/// What is done anew, whatever is known.
pub(crate) struct Redo {
    pub stages: Vec<String>,
    pub from: Option<String>,
}

impl Redo {
    /// For each operation whether it is. Fails if none is the one to begin with.
    fn of(&self, graph: &Graph) -> Result<Vec<bool>, BuildError> {
        let mut redo: Vec<bool> = Vec::with_capacity(graph.operations.len());
        let mut is_found = self.from.is_none();
        for operation in &graph.operations {
            let is_first = self.from.as_ref().is_some_and(|from| *from == builds::name(&operation.label));
            is_found |= is_first;
            let stands_on_one = self.from.is_some() && operation.needs().any(|id| redo[id]);
            let stage = operation.place.rsplit_once(' ').map(|(stage, _)| stage);
            let is_of_stage = stage
                .is_some_and(|stage| self.stages.iter().any(|wanted| wanted.eq_ignore_ascii_case(stage)));
            redo.push(is_first || stands_on_one || is_of_stage);
        }
        match (&self.from, is_found) {
            (Some(from), false) => Err(BuildError::NoStep(from.clone())),
            _ => Ok(redo),
        }
    }
}

impl Work<'_, '_> {
    /// Carries out a graph, and remembers how that went.
    pub fn solve(&self, graph: &Graph, settings: &Settings) -> Result<(Vec<State>, Trace), BuildError> {
        let Work { host, lease, imports, courier, named, input, no_cache, ref redo, record, date, stop } =
            *self;
        let Courier { cache, remotes, progress, .. } = courier;
        let redo = redo.of(graph)?;
        if let Some(record) = record {
            record.plan(graph);
        }
        let identity = match &settings.platform {
            Some(platform) => Digest::of(format!("{} {platform}", input.identity).as_bytes()),
            None => input.identity,
        };
        let before = cache.before(identity);
        let solver = Solver {
            host,
            lease,
            cache,
            imports,
            context: &input.context,
            remotes,
            named,
            progress,
            ignore_cache: no_cache,
            redo: &redo,
            date,
            file: &input.file,
            source: &input.text,
            before: &before,
            trace: Mutex::default(),
            stop,
            run: &settings.run,
            record,
            again: None,
        };
        let states = solver.solve(graph)?;
        let trace = solver.trace.into_inner().unwrap_or_else(PoisonError::into_inner);
        cache.keep_trace(&identity, &trace).map_err(BuildError::Cache)?;
        Ok((states, trace))
    }

    /// Carries out every step of a graph again, with a cache that is empty and thrown away, on what the first time came
    /// to. Fails if any comes to something else.
    pub fn verify(&self, graph: &Graph, settings: &Settings, states: &[State]) -> Result<(), BuildError> {
        let Work { host, lease, courier, named, input, date, stop, .. } = *self;
        let Courier { cache, remotes, progress, .. } = courier;
        let scratch = Scratch::new(&cache.scratch_path()).map_err(BuildError::Cache)?;
        let fresh = Cache::new(scratch.directory("cache").map_err(BuildError::Cache)?);
        let steps =
            graph.operations.iter().filter(|operation| !matches!(operation.action, graph::Action::Base(_)));
        progress.event(Event::Planned { tasks: steps.count() });
        let solver = Solver {
            host,
            lease,
            cache: &fresh,
            imports: &Imports::open(&[], host, progress),
            context: &input.context,
            remotes,
            named,
            progress,
            ignore_cache: false,
            redo: &[],
            date,
            file: &input.file,
            source: &input.text,
            before: &fresh.before(input.identity),
            trace: Mutex::default(),
            stop,
            run: &settings.run,
            record: None,
            again: Some(Again::new(states)),
        };
        solver.solve(graph)?;
        solver.verdict(graph)
    }

    /// Writes the steps to a cache outside, if they are to go to one.
    pub fn export_cache(&self, carried: &[Carried], export: &CacheExport) -> Result<(), BuildError> {
        let to = match export.to {
            CacheTarget::Inline => return Ok(()),
            CacheTarget::Directory(_) => "client directory",
            CacheTarget::Registry(_) => "registry",
        };
        let exported = self.courier.progress.task(&Task::ExportCache { to }, || {
            transport::export(carried, &export.to, export.mode, self.host, self.lease)
        });
        match exported {
            Err(_) if export.ignore_error => Ok(()),
            exported => Ok(exported?),
        }
    }
}

/// Reads all instructions, then plans those that are needed; nothing is fetched for a Dockerfile that is wrong.
pub(crate) fn plan(
    input: &Input,
    settings: &Settings,
    host: &dyn Host,
    progress: &Progress<'_>,
) -> Result<Graph, BuildError> {
    let wrong = |problem| BuildError::Dockerfile(input.diagnostic(problem));
    let options = call::options(&input.text, &settings.arguments).map_err(wrong)?;
    let dockerfile = parse::parse(&input.text).map_err(wrong)?;
    let recipe = Recipe::read(&dockerfile);
    let readable = call::readable(&dockerfile, &recipe);
    let mut findings = lint::of_statements(&input.text, &dockerfile, readable, &options);
    let tell = |finding: &Finding| progress.event(Event::Warning(&finding.summary()));
    findings.iter().for_each(tell);
    let recipe = recipe.map_err(wrong)?;
    let find = |name: &Reference, platform: &Platform| {
        let task = Task::FindImage { name: name.clone() };
        progress.task(&task, || host.resolve(name, platform, settings.pull))
    };
    let planner = Planner::new(&find, settings, &dockerfile.directives, &recipe);
    let target = planner.target().ok();
    let graph = planner.plan().map_err(|error| match error {
        PlanError::Problem(problem) => wrong(problem),
        PlanError::Base(error, span) => {
            let diagnostic = input.diagnostic(Problem::new(error.to_string(), span));
            BuildError::Base { error, diagnostic }
        }
    })?;
    let of_build = call::of_build(input, settings, &dockerfile, &recipe, target, &graph.operations, &options);
    of_build.iter().for_each(tell);
    findings.extend(of_build);
    if let Some(problem) = lint::violation(&findings, &options) {
        return Err(wrong(problem));
    }
    // The last is the export.
    progress.event(Event::Planned { tasks: graph.tasks() + 1 });
    if !graph.unused_arguments.is_empty() {
        let unused = graph.unused_arguments.join(" ");
        progress.event(Event::Warning(&format!("One or more build-args [{unused}] were not consumed")));
    }
    Ok(graph)
}
