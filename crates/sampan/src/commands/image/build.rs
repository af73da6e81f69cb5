//! `build`: an image from a Dockerfile.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    io::{self, IsTerminal, Stderr},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use builder::{
    Build as Request, BuildError, ContextSource, DockerfileSource, Event, Local, Network, Observer,
};
use clap::Args;
use types::{Platform, Reference};

use crate::{
    cli::{Globals, Verb},
    output::progress::{Event as Shown, Mode, Progress, Screen, What},
    report, session, terminal,
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
        let request = self.into_request(engine.root().join("cache"))?;
        let mut show = Show::new(mode, why);
        let built = builder::build(request, &Local(&engine), &mut show);
        show.finish()?;
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
            Err(error) => Ok(explain(&error, quiet)),
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
            cache,
        })
    }
}

/// Shows what happens during a build.
struct Show {
    progress: Progress<Stderr>,
    began: Instant,
    /// Whether a step that was not cached says why.
    why: bool,
}

impl Show {
    fn new(mode: Mode, why: bool) -> Show {
        let screen = io::stderr().is_terminal().then(terminal::size).flatten();
        let colour = env::var_os("NO_COLOR").is_none();
        let screen = screen.map(|size| Screen { columns: size.columns, rows: size.rows, colour });
        Show { progress: Progress::new(mode, io::stderr(), screen), began: Instant::now(), why }
    }

    fn show(&mut self, step: usize, what: What<'_>) {
        // A build goes on although nobody can see how it goes.
        let _ = self.progress.show(&Shown { step, at: self.began.elapsed(), what });
    }

    fn finish(&mut self) -> io::Result<()> {
        self.progress.finish(self.began.elapsed())
    }
}

impl Observer for Show {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Started { id, task } => self.show(id, What::Started { name: &task.to_string() }),
            Event::Cached { id } => self.show(id, What::Cached),
            Event::Missed { id, reason } if self.why => {
                self.show(id, What::Output(format!("not cached: {reason}\n").as_bytes()));
            }
            Event::Missed { .. } => {}
            Event::Output { id, bytes, .. } => self.show(id, What::Output(bytes)),
            Event::Finished { id, .. } => self.show(id, What::Done),
            Event::Failed { id, error } => self.show(id, What::Failed { message: error }),
            Event::Written { id, image } => {
                self.show(id, What::Output(format!("writing image {image} done\n").as_bytes()));
            }
            Event::Named { id, name } => {
                self.show(id, What::Output(format!("naming to {name} done\n").as_bytes()));
            }
            Event::Warning(text) => eprintln!("WARNING: {text}"),
        }
    }
}

/// Says why there is no image: where in the Dockerfile, and what the last command had to say.
fn explain(error: &BuildError, quiet: bool) -> ExitCode {
    let mut text = String::new();
    if let BuildError::Run { output, command, .. } = error
        && quiet
    {
        // With progress shown, the output has been seen already. Writing to a String cannot fail.
        let _ = writeln!(text, "------\n > {command}:\n{}\n------", output.trim_end());
    }
    let message = format!("failed to build: {}", report::chain(error));
    match error.diagnostic() {
        Some(diagnostic) => {
            let styled = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
            text.push_str(&diagnostic.snippet(&message, styled));
        }
        None => text.push_str(&format!("ERROR: {message}")),
    }
    eprintln!("{}", text.trim_end());
    ExitCode::FAILURE
}
