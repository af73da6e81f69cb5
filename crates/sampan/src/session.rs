//! A command's view of the engine.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use distribution::{Client, Settings};
use engine::{DEFAULT_ROOT, DEFAULT_RUN, Engine};

use crate::{cli::Globals, contexts};

/// Opens the engine that the options and the environment mean.
pub fn open(globals: &Globals) -> anyhow::Result<Engine> {
    contexts::check_local(globals)?;
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
    configuration(globals)?.get(key)?.as_str().map(str::to_owned)
}

/// The user's docker configuration.
pub fn configuration(globals: &Globals) -> Option<serde_json::Value> {
    // A file that cannot be read is for those to complain of who need credentials from it.
    let content = std::fs::read(configuration_directory(globals)?.join("config.json")).ok()?;
    serde_json::from_slice(&content).ok()
}

/// Where docker's programs keep what they know of the user.
pub fn configuration_directory(globals: &Globals) -> Option<PathBuf> {
    let chosen = globals.config.clone().map(PathBuf::from);
    let chosen = chosen.or_else(|| env::var_os("DOCKER_CONFIG").map(PathBuf::from));
    chosen.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".docker")))
}
