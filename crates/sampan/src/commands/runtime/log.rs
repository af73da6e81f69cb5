//! What a runtime tells of what went wrong: to its log, where another engine reads it, and to its user.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use jiff::Timestamp;
use serde_json::json;

use crate::report::chain;

/// Where messages go: a file, or standard error.
pub struct Log {
    file: Option<PathBuf>,
    is_json: bool,
}

impl Log {
    pub fn new(file: Option<PathBuf>, format: &str) -> Log {
        Log { file, is_json: format == "json" }
    }

    /// Logs why a command failed; what the program exits with.
    pub fn failure(&self, error: &anyhow::Error, code: u8) -> ExitCode {
        let message = chain(error.as_ref());
        self.write("error", &message);
        if self.file.is_some() {
            eprintln!("{message}");
        }
        ExitCode::from(code)
    }

    pub fn warn_all(&self, messages: &[String]) {
        messages.iter().for_each(|message| self.write("warning", message));
    }

    fn write(&self, level: &str, message: &str) {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = match self.is_json {
            true => json!({ "level": level, "msg": message, "time": now }).to_string(),
            false => format!("time={now:?} level={level} msg={message:?}"),
        };
        // One call for the line: others may write to the file at the same time.
        let line = format!("{line}\n");
        let written = match &self.file {
            Some(path) => File::options()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes())),
            None => io::stderr().write_all(line.as_bytes()),
        };
        if let Err(error) = written {
            // Where the log cannot be written, the user is told at least.
            eprintln!("{message} (and the log cannot be written: {error})");
        }
    }
}
