//! `build`: an image from a Dockerfile.
//!
//! Its options are many, so each group has a file, and adds what it holds to the request: where a build starts from
//! ([`sources`]), what RUN's processes get ([`run`]), and what becomes of the result ([`output`]).

mod agent;
mod annotation;
mod answer;
mod cache;
mod call;
mod export;
mod failure;
mod fields;
mod host;
mod interrupt;
mod legacy;
mod metadata;
mod output;
mod request;
mod run;
mod secret;
mod show;
mod sources;

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use builder::{Build as Request, BuildError, Local, builds};
use clap::{Args, FromArgMatches};
use engine::EngineError;

use self::{
    call::Call,
    legacy::Legacy,
    output::Outputs,
    run::Processes,
    show::{Appearance, Show},
    sources::Sources,
};
use crate::{
    cli::{Command, Globals, Verb},
    commands::builder::visit,
    report, session,
};

/// Build an image from a Dockerfile
#[derive(Args)]
pub struct Build {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    processes: Processes,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    appearance: Appearance,
    #[command(flatten)]
    call: Call,
    #[command(flatten)]
    legacy: Legacy,
    /// Open a shell where a step failed, on a terminal and outside of CI
    #[arg(long)]
    shell_on_fail: bool,
    #[arg(skip)]
    repeat: Option<Repeat>,
}

/// A recorded build that is done again.
struct Repeat {
    arguments: Vec<OsString>,
    /// The step that is done anew with all that stands on it.
    from: Option<String>,
}

impl Verb for Build {
    const NAMES: &'static [&'static str] = &["image build", "build", "builder build", "buildx build"];
    const USAGE: &'static str = "[OPTIONS] PATH | URL | -";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let question = match self.call.question() {
            Ok(question) => question,
            Err(error) => return Ok(failure::refuse(&error)),
        };
        let engine = session::open(globals)?;
        let cache = engine.cache();
        let (show, mut request) = match self.prepare(cache.clone()) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(failure::refuse(&error)),
        };
        for warning in self.legacy.warnings() {
            eprintln!("WARNING: {warning}");
        }
        let client =
            || session::client(globals).map_err(|error| EngineError::Invalid(report::chain(error.as_ref())));
        let host = Local::new(engine, &client);
        if let Some(question) = question {
            let place = self.sources.dockerfile_place();
            return question.answer(request, &host, &show, &place);
        }
        let words = self.repeat.as_ref().map_or(&globals.words, |repeat| &repeat.arguments);
        request.request = Some(self.sources.recorded(words));
        request.redo_from = self.repeat.as_ref().and_then(|repeat| repeat.from.clone());
        request.stop = Some(interrupt::heeded()?);
        match show.during(|observer| builder::build(request, &host, observer)) {
            Ok(built) => {
                if let Err(error) = self.outputs.record(&built) {
                    return Ok(failure::refuse(&error));
                }
                if show.is_quiet() {
                    println!("{}", metadata::id(&built));
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                let code = failure::explain(&error, show.is_quiet());
                if let BuildError::Run { .. } = error
                    && let Some(id) = show.recorded()
                    && io::stdin().is_terminal()
                    && io::stderr().is_terminal()
                {
                    self.offer_shell(&id, cache, &host)?;
                }
                Ok(code)
            }
        }
    }
}

/// Says that options are not to be understood.
pub use failure::refuse;

/// The build that a record tells of, as it was asked for. Fails if that is not known.
pub fn request_of(recorded: &builds::Build, cache: PathBuf) -> anyhow::Result<Request> {
    let build = Build::recorded(recorded)?;
    Ok(build.prepare(cache)?.1)
}

/// Does the build that a record tells of again.
pub fn again(recorded: &builds::Build, from: Option<String>, globals: &Globals) -> anyhow::Result<ExitCode> {
    if let Some(reason) = &recorded.request.incomplete {
        eprintln!("ERROR: build {} cannot be done again: {reason}", recorded.id);
        report::advise("give the command itself once more");
        return Ok(ExitCode::FAILURE);
    }
    let mut build = match Build::recorded(recorded) {
        Ok(build) => build,
        Err(error) => return Ok(failure::refuse(&error)),
    };
    let arguments = recorded.request.arguments.iter().map(OsString::from).collect();
    build.repeat = Some(Repeat { arguments, from });
    build.run(globals)
}

impl Build {
    /// The command that a record tells of. This process goes where it was given.
    fn recorded(recorded: &builds::Build) -> anyhow::Result<Build> {
        let builds::Request { arguments, directory, .. } = &recorded.request;
        env::set_current_dir(directory).with_context(|| format!("cannot go to {directory}"))?;
        let mut matches = Command::of::<Build>().describe().try_get_matches_from(arguments)?;
        Ok(Build::from_arg_matches_mut(&mut matches)?)
    }

    /// Lets whoever sits at the terminal look around where a step failed; or tells how to.
    fn offer_shell(&self, id: &str, cache: PathBuf, host: &Local<'_>) -> anyhow::Result<()> {
        let Ok(build) = builds::find(&cache, id) else { return Ok(()) };
        let Some(step) = build.failed_step().filter(|step| build.steps[*step].made.is_some()) else {
            return Ok(());
        };
        let name = build.steps[step].name.clone();
        if !self.shell_on_fail || env::var_os("CI").is_some() {
            let short = &id[..id.len().min(SHORT_ID)];
            report::advise(&format!("to look around where it failed: `sampan build shell {short}:{name}`"));
            return Ok(());
        }
        eprintln!("A shell where step {name} failed; its files are as it left them. `exit` ends it.");
        visit::talk(&builds::Found { build, step }, Vec::new(), cache, host)?;
        Ok(())
    }
    /// What the options say, all of it checked before anything is done. Results are kept in `cache`.
    fn prepare(&self, cache: PathBuf) -> anyhow::Result<(Show, Request)> {
        let show = Show::new(&self.appearance)?;
        let mut request = self.sources.request(cache)?;
        self.processes.add_to(&mut request)?;
        self.outputs.add_to(&mut request)?;
        Ok((show, request))
    }
}

/// As much of a build's id as tells it from others.
const SHORT_ID: usize = 8;
