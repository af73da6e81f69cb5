//! What is written down of a container.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize};
use sys::process::{Child, boot, start_of};

/// One container, as its directory tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: Timestamp,
    /// Who made it, by name where there is one.
    pub owner: String,
    pub annotations: BTreeMap<String, String>,
    /// Its cgroup, a path from the root of each tree.
    pub cgroup: String,
    /// The unit of systemd's that the cgroup is of, if systemd has made it.
    #[serde(default)]
    pub scope: Option<String>,
    /// Its first process; none while it is being made.
    pub init: Option<Init>,
}

/// A process: its number, and what tells it from a later one of that number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    pub pid: i32,
    /// When the kernel made it, in clock ticks since boot.
    pub ticks: u64,
    pub boot: String,
}

impl Init {
    /// That of a child, which is not collected yet.
    pub fn of(child: &Child) -> io::Result<Init> {
        let pid = child.pid.as_raw_nonzero().get();
        Ok(Init { pid, ticks: start_of(pid)?, boot: boot()? })
    }

    /// The process, if it has not ended.
    pub fn process(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Checked after it is held, so that it is the one that was checked.
        let is_it = boot()? == self.boot && start_of(self.pid).is_ok_and(|ticks| ticks == self.ticks);
        // One that has ended and is not collected by its parent is there still, to the kernel.
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&Timespec::default()))? > 0;
        Ok((is_it && !ended).then_some(process))
    }
}

impl Record {
    pub fn read(directory: &Path) -> io::Result<Record> {
        Ok(serde_json::from_slice(&fs::read(directory.join(STATE))?)?)
    }

    /// Replaces what `directory` tells.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.join(".state.json");
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(temporary, directory.join(STATE))
    }
}

const STATE: &str = "state.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_recognised_and_a_later_one_of_its_number_is_not() {
        let pid = std::process::id() as i32;
        let init = Init { pid, ticks: start_of(pid).expect("it exists"), boot: boot().expect("readable") };
        let exists = |init: &Init| init.process().expect("readable").is_some();
        assert!(exists(&init));
        assert!(!exists(&Init { ticks: init.ticks + 1, ..init.clone() }));
        assert!(!exists(&Init { boot: "another".into(), ..init }));
    }
}
