//! Why there is no image, as the last words of a build.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use builder::{BuildError, HostError};
use engine::EngineError;

use crate::{output::human, report};

/// Says why there is no image: what the command that failed had to say if nobody saw it, where in the Dockerfile, and at
/// the end, where it is seen first, what is wrong.
pub fn explain(error: &BuildError, was_silent: bool) -> ExitCode {
    let mut text = String::new();
    if let BuildError::Run { output, command, .. } = error
        && was_silent
    {
        text.push_str(&format!("------\n > {command}:\n{}\n------\n", output.trim_end()));
    }
    if let BuildError::Differs { steps, .. } = error
        && was_silent
    {
        for step in steps {
            text.push_str(&format!("------\n > {}:\n", step.name()));
            text.extend(step.lines().iter().map(|line| human::visible(line) + "\n"));
            text.push_str("------\n");
        }
    }
    if let Some(diagnostic) = error.diagnostic() {
        text.extend(diagnostic.excerpt().lines().map(|line| human::visible(line) + "\n"));
    }
    let missing = missing_image(error);
    let message = match &missing {
        Some(name) => format!("{name}: not found"),
        None => report::chain(error),
    };
    text.push_str(&format!("ERROR: failed to build: failed to solve: {message}\n"));
    // If nobody reads it, the exit code still says it.
    let _ = io::stderr().write_all(text.as_bytes());
    if let Some(hint) = missing.and_then(|name| EngineError::NoImage(name).hint()) {
        report::advise(&hint);
    }
    if let Some(help) = error.diagnostic().and_then(|diagnostic| diagnostic.problem.help.as_deref()) {
        report::advise(help);
    }
    match error {
        BuildError::Canceled => ExitCode::from(130),
        _ => ExitCode::FAILURE,
    }
}

/// Says what is wrong with the options, before anything was done.
pub fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("ERROR: {}", report::chain(error.as_ref()));
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
