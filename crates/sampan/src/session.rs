//! A command's view of the engine.

use std::{
    env,
    path::{Path, PathBuf},
};

use engine::{DEFAULT_ROOT, DEFAULT_RUN, Engine};

use crate::cli::Globals;

/// Opens the engine that the options and the environment mean: `--root`, `SAMPAN_ROOT`, or the default.
pub fn open(globals: &Globals) -> anyhow::Result<Engine> {
    let chosen =
        globals.root.clone().map(PathBuf::from).or_else(|| env::var_os("SAMPAN_ROOT").map(PathBuf::from));
    let root = match chosen {
        None => PathBuf::from(DEFAULT_ROOT),
        Some(root) => std::path::absolute(root)?,
    };
    let run = match env::var_os("SAMPAN_RUN") {
        Some(run) => std::path::absolute(run)?,
        None if root == Path::new(DEFAULT_ROOT) => PathBuf::from(DEFAULT_RUN),
        // An engine with a root of its own shares nothing with the others.
        None => root.join("run"),
    };
    Ok(Engine::open(&root, &run)?)
}
