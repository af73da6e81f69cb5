//! Failures, as docker's users know them: where, what, and what to do about it.

use std::{env, error::Error, fmt::Write, process::ExitCode};

use engine::EngineError;

use crate::{contexts::ContextError, output::human};

/// Prints why a command failed; the program's exit code.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<EngineError>() {
        Some(error @ EngineError::Usage(_)) => eprintln!("{}", chain(error)),
        Some(error) => eprintln!("Error response from daemon: {}", chain(error)),
        None => eprintln!("{}", chain(error.as_ref())),
    }
    if let Some(error) = error.downcast_ref::<EngineError>() {
        hint(error);
    }
    hint_of_context(error);
    ExitCode::FAILURE
}

/// Prints why `run` failed; the exit code says whether the command was to blame.
pub fn run_failure(error: &anyhow::Error) -> ExitCode {
    let Some(known) = error.downcast_ref::<EngineError>() else { return unusable_options(error, "run") };
    let program = program();
    eprintln!("{program}: Error response from daemon: {}", chain(known));
    eprintln!("\nRun '{program} run --help' for more information");
    hint(known);
    ExitCode::from(known.run_exit_code())
}

/// Prints what is wrong with the options of `run` or `create`.
pub fn unusable_options(error: &anyhow::Error, command: &str) -> ExitCode {
    let program = program();
    eprintln!("{program}: {}", chain(error.as_ref()));
    eprintln!("\nRun '{program} {command} --help' for more information");
    hint_of_context(error);
    ExitCode::from(125)
}

/// Does `work` for each of `items` even if it fails for some, printing what `work` returns on success.
pub fn for_each<T: AsRef<str>>(
    items: &[T],
    mut work: impl FnMut(&str) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for item in items {
        match work(item.as_ref()) {
            Ok(Some(line)) => println!("{line}"),
            Ok(None) => {}
            Err(error) => code = failure(&error),
        }
    }
    Ok(code)
}

fn hint(error: &EngineError) {
    error.hint().iter().for_each(|hint| advise(hint));
}

fn hint_of_context(error: &anyhow::Error) {
    let hint = error.downcast_ref::<ContextError>().and_then(ContextError::hint);
    hint.iter().for_each(|hint| advise(hint));
}

/// Says what the user may do; off with `SAMPAN_HINTS=0`.
pub fn advise(hint: &str) {
    if env::var_os("SAMPAN_HINTS").is_none_or(|value| value != "0") {
        eprintln!("hint: {}", hint.replace("`sampan ", &format!("`{} ", program())));
    }
}

/// An error and what is behind it, on one line, with control characters made visible.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            let _ = write!(text, ": {cause_text}"); // writing to a String cannot fail
        }
        source = cause.source();
    }
    human::visible(&text)
}

/// The name this program was called by.
pub fn program() -> String {
    let name = env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "sampan".to_owned())
}
