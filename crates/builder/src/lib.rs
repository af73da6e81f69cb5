//! Builds images from Dockerfiles.
//!
//! ```text
//! text ──parse──▶ statements ──instructions──▶ graph of operations ──solve──▶ layers and configuration
//! ```
//!
//! Knows Dockerfiles, build contexts and the build cache. What runs processes and keeps images is a [`Host`]; what
//! happens is told to an [`Observer`]. Knows nothing of terminals, registries or containers' lives.

pub mod builds;
pub mod cache;
mod call;
mod change;
mod compare;
mod config;
mod context;
mod date;
mod diagnostic;
mod emulation;
mod event;
mod expand;
mod export;
mod graph;
mod history;
mod host;
mod ignore;
mod input;
mod instructions;
mod lint;
mod local;
mod mode;
mod owner;
mod parse;
mod path;
mod plan;
mod progress;
mod recipe;
mod remote;
mod run_settings;
mod scratch;
mod solve;
mod squash;
mod stack;
mod stop;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use image::{Configuration, Image, Lease, StoreError, config::History};
use types::{Digest, Platform, Reference};

pub use cache::transport::{CacheExport, CacheMode, CacheSource, CacheTarget};
pub use call::{Checked, ListedTarget, Mount, Outline, OutlineArgument, Targets, check, outline, targets};
pub use change::change;
pub use compare::{Aspect, Change, FileDifference};
pub use context::ContextError;
pub use diagnostic::{Diagnostic, Problem, Span, marked_lines};
pub use event::{Event, Exporter, Observer, Task, TaskId};
pub use export::{
    Annotation, Annotations, ExportError, Exported, Family, Output, Package, Place, Split, Target,
};
pub use host::{Host, HostError, Network, Pushed, RunStep, Stream};
pub use ignore::InvalidPattern;
pub use input::{ContextSource, DockerfileSource, InputError, NamedContext, NamedFiles};
pub use lint::{Finding, Rule};
pub use local::Local;
pub use run_settings::{
    ExtraHost, HostAddress, Limits, Privilege, RunSettings, Secret, SecretContent, SwapLimit, Ulimit,
    UnknownPrivilege,
};
pub use solve::{CopyError, MountError, StepDifference};
pub use stop::Stop;

use builds::Recorder;
use cache::{
    Cache, Trace,
    transport::{self, Carried, Imports},
};
use date::SourceDate;
use export::Results;
use graph::{Entry, Graph};
use input::{Courier, Input, NamedPlaces};
use plan::{PlanError, Planner, Settings};
use progress::Progress;
use recipe::Recipe;
use remote::Remotes;
use scratch::Scratch;
use solve::{Again, Solver, State};

/// An image to be built.
pub struct Build {
    pub context: ContextSource,
    pub dockerfile: DockerfileSource,
    /// Names the image gets.
    pub tags: Vec<Reference>,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// `--build-context`: what names in the Dockerfile stand for.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The stage to stop at.
    pub target: Option<String>,
    /// Do every step anew.
    pub no_cache: bool,
    /// Ask registries for newer base images.
    pub pull: bool,
    /// The network of RUN steps that do not say.
    pub network: Network,
    /// What else their processes get.
    pub run: RunSettings,
    /// Ends the build when it is set; all that is under way is killed, and nothing of it is left.
    pub stop: Option<Arc<Stop>>,
    /// The platforms to build for; this machine's if there are none.
    pub platforms: Vec<Platform>,
    /// One layer for all that is built on the base.
    pub squash: bool,
    pub annotations: Annotations,
    /// What becomes of the result, perhaps nothing; an image in the store if nothing is said.
    pub outputs: Option<Vec<Output>>,
    /// Caches outside this machine: `--cache-from`.
    pub cache_from: Vec<CacheSource>,
    /// Where this build's steps go besides: `--cache-to`.
    pub cache_to: Vec<CacheExport>,
    /// When everything is said to have been made, in seconds since 1970, if that is not for the sources to tell.
    pub source_date: Option<i64>,
    /// The stages whose steps are done anew: `--no-cache-filter`.
    pub redo_stages: Vec<String>,
    /// The step that is done anew with all that stands on it, as [`builds::Step::name`] has it.
    pub redo_from: Option<String>,
    /// What the build is recorded with, if it is.
    pub request: Option<builds::Request>,
    /// Every step is done twice, and there is no image unless both times came to the same.
    pub verify: bool,
    /// Where results are kept for later builds.
    pub cache: PathBuf,
}

impl Build {
    /// A build of `dockerfile` in `context` with nothing special about it.
    pub fn new(context: ContextSource, dockerfile: DockerfileSource, cache: PathBuf) -> Build {
        Build {
            context,
            dockerfile,
            tags: Vec::new(),
            arguments: BTreeMap::new(),
            labels: BTreeMap::new(),
            contexts: BTreeMap::new(),
            target: None,
            no_cache: false,
            pull: false,
            network: Network::Default,
            run: RunSettings::default(),
            stop: None,
            platforms: Vec::new(),
            squash: false,
            annotations: Annotations::default(),
            outputs: None,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            source_date: None,
            redo_stages: Vec::new(),
            redo_from: None,
            request: None,
            verify: false,
            cache,
        }
    }
}

/// What was built.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The image for the only platform, or the first.
    pub image: Image,
    /// Those for further platforms.
    pub others: Vec<Image>,
    pub exported: Exported,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Input(#[from] InputError),
    /// The Dockerfile is wrong.
    #[error("{0}")]
    Dockerfile(Box<Diagnostic>),
    /// The base image cannot be had.
    #[error("{error}")]
    Base { error: Box<HostError>, diagnostic: Box<Diagnostic> },
    /// COPY or ADD names what is not in the context.
    #[error("{error}")]
    Context { error: ContextError, diagnostic: Box<Diagnostic> },
    /// Files could not be put into the image.
    #[error("{error}")]
    Copy { error: CopyError, diagnostic: Box<Diagnostic> },
    /// A process of RUN failed. `output` is the last of what it wrote.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Run { command: String, code: i32, output: String, diagnostic: Box<Diagnostic> },
    /// A process of RUN could not be started.
    #[error("process {command:?} did not complete successfully: {error}")]
    Start { command: String, error: Box<HostError>, diagnostic: Box<Diagnostic> },
    /// Something could not be mounted for a process of RUN.
    #[error("{error}")]
    Mount { error: Box<MountError>, diagnostic: Box<Diagnostic> },
    /// Steps that were done twice did not come to the same.
    #[error("{}", different(.steps))]
    Differs { steps: Vec<StepDifference>, diagnostic: Box<Diagnostic> },
    /// Nobody wants it any more.
    #[error("Canceled: context canceled")]
    Canceled,
    /// RUN needs another processor.
    #[error("this machine cannot run programs for {platform}")]
    Foreign { platform: Platform, diagnostic: Box<Diagnostic> },
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("the image would have more than {MOST_LAYERS} layers")]
    TooManyLayers,
    /// The step to begin with is not among those of the build.
    #[error("the build has no step {0:?}")]
    NoStep(String),
    #[error("layer {0} is not in the store")]
    LayerMissing(Digest),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("cannot use the build cache")]
    Cache(#[source] io::Error),
}

impl BuildError {
    /// The place in the Dockerfile, if there is one to show.
    pub fn diagnostic(&self) -> Option<&Diagnostic> {
        match self {
            BuildError::Dockerfile(diagnostic)
            | BuildError::Base { diagnostic, .. }
            | BuildError::Context { diagnostic, .. }
            | BuildError::Copy { diagnostic, .. }
            | BuildError::Foreign { diagnostic, .. }
            | BuildError::Mount { diagnostic, .. }
            | BuildError::Start { diagnostic, .. }
            | BuildError::Differs { diagnostic, .. }
            | BuildError::Run { diagnostic, .. } => Some(diagnostic),
            BuildError::Input(_)
            | BuildError::Canceled
            | BuildError::Export(_)
            | BuildError::TooManyLayers
            | BuildError::NoStep(_)
            | BuildError::LayerMissing(_)
            | BuildError::Store(_)
            | BuildError::Host(_)
            | BuildError::Cache(_) => None,
        }
    }
}

/// Which steps are not reproducible, in one line.
fn different(steps: &[StepDifference]) -> String {
    let names: Vec<String> = steps.iter().map(StepDifference::name).collect();
    match names.as_slice() {
        [name] => format!("{name} came to something else when it was done again"),
        names => format!(
            "{} steps came to something else when they were done again: {}",
            names.len(),
            names.join(", ")
        ),
    }
}

/// Builds an image for each platform and exports them. Blocks until that is done, or cannot be done.
pub fn build(
    build: Build,
    host: &dyn Host,
    observer: &mut (dyn Observer + Send),
) -> Result<Built, BuildError> {
    let cache = Cache::new(build.cache.clone());
    let record = build.request.clone().and_then(|request| {
        let platforms = build.platforms.iter().map(Platform::to_string).collect();
        match Recorder::begin(&cache, request, build.target.clone(), platforms) {
            Ok(record) => Some(record),
            Err(error) => {
                observer.event(Event::Warning(&format!("the build is not recorded: {error}")));
                None
            }
        }
    });
    if let Some(record) = &record {
        observer.event(Event::Recorded { id: &record.id() });
    }
    let built = build_with(&cache, build, record.as_ref(), host, observer);
    if let Some(record) = record {
        record.finish(&built);
    }
    if cache.has_grown()
        && let Err(error) = host.bound_cache()
    {
        // No reason for there being no image.
        observer.event(Event::Warning(&format!("the build cache may grow beyond its bounds: {error}")));
    }
    built
}

fn build_with(
    cache: &Cache,
    build: Build,
    record: Option<&Recorder>,
    host: &dyn Host,
    observer: &mut (dyn Observer + Send),
) -> Result<Built, BuildError> {
    let Build {
        context,
        dockerfile,
        tags,
        arguments,
        labels,
        contexts,
        target,
        no_cache,
        pull,
        network,
        run,
        stop,
        platforms,
        squash,
        annotations,
        outputs,
        cache_from,
        cache_to,
        source_date,
        redo_stages,
        redo_from,
        request: _,
        verify,
        cache: _,
    } = build;
    let progress = Progress::new(observer);
    let need_ssh = context.is_ssh() || contexts.values().any(NamedContext::is_ssh);
    let remotes = Remotes::new(need_ssh);
    let keep_git_dir = arguments.get(KEEP_GIT_DIR).is_some_and(|value| is_true(value));
    let courier = Courier { cache, remotes: &remotes, progress: &progress, keep_git_dir };
    let input = Input::read(context, dockerfile, &courier)?;
    let date = match (source_date, input.commit_date) {
        (None, Some(commit)) => SourceDate::Found(commit),
        (chosen, _) => SourceDate::of(chosen, &input.directory),
    };
    let lease = host.store().lease()?;
    let imports = Imports::open(&cache_from, host, &progress);
    let named = NamedPlaces::new(&contexts, courier);
    let stop = match stop {
        Some(stop) => stop,
        None => Arc::new(Stop::new().map_err(BuildError::Cache)?),
    };
    let stop = &stop;
    let work = Work {
        host,
        lease: &lease,
        imports: &imports,
        courier,
        named: &named,
        input: &input,
        no_cache,
        redo: Redo { stages: redo_stages, from: redo_from },
        record,
        date,
        stop,
    };

    let layouts = BTreeMap::new();
    let mut settings =
        Settings { arguments, labels, contexts, layouts, target, platform: None, network, run, pull };
    let platforms: Vec<_> = platforms.into_iter().map(Some).collect();
    let platforms = if platforms.is_empty() { vec![None] } else { platforms };
    let inline = cache_to.iter().any(|export| export.to == CacheTarget::Inline);
    let (mut images, mut carried) = (Vec::new(), Vec::new());
    for platform in platforms {
        settings.platform = platform;
        settings.layouts = load_layouts(&settings, &lease, cache)?;
        let graph = plan(&input, &settings, host, &progress)?;
        emulation::check(&graph, &input)?;
        let (states, trace) = work.solve(&graph, &settings)?;
        if verify {
            work.verify(&graph, &settings, &states)?;
        }
        let steps = transport::carried(&graph, &states, &trace);
        let layers = &states[graph.result].layers;
        let mut config = configuration(graph.config.clone(), &graph.history, &states, date);
        if inline {
            transport::inline(&mut config, &steps, layers);
        }
        carried.extend(steps);
        let mut image = lease.write_image(config, layers)?;
        if squash {
            let scratch = Scratch::new(&cache.scratch_path()).map_err(BuildError::Cache)?;
            image = squash::squash(&image, &graph, &states, &lease, &scratch)?;
        }
        images.push(annotations.put(image, &lease)?);
    }
    input.context.save_index().map_err(BuildError::Cache)?;

    let outputs = outputs.unwrap_or_else(|| vec![Output::stored()]);
    let results = Results { host, lease: &lease, images: &images, tags: &tags, annotations: &annotations };
    let exported = results.export(outputs, &progress)?;
    for export in cache_to {
        work.export_cache(&carried, &export)?;
    }
    let image = images.remove(0);
    Ok(Built { image, others: images, exported })
}

/// What the builds for all platforms have in common.
struct Work<'a, 'p> {
    host: &'a dyn Host,
    lease: &'a Lease,
    imports: &'a Imports,
    courier: Courier<'a, 'p>,
    named: &'a NamedPlaces<'a, 'p>,
    input: &'a Input,
    no_cache: bool,
    redo: Redo,
    record: Option<&'a Recorder>,
    date: SourceDate,
    stop: &'a Stop,
}

/// What is done anew, whatever is known.
struct Redo {
    stages: Vec<String>,
    from: Option<String>,
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
    fn solve(&self, graph: &Graph, settings: &Settings) -> Result<(Vec<State>, Trace), BuildError> {
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
    fn verify(&self, graph: &Graph, settings: &Settings, states: &[State]) -> Result<(), BuildError> {
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
    fn export_cache(&self, carried: &[Carried], export: &CacheExport) -> Result<(), BuildError> {
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
fn plan(
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

/// The image's configuration, with its history.
fn configuration(
    mut config: Configuration,
    history: &[Entry],
    states: &[State],
    date: SourceDate,
) -> Configuration {
    for entry in history {
        let record = entry.operation.and_then(|id| states[id].record.as_ref());
        config.history.push(History {
            created: Some(date.text()),
            created_by: entry.created_by.clone(),
            author: String::new(),
            comment: "buildkit.dockerfile.v0".to_owned(),
            empty_layer: record.is_none_or(|record| record.layer.is_none()),
        });
    }
    config.created = Some(date.text());
    config
}

/// Brings the images of those named contexts that are layouts into the store.
fn load_layouts(
    settings: &Settings,
    lease: &Lease,
    cache: &Cache,
) -> Result<BTreeMap<usize, Image>, BuildError> {
    let platform = settings.platform.clone().unwrap_or_else(Platform::host);
    let mut loaded = BTreeMap::new();
    for (number, context) in settings.contexts.values().enumerate() {
        let NamedContext::Layout(layout) = context else { continue };
        let scratch = Scratch::new(&cache.scratch_path()).map_err(BuildError::Cache)?;
        let aside = scratch.file("layout.tar").map_err(BuildError::Cache)?;
        loaded.insert(number, layout.load(lease, &platform, aside).map_err(InputError::from)?);
    }
    Ok(loaded)
}

/// As Go's `strconv.ParseBool` has it.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The argument by which a context that is a repository keeps its `.git`, as for BuildKit.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// As many as other engines take.
pub(crate) const MOST_LAYERS: usize = 127;

#[cfg(test)]
mod tests;
