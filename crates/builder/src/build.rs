//! One build, from what was asked for to what was made of it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use image::{Configuration, Image, Lease, config::History};
use types::{Platform, Reference};

use crate::{
    BuildError,
    builds::{self, Recorder},
    cache::{
        Cache,
        transport::{self, CacheExport, CacheSource, CacheTarget, Imports},
    },
    date::SourceDate,
    emulation,
    event::{Event, Observer},
    export::{Annotations, Exported, Output, Results},
    graph::Entry,
    host::{Host, Network},
    input::{ContextSource, Courier, DockerfileSource, Input, InputError, NamedContext, NamedPlaces},
    plan::Settings,
    progress::Progress,
    remote::Remotes,
    run_settings::RunSettings,
    scratch::Scratch,
    solve::State,
    squash,
    stop::Stop,
    work::{Redo, Work, plan},
};

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
pub(crate) fn load_layouts(
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
