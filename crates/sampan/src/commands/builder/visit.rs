//! Going back to a step, as the user takes part in it.

use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
    path::PathBuf,
    process::ExitCode,
};

use builder::{
    Event, HostError, Local, Observer, RunStep,
    builds::{Found, LookupError, Visit, VisitError, visit},
};
use engine::{EngineError, container::Talk};

use crate::{
    commands::image::build,
    report,
    terminal::{self, Conversation, Parting, Raw},
};

/// Lets the user talk to `command`, or a shell, in the place of a step, to its end.
pub fn talk(
    found: &Found,
    command: Vec<String>,
    cache: PathBuf,
    host: &Local<'_>,
) -> anyhow::Result<ExitCode> {
    let request = match build::request_of(&found.build, cache) {
        Ok(request) => request,
        Err(error) => return Ok(build::refuse(&error)),
    };
    // Before there is any other thread.
    let signals = terminal::signals()?;
    let size = terminal::size().filter(|_| io::stdin().is_terminal());
    let mut talk = |step: &RunStep| {
        // Before the first output, which would else pass through a terminal that changes it.
        let _raw = match size {
            Some(_) => Raw::enter().map_err(other)?,
            None => None,
        };
        let (output, errors) = (io::stdout(), io::stderr());
        let with = Talk { output: output.as_fd(), errors: errors.as_fd(), terminal: size };
        host.talk(step, with, |attached| {
            let input = attached.take_input();
            let master = match (&input, size) {
                (Some(input), Some(_)) => Some(input.try_clone()?),
                _ => None,
            };
            let conversation = Conversation {
                resized: None,
                ended: attached.as_fd(),
                input,
                input_ended: &|| match attached.input_ended() {
                    // A process that has just ended reads nothing any more.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    told => told,
                },
                terminal: master.as_ref(),
                print: false,
                forward: None,
                detach: None,
            };
            match conversation.hold(&signals)? {
                Parting::Signalled(_) => attached.abandon(),
                Parting::Ended | Parting::Detached => Ok(()),
            }
        })
    };
    let asked = Visit { found, request, command };
    match visit(asked, host, &mut Warnings, &mut talk) {
        Ok(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        Err(error) => Ok(explain(&error)),
    }
}

/// Says why there is no going back, and what to do.
pub fn explain(error: &VisitError) -> ExitCode {
    eprintln!("ERROR: {}", report::chain(error));
    let hint = match error {
        VisitError::Lookup(LookupError::NoStep { build, .. }) => {
            Some(format!("`sampan buildx history inspect {build}` lists the steps"))
        }
        VisitError::Lookup(_) => Some("`sampan buildx history ls` lists builds".to_owned()),
        VisitError::Gone { build, .. } | VisitError::NotKept { build, .. } => {
            Some(format!("to have them again, run `sampan build retry {build}`"))
        }
        VisitError::NeverDone { build, .. } => {
            Some(format!("`sampan buildx history inspect {build}` tells how far it came"))
        }
        VisitError::Build(error) => error.diagnostic().and_then(|diagnostic| diagnostic.problem.help.clone()),
    };
    hint.iter().for_each(|hint| report::advise(hint));
    match error {
        VisitError::Build(builder::BuildError::Host(HostError::Other(error))) => {
            let known = error.downcast_ref::<EngineError>();
            ExitCode::from(known.map_or(1, EngineError::run_exit_code))
        }
        _ => ExitCode::FAILURE,
    }
}

fn other(error: io::Error) -> HostError {
    HostError::Other(Box::new(error))
}

/// Of what goes on only warnings are shown.
pub struct Warnings;

impl Observer for Warnings {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            eprintln!("WARNING: {text}");
        }
    }
}
