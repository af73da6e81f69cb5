//! Builds that several builders make: a case is a script that writes a context and builds it, and what comes out is put
//! down as text, so that builders can be compared with each other and with what one of them once did.
//!
//! A script finds itself in an empty directory. It calls `build`, with the options and the context that it likes, for the
//! image that is looked at, and `$BUILDER`, a program with docker's command line, for whatever else it needs. The image
//! `busybox` is there.

mod record;
mod tree;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub use record::Record;

/// A script, with the record of it beside.
#[derive(Debug, Clone)]
pub struct BuildCase {
    script: PathBuf,
}

impl BuildCase {
    /// The cases below `directory`, in order.
    pub fn all(directory: &Path) -> io::Result<Vec<BuildCase>> {
        let mut cases = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                cases.extend(BuildCase::all(&path)?);
            } else if path.extension().is_some_and(|extension| extension == "sh") {
                cases.push(BuildCase { script: path });
            }
        }
        cases.sort_by(|a, b| a.script.cmp(&b.script));
        Ok(cases)
    }

    /// Subject and name: `copy/wildcards`.
    pub fn name(&self) -> String {
        let mut parts = self.script.with_extension("");
        let name = parts.file_name().unwrap_or_default().to_string_lossy().into_owned();
        parts.pop();
        format!("{}/{name}", parts.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Where it is written down what comes out.
    pub fn record_path(&self) -> PathBuf {
        self.script.with_extension("record")
    }

    /// Runs the script in `place`, an empty directory, and puts down what came out. `command` makes a command that can
    /// run `builder`. An error is one of the case, not of the build.
    pub fn run(&self, command: Command, builder: &Path, place: &Path, base: &Path) -> Result<Record, String> {
        let script = fs::read_to_string(&self.script).map_err(|error| self.fault(&error))?;
        let mut build = command;
        build
            .args(["-e", "-c", &format!("{PRELUDE}{script}")])
            .env("BUILDER", builder)
            .current_dir(place)
            .stdin(Stdio::null());
        let built = build.output().map_err(|error| self.fault(&error))?;
        let said = String::from_utf8_lossy(&built.stderr);
        if !built.status.success() {
            return Record::of_failure(&said).ok_or_else(|| self.fault(&said));
        }
        let archive = place.join(".archive");
        let mut save = Command::new(build.get_program());
        let of_build = build.get_envs().filter_map(|(name, value)| Some((name, value?)));
        save.args(["-c", "\"$BUILDER\" save result >.archive"]).envs(of_build).current_dir(place);
        let saved = save.output().map_err(|error| self.fault(&error))?;
        if !saved.status.success() {
            return Err(self.fault(&String::from_utf8_lossy(&saved.stderr)));
        }
        Record::of_archive(&archive, base).map_err(|error| self.fault(&error))
    }

    fn fault(&self, why: &dyn std::fmt::Display) -> String {
        format!("{}: {why}", self.name())
    }
}

/// What scripts can call.
const PRELUDE: &str = "build() { \"$BUILDER\" build --tag result \"$@\"; }\numask 022\n";
