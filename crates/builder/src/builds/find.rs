//! Finding builds and steps by the names that users give.

use std::{fs, io, path::Path};

use super::{Build, DIRECTORY, read};
use crate::{
    cache::{Cache, hold},
    scratch::Scratch,
};

/// A step of a build.
#[derive(Debug, Clone)]
pub struct Found {
    pub build: Build,
    /// Its number in the record.
    pub step: usize,
}

/// Why nothing is found.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("no build is recorded")]
    None,
    #[error("no record found for {0:?}")]
    NoBuild(String),
    #[error("several builds have an id that begins with {0:?}")]
    Ambiguous(String),
    #[error("build {build} has no step {step:?}")]
    NoStep { build: String, step: String },
    #[error("build {0} has no steps")]
    NoSteps(String),
    #[error("build {0} is still running")]
    Running(String),
    #[error("cannot read the records of builds")]
    Read(#[from] io::Error),
}

/// All builds whose records are in `cache`, the latest first.
pub fn list(cache: &Path) -> Result<Vec<Build>, LookupError> {
    Ok(list_in(&cache.join(DIRECTORY))?)
}

pub(super) fn list_in(parent: &Path) -> io::Result<Vec<Build>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut builds = Vec::new();
    for entry in entries {
        // One that is being made, or is damaged, is as good as none.
        builds.extend(read(&entry?.path()));
    }
    builds.sort_by(|a: &Build, b: &Build| (b.started, &b.id).cmp(&(a.started, &a.id)));
    Ok(builds)
}

/// The build that `name` means: the beginning of its id, `^1` for the last but one, nothing for the last.
pub fn find(cache: &Path, name: &str) -> Result<Build, LookupError> {
    let builds = list(cache)?;
    if builds.is_empty() {
        return Err(LookupError::None);
    }
    let missing = || LookupError::NoBuild(name.to_owned());
    let back = match name.strip_prefix('^') {
        Some(number) => Some(number.parse::<usize>().map_err(|_| missing())?),
        None => name.is_empty().then_some(0),
    };
    if let Some(back) = back {
        return builds.into_iter().nth(back).ok_or_else(missing);
    }
    let mut meant = builds.into_iter().filter(|build| build.id.starts_with(name));
    let build = meant.next().ok_or_else(missing)?;
    match meant.next() {
        Some(_) if build.id != name => Err(LookupError::Ambiguous(name.to_owned())),
        _ => Ok(build),
    }
}

/// The step that `name` means: `BUILD:STEP`; `STEP` of the last build; or `BUILD`, for the step that failed, or else the
/// last one that passed.
pub fn find_step(cache: &Path, name: &str) -> Result<Found, LookupError> {
    if let Some((build, step)) = name.split_once(':') {
        let build = find(cache, build)?;
        return match number(&build, step) {
            Some(step) => Ok(Found { build, step }),
            None => Err(LookupError::NoStep { build: build.id, step: step.to_owned() }),
        };
    }
    let last = find(cache, "")?;
    if let Some(step) = number(&last, name) {
        return Ok(Found { build: last, step });
    }
    let build = match find(cache, name) {
        Err(LookupError::NoBuild(step)) => return Err(LookupError::NoStep { build: last.id, step }),
        other => other?,
    };
    let last_passed = || build.steps.iter().rposition(super::Step::has_passed);
    match build.failed_step().or_else(last_passed) {
        Some(step) => Ok(Found { build, step }),
        None => Err(LookupError::NoSteps(build.id)),
    }
}

/// The step that goes by `name`, or by what progress shows: `[build 2/5]`, `build 2`.
fn number(build: &Build, name: &str) -> Option<usize> {
    let wanted = match name.starts_with('[') {
        true => super::name(name),
        false => name.split_whitespace().collect::<Vec<_>>().join("/"),
    };
    build.steps.iter().position(|step| !wanted.is_empty() && step.name == wanted)
}

/// Removes the record of a build that is over.
pub fn remove(cache: &Path, id: &str) -> Result<(), LookupError> {
    match remove_in(&Cache::new(cache.to_owned()), &cache.join(DIRECTORY).join(id))? {
        true => Ok(()),
        false => Err(LookupError::Running(id.to_owned())),
    }
}

/// False if the build is still running.
pub(super) fn remove_in(cache: &Cache, directory: &Path) -> io::Result<bool> {
    let _lock = match hold::lock(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Ok(None) => return Ok(false),
        other => other?,
    };
    Scratch::new(&cache.scratch_path())?.take(directory)?;
    Ok(true)
}
