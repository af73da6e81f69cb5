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
mod run;
mod secret;
mod show;
mod sources;

use std::{path::PathBuf, process::ExitCode};

use builder::{Build as Request, Local};
use clap::Args;
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
    cli::{Globals, Verb},
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
        let (show, mut request) = match self.prepare(engine.cache()) {
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
            Err(error) => Ok(failure::explain(&error, show.is_quiet())),
        }
    }
}

impl Build {
    /// What the options say, all of it checked before anything is done. Results are kept in `cache`.
    fn prepare(&self, cache: PathBuf) -> anyhow::Result<(Show, Request)> {
        let show = Show::new(&self.appearance)?;
        let mut request = self.sources.request(cache)?;
        self.processes.add_to(&mut request)?;
        self.outputs.add_to(&mut request)?;
        Ok((show, request))
    }
}
