//! A command's view of the engine.

use std::{
    env,
    path::{Path, PathBuf},
};

use distribution::{Client, Settings};
use engine::{DEFAULT_ROOT, DEFAULT_RUN, Engine};

use crate::{cli::Globals, contexts, rootless};

/// Opens the engine that the options and the environment mean.
pub fn open(globals: &Globals) -> anyhow::Result<Engine> {
    contexts::check_local(globals)?;
    let (root, run) = directories(globals)?;
    rootless::ensure(&run)?;
    Ok(Engine::open(&root, &run)?)
}

/// Becomes what an engine's command is: root, if only in a user namespace. Comes by itself with [`open`].
pub fn enter(globals: &Globals) -> anyhow::Result<()> {
    rootless::ensure(&directories(globals)?.1)
}

/// Where what lasts is kept, and what dies with the boot.
fn directories(globals: &Globals) -> anyhow::Result<(PathBuf, PathBuf)> {
    let root = root(globals)?;
    let run = match env::var_os("SAMPAN_RUN") {
        Some(run) => std::path::absolute(run)?,
        None if root == default_root()? => default_run()?,
        // An engine with a root of its own shares nothing with the others.
        None => root.join("run"),
    };
    Ok((root, run))
}

/// Where everything is kept: `--root`, `SAMPAN_ROOT`, or the default.
pub fn root(globals: &Globals) -> anyhow::Result<PathBuf> {
    let chosen =
        globals.root.clone().map(PathBuf::from).or_else(|| env::var_os("SAMPAN_ROOT").map(PathBuf::from));
    match chosen {
        None => default_root(),
        Some(root) => Ok(std::path::absolute(root)?),
    }
}

fn default_root() -> anyhow::Result<PathBuf> {
    if rootless::is_ordinary() { rootless::root() } else { Ok(PathBuf::from(DEFAULT_ROOT)) }
}

fn default_run() -> anyhow::Result<PathBuf> {
    if rootless::is_ordinary() { rootless::run() } else { Ok(PathBuf::from(DEFAULT_RUN)) }
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
