//! Whether a container stands still.
//!
//! The kernel knows, but a listing of containers, of which hardly any ever is paused, is not to ask it for each: `paused`
//! is in the container's directory from before its processes are frozen until after they go on. Where the file is, the
//! cgroup is asked. One that stays, because somebody was killed or the container ended paused, is believed no more than
//! that.

use std::{fs, io, path::Path};

use runtime::cgroup::Cgroup;

use crate::{hold, journal, status::cgroup};

/// Says that the processes of the container in the directory `bundle` are about to be frozen.
pub fn announce_freeze(bundle: &Path) -> io::Result<()> {
    fs::write(bundle.join(FILE), [])
}

/// Lets them go on, if they stand still.
pub fn thaw(bundle: &Path, cgroup: &Cgroup) -> io::Result<()> {
    cgroup.thaw()?;
    match fs::remove_file(bundle.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether its processes stand still, and not just for somebody who was killed: then they go on.
pub(crate) fn is_paused(bundle: &Path) -> io::Result<bool> {
    if !bundle.join(FILE).try_exists()? {
        return Ok(false);
    }
    let Some(cgroup) = cgroup(bundle)? else { return Ok(false) };
    if !cgroup.is_frozen()? {
        return Ok(false);
    }
    let is_held_by_nobody = hold::take_back(bundle)?;
    if is_held_by_nobody {
        thaw(bundle, &cgroup)?;
        journal::note(bundle, "unpause", &[]);
    }
    Ok(!is_held_by_nobody)
}

const FILE: &str = "paused";
