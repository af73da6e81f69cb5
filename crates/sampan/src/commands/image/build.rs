//! `build`: an image from a Dockerfile.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, IsTerminal, Stderr, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, MutexGuard,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use builder::{
    Build as Request, BuildError, ContextSource, DockerfileSource, Event, HostError, Local, Network, Observer,
};
use clap::Args;
use engine::{Engine, EngineError, transfer::Unwatched};
use rustix::termios::tcgetwinsize;
use types::{Platform, Reference};

use crate::{
    cli::{Globals, Verb},
    output::progress::{Event as Shown, Mode, Progress, Screen, What},
    report, session,
};

/// Build an image from a Dockerfile
#[derive(Args)]
pub struct Build {
    /// Set build-time variables
    #[arg(long, value_name = "list")]
    build_arg: Vec<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long)]
    file: Option<String>,
    /// Write the image ID to a file
    #[arg(long)]
    iidfile: Option<String>,
    /// Set metadata for an image
    #[arg(long)]
    label: Vec<String>,
    /// Set the networking mode for the RUN instructions during build
    #[arg(long, default_value = "default")]
    network: String,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Set target platform for build
    #[arg(long)]
    platform: Option<String>,
    /// Set type of progress output ("auto", "plain", "tty", "quiet")
    #[arg(long)]
    progress: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long)]
    tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long)]
    target: Option<String>,
    /// Say of each step why it was not cached
    #[arg(long)]
    why: bool,
    context: String,
}

impl Verb for Build {
    const NAMES: &'static [&'static str] = &["image build", "build", "builder build", "buildx build"];
    const USAGE: &'static str = "[OPTIONS] PATH | URL | -";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (quiet, why, iidfile) = (self.quiet, self.why, self.iidfile.clone());
        let mode = self.mode()?;
        let engine = session::open(globals)?;
        let request = self.into_request(engine.cache())?;
        let show = Show::new(mode, why);
        let pull = |engine: &Engine, name: &Reference, platform: &Platform| {
            let client = session::client(globals)
                .map_err(|error| EngineError::Invalid(report::chain(error.as_ref())))?;
            engine.pull(&client, name, platform, &Unwatched).map(drop)
        };
        let host = Local::new(engine, &pull);
        let built = show.during(|observer| builder::build(request, &host, observer));
        match built {
            Ok(built) => {
                if let Some(file) = iidfile {
                    fs::write(file, built.image.id.to_string())?;
                }
                if quiet {
                    println!("{}", built.image.id);
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(explain(&error, show.tells_output())),
        }
    }
}

impl Build {
    fn mode(&self) -> anyhow::Result<Mode> {
        let chosen = self.progress.clone().or_else(|| env::var("BUILDKIT_PROGRESS").ok());
        Ok(match (self.quiet, chosen) {
            (true, _) => Mode::Quiet,
            (false, Some(mode)) => mode.parse()?,
            (false, None) => Mode::Auto,
        })
    }

    fn into_request(self, cache: PathBuf) -> anyhow::Result<Request> {
        let stdin = || Box::new(io::stdin());
        if self.context == "-" && self.file.as_deref() == Some("-") {
            anyhow::bail!("invalid argument: can't use stdin for both build context and dockerfile");
        }
        if self.context.contains("://") || self.context.starts_with("git@") {
            anyhow::bail!(
                "building from {} is not supported: fetch it and build its directory",
                self.context
            );
        }
        let context = match self.context.as_str() {
            "-" => ContextSource::Stream(stdin()),
            path => {
                let directory = PathBuf::from(path);
                if !directory.is_dir() {
                    anyhow::bail!("unable to prepare context: path {path:?} not found");
                }
                ContextSource::Directory(directory)
            }
        };
        let dockerfile = match self.file.as_deref() {
            None => DockerfileSource::Default,
            Some("-") => DockerfileSource::Stream(stdin()),
            Some(path) => DockerfileSource::Path(path.into()),
        };
        let network = match self.network.as_str() {
            "default" | "bridge" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => anyhow::bail!("network mode {other:?} not supported by sampan"),
        };
        let tags = self.tag.iter().map(|tag| {
            tag.parse::<Reference>().map_err(|error| anyhow::anyhow!("invalid tag {tag:?}: {error}"))
        });
        let mut arguments = BTreeMap::new();
        for argument in self.build_arg {
            match argument.split_once('=') {
                Some((name, value)) => drop(arguments.insert(name.to_owned(), value.to_owned())),
                // Without a value it is the caller's, if that has one.
                None => arguments.extend(env::var(&argument).ok().map(|value| (argument, value))),
            }
        }
        let labels = self.label.iter().map(|label| {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            (key.to_owned(), value.to_owned())
        });
        let epoch = arguments.get(EPOCH).cloned().or_else(|| env::var(EPOCH).ok());
        let epoch = epoch
            .filter(|epoch| !epoch.is_empty())
            .map(|epoch| epoch.parse().map_err(|error| anyhow::anyhow!("invalid {EPOCH}: {epoch}: {error}")));
        Ok(Request {
            context,
            dockerfile,
            tags: tags.collect::<Result<_, _>>()?,
            arguments,
            labels: labels.collect(),
            target: self.target,
            no_cache: self.no_cache,
            pull: self.pull,
            network,
            platform: self.platform.as_deref().map(str::parse::<Platform>).transpose()?,
            source_date: epoch.transpose()?,
            cache,
        })
    }
}

/// When the sources are from, in seconds since 1970: <https://reproducible-builds.org/specs/source-date-epoch/>.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Shows what happens during a build.
struct Show {
    progress: Mutex<Progress<Stderr>>,
    began: Instant,
    /// Whether a step that was not cached says why.
    why: bool,
}

impl Show {
    fn new(mode: Mode, why: bool) -> Show {
        // A terminal that does not know its size is no place for a live view.
        let size = tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let screen =
            size.map(|size| Screen { columns: size.ws_col, rows: size.ws_row, colour: wants_colour() });
        let progress = Mutex::new(Progress::new(mode, io::stderr(), screen));
        Show { progress, began: Instant::now(), why }
    }

    /// Lets an observer see `work`, and shows it to the end.
    fn during<T>(&self, work: impl FnOnce(&mut (dyn Observer + Send)) -> T) -> T {
        let mut watcher = Watcher { show: self, warnings: Vec::new() };
        let (end, ended) = mpsc::channel();
        let done = thread::scope(|scope| {
            if self.progress().is_live() {
                scope.spawn(move || self.advance(&ended));
            }
            let done = work(&mut watcher);
            drop(end);
            done
        });
        // A build goes on although nobody can see how it goes; here as for each of its events.
        let _ = self.progress().finish(self.began.elapsed());
        for warning in watcher.warnings {
            let _ = writeln!(io::stderr(), "WARNING: {warning}");
        }
        done
    }

    /// Keeps the clocks of a live view going, also while a program is silent, until the other end is dropped.
    fn advance(&self, ended: &Receiver<()>) {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let _ = self.progress().tick(self.began.elapsed());
        }
    }

    fn event(&self, step: usize, what: What<'_>) {
        let _ = self.progress().show(&Shown { step, at: self.began.elapsed(), what });
    }

    /// Whether all that programs wrote is still to be read above.
    fn tells_output(&self) -> bool {
        matches!(*self.progress(), Progress::Plain(_))
    }

    fn progress(&self) -> MutexGuard<'_, Progress<Stderr>> {
        self.progress.lock().expect("drawing does not panic")
    }
}

/// How often a live view's clocks advance.
const TICK: Duration = Duration::from_millis(100);

/// Tells a [`Show`] what a build does.
struct Watcher<'a> {
    show: &'a Show,
    /// Not to be printed into a live view.
    warnings: Vec<String>,
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: Event<'_>) {
        let show = self.show;
        match event {
            Event::Started { id, task } => show.event(id, What::Started { name: &task.to_string() }),
            Event::Cached { id } => show.event(id, What::Cached),
            Event::Missed { id, reason } if show.why => {
                show.event(id, What::Output(format!("not cached: {reason}\n").as_bytes()));
            }
            Event::Missed { .. } => {}
            Event::Output { id, bytes, .. } => show.event(id, What::Output(bytes)),
            Event::Finished { id, .. } => show.event(id, What::Done),
            Event::Failed { id, error } => show.event(id, What::Failed { message: error }),
            Event::Written { id, image } => {
                show.event(id, What::Output(format!("writing image {image} done\n").as_bytes()));
            }
            Event::Named { id, name } => {
                show.event(id, What::Output(format!("naming to {name} done\n").as_bytes()));
            }
            Event::Warning(text) => self.warnings.push(text.to_owned()),
        }
    }
}

/// Says why there is no image: what the last command had to say unless that `was_told`, where in the
/// Dockerfile, and at the end, where it is seen first, what is wrong.
fn explain(error: &BuildError, was_told: bool) -> ExitCode {
    let mut text = String::new();
    if was_told {
        text.push('\n');
    } else if let BuildError::Run { output, command, .. } = error {
        text.push_str(&format!("------\n > {command}:\n{}\n------\n", output.trim_end()));
    }
    if let Some(diagnostic) = error.diagnostic() {
        let snippet = diagnostic.snippet("", io::stderr().is_terminal() && wants_colour());
        let place = snippet.split_once('\n').map_or("", |(_title, place)| place);
        text.push_str(&format!("{place}\n"));
    }
    let missing = missing_image(error);
    let message = match &missing {
        Some(name) => format!("{name}: not found"),
        None => report::chain(error),
    };
    text.push_str(&format!("ERROR: failed to build: {message}\n"));
    let hint = missing.and_then(|name| EngineError::NoImage(name).hint());
    if let Some(hint) = hint.filter(|_| env::var_os("SAMPAN_HINTS").is_none_or(|value| value != "0")) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // If nobody reads it, the exit code still says it.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::FAILURE
}

/// The base image that nobody has, if that is what is wrong, as the user would name it.
fn missing_image(error: &BuildError) -> Option<String> {
    match error {
        BuildError::Base { error, .. } => match &**error {
            HostError::NotFound(name) => Some(name.familiar()),
            HostError::Other(_) => None,
        },
        _ => None,
    }
}

fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none()
}
