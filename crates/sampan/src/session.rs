//! A command's view of the engine.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use distribution::{Client, Settings};
use engine::{DEFAULT_ROOT, DEFAULT_RUN, Engine};

use crate::cli::Globals;

/// Opens the engine that the options and the environment mean.
pub fn open(globals: &Globals) -> anyhow::Result<Engine> {
    let root = root(globals)?;
    let run = match env::var_os("SAMPAN_RUN") {
        Some(run) => std::path::absolute(run)?,
        None if root == Path::new(DEFAULT_ROOT) => PathBuf::from(DEFAULT_RUN),
        // An engine with a root of its own shares nothing with the others.
        None => root.join("run"),
    };
    Ok(Engine::open(&root, &run)?)
}

/// Where everything is kept: `--root`, `SAMPAN_ROOT`, or the default.
pub fn root(globals: &Globals) -> io::Result<PathBuf> {
    let chosen =
        globals.root.clone().map(PathBuf::from).or_else(|| env::var_os("SAMPAN_ROOT").map(PathBuf::from));
    match chosen {
        None => Ok(PathBuf::from(DEFAULT_ROOT)),
        Some(root) => std::path::absolute(root),
    }
}

/// A client of registries, with the user's credentials and settings.
pub fn client(globals: &Globals) -> anyhow::Result<Client> {
    Ok(Client::new(registries(globals)?))
}

/// How registries are spoken to.
pub fn registries(globals: &Globals) -> anyhow::Result<Settings> {
    Ok(Settings::from_environment(globals.config.as_deref().map(PathBuf::from))?)
}

/// What the user's docker configuration says of `key`, if it is text.
pub fn configured(globals: &Globals, key: &str) -> Option<String> {
    let directory = globals
        .config
        .clone()
        .map(PathBuf::from)
        .or_else(|| env::var_os("DOCKER_CONFIG").map(PathBuf::from))
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".docker")))?;
    // A file that cannot be read is for those to complain of who need credentials from it.
    let content = std::fs::read(directory.join("config.json")).ok()?;
    let configuration: serde_json::Value = serde_json::from_slice(&content).ok()?;
    configuration.get(key)?.as_str().map(str::to_owned)
}
