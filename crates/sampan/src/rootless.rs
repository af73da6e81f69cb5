//! A command of an ordinary user: it becomes root in a user namespace, where everything else is as for root.

use std::{
    env,
    fs::File,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use engine::EngineError;
use sys::rootless::{Entered, enter, is_rootless};

use crate::report::advise;

/// Whether this command's user is not root of the machine.
pub fn is_ordinary() -> bool {
    !rustix::process::geteuid().is_root() || is_rootless()
}

/// Where such a user's engine keeps what lasts.
pub fn root() -> anyhow::Result<PathBuf> {
    match env::var_os("XDG_DATA_HOME").filter(|home| Path::new(home).is_absolute()) {
        Some(data) => Ok(Path::new(&data).join("sampan")),
        None => {
            let home =
                env::var_os("HOME").context("where things are kept is unknown: set HOME or SAMPAN_ROOT")?;
            Ok(Path::new(&home).join(".local/share/sampan"))
        }
    }
}

/// Where it keeps what dies with the boot.
pub fn run() -> anyhow::Result<PathBuf> {
    let own = |path: &Path| {
        path.metadata().is_ok_and(|directory| directory.uid() == rustix::process::geteuid().as_raw())
    };
    if let Some(run) =
        env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|run| run.is_absolute() && own(run))
    {
        return Ok(run.join("sampan"));
    }
    Ok(root()?.join("run"))
}

/// Becomes root in the user namespace of the engine whose run directory this is, if that is an ordinary user's. Nothing else
/// may run in this process yet.
pub fn ensure(run: &Path) -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    match enter(&run.join(engine::NAMESPACE)) {
        Ok(Entered::Joined | Entered::WithUsers) => Ok(()),
        // Said once, not by every command.
        Ok(Entered::WithRootOnly(_)) if File::create_new(run.join(TOLD)).is_err() => Ok(()),
        Ok(Entered::WithRootOnly(why)) => {
            eprintln!(
                "warning: containers have one user only, for {why}: files have no other owners, and USER and --user only root"
            );
            advise(
                "with `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER` there are more",
            );
            Ok(())
        }
        Err(source) => Err(EngineError::NoUserNamespace(source).into()),
    }
}

/// A file in the run directory: the user knows that there is one user only.
const TOLD: &str = "one-user-only";
