//! Why there is no image, as the last words of a build.

use std::{
    env,
    io::{self, IsTerminal, Write as _},
    process::ExitCode,
};

use builder::{BuildError, HostError};
use engine::EngineError;

use super::show::wants_colour;
use crate::report;

/// Says why there is no image: what the last command had to say unless that `was_told`, where in the
/// Dockerfile, and at the end, where it is seen first, what is wrong.
pub fn explain(error: &BuildError, was_told: bool) -> ExitCode {
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
