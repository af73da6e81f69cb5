//! What this process is, if it is not a command: the same program plays several parts.

use std::{env, io, path::Path, process::ExitCode};

use engine::{
    Engine,
    container::{Force, REMOVAL_ROLE, Volumes},
};
use monitor::log::{CARRIER_ROLE, COMPRESSION_ROLE};

use crate::commands::runtime;

/// A part this program plays for itself. Told by the name it was started by, which no user would type.
pub enum Role {
    /// Watches one container; see the `monitor` crate.
    Monitor,
    /// Takes what a container says to where it is wanted.
    Carrier,
    /// Compresses what a container said.
    Compression,
    /// Removes a container that has ended with nobody waiting for it.
    Removal,
    /// Runs containers for another engine, which calls its runtime by a file's name. The one name for users.
    Runtime,
}

impl Role {
    /// The role the process was started in, if any.
    pub fn of_this_process() -> Option<Role> {
        match env::args_os().next()?.to_str()? {
            monitor::ROLE => Some(Role::Monitor),
            CARRIER_ROLE => Some(Role::Carrier),
            COMPRESSION_ROLE => Some(Role::Compression),
            REMOVAL_ROLE => Some(Role::Removal),
            path if Path::new(path).file_name() == Some(runtime::NAME.as_ref()) => Some(Role::Runtime),
            _ => None,
        }
    }

    pub fn play(self) -> ExitCode {
        match self {
            Role::Monitor => monitor::play(),
            Role::Carrier => with_path(monitor::log::carry),
            Role::Compression => with_path(monitor::log::detach_and_compress),
            Role::Removal => remove(),
            Role::Runtime => runtime::play(env::args_os().skip(1).collect()),
        }
    }
}

/// Nobody reads what this prints: what is not carried is lost, what is not compressed stays as it is.
fn with_path(play: impl FnOnce(&Path) -> io::Result<()>) -> ExitCode {
    let Some(path) = env::args_os().nth(1) else { return ExitCode::FAILURE };
    match play(Path::new(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Nobody reads what this prints: what it cannot remove, the next command sweeps up.
fn remove() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [root, run, id] = arguments.as_slice() else { return ExitCode::FAILURE };
    let removed = Engine::open(Path::new(root), Path::new(run)).and_then(|engine| {
        let container = engine.container(id)?;
        engine.remove(&container, Force::No, Volumes::RemoveAnonymous)
    });
    if removed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
