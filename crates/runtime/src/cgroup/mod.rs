//! The cgroups of a container: made, limited, joined, watched, removed.
//!
//! Knows the three layouts a machine may have: v1 (a tree for each controller), v2 (one tree for all), and the
//! hybrid of both (v1 has the controllers, a v2 tree without any stands beside it). Knows nothing of containers
//! but the path below which each has its own group.

mod devices_bpf;
mod error;
mod files;
mod layout;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use oci_spec::runtime::LinuxResources;
use rustix::process::{Pid, Signal, kill_process};

pub use error::CgroupError;
use files::io_error;
pub use layout::{Layout, Version, View, ViewMount};

/// One container's group, in every tree of the layout.
#[derive(Debug)]
pub struct Cgroup {
    v1: Vec<v1::Group>,
    v2: Option<v2::Group>,
}

/// Refuses limits that somebody asked for where there is no tree to set them in. Every container has one of processes, which then
/// are as many as the user may have.
fn without_groups(limits: &LinuxResources) -> Result<(), CgroupError> {
    let asked = [
        ("memory", limits.memory().is_some()),
        ("cpu", limits.cpu().is_some()),
        ("blkio", limits.block_io().is_some()),
    ];
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        Some((controller, _)) => Err(CgroupError::NoController { controller: (*controller).to_owned() }),
        None => Ok(()),
    }
}

/// What a container uses at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Time on processors, of all processes together since the group was made.
    pub cpu: Duration,
    /// Bytes of memory without the file cache that can be dropped at once, as docker counts it.
    pub memory: u64,
    /// `None` where memory is not limited.
    pub memory_limit: Option<u64>,
    pub processes: u64,
    /// Bytes read from disks and written to them.
    pub read: u64,
    pub written: u64,
}

impl Cgroup {
    /// Makes the group `name` below `parent`, a path from the root of each tree, and limits it.
    ///
    /// An empty group left behind there is replaced. On failure nothing stays behind but the parents.
    pub fn create(
        layout: &Layout,
        parent: &str,
        name: &str,
        limits: &LinuxResources,
    ) -> Result<Cgroup, CgroupError> {
        let cgroup = Cgroup::open(layout, parent, name);
        match cgroup.make(limits) {
            Ok(()) => Ok(cgroup),
            Err(in_use @ CgroupError::InUse { .. }) => Err(in_use),
            Err(error) => {
                // What was refused matters more than that an empty directory stays.
                let _ = cgroup.remove_until(Instant::now());
                Err(error)
            }
        }
    }

    /// As [`Cgroup::create`], but a group that has processes is shared with them: `true`.
    pub fn create_or_share(
        layout: &Layout,
        parent: &str,
        name: &str,
        limits: &LinuxResources,
    ) -> Result<(Cgroup, bool), CgroupError> {
        let cgroup = Cgroup::open(layout, parent, name);
        // In either tree: what enters stands still.
        let freezer = v1::with(&cgroup.v1, "freezer").and_then(v1::Group::is_frozen).unwrap_or(false);
        if freezer || cgroup.is_frozen()? {
            return Err(CgroupError::Frozen);
        }
        match Cgroup::create(layout, parent, name, limits) {
            Err(CgroupError::InUse { .. }) => {}
            other => return Ok((other?, false)),
        }
        let unless_in_use = |made| match made {
            Err(CgroupError::InUse { .. }) => Ok(()),
            other => other,
        };
        cgroup.v1.iter().try_for_each(|group| unless_in_use(group.make()))?;
        cgroup.v2.iter().try_for_each(|group| unless_in_use(group.make(limits)))?;
        cgroup.limit_all(limits)?;
        Ok((cgroup, true))
    }

    /// The group `name` below `parent` that has been made before. Touches nothing.
    pub fn open(layout: &Layout, parent: &str, name: &str) -> Cgroup {
        let path = inside(parent).join(inside(name));
        let v1 = layout.hierarchies.iter().map(|hierarchy| v1::Group::new(hierarchy, &path)).collect();
        let has_controllers = layout.hierarchies.is_empty();
        let v2 = layout
            .unified
            .as_ref()
            .map(|mount| v2::Group::new(mount, &path, has_controllers, layout.is_delegated));
        Cgroup { v1, v2 }
    }

    fn make(&self, limits: &LinuxResources) -> Result<(), CgroupError> {
        if self.directories().next().is_none() {
            return without_groups(limits);
        }
        for group in &self.v1 {
            group.make()?;
        }
        if let Some(group) = &self.v2 {
            group.make(limits)?;
        }
        self.limit_all(limits)
    }

    fn limit_all(&self, limits: &LinuxResources) -> Result<(), CgroupError> {
        self.limit(limits)?;
        let rules = limits.devices().as_deref().unwrap_or_default();
        if rules.is_empty() {
            return Ok(());
        }
        match &self.v2 {
            // To say which devices are used takes root. Those there are were lent by the host, which says who may.
            Some(group) if group.is_delegated => Ok(()),
            Some(group) if group.has_controllers => group.limit_devices(rules),
            _ => v1::limit_devices(&self.v1, rules),
        }
    }

    /// Sets the limits that `limits` mentions, but for devices; others stay as they are.
    pub fn limit(&self, limits: &LinuxResources) -> Result<(), CgroupError> {
        match &self.v2 {
            Some(group) if group.has_controllers => group.limit(limits),
            _ => v1::limit(&self.v1, limits),
        }
    }

    /// Opens what a process needs to join the group from wherever it is by then.
    pub fn entry(&self) -> Result<Entry, CgroupError> {
        let lists = self.v1.iter().map(v1::Group::open_list).collect::<Result<_, _>>()?;
        // An ordinary user who was delegated something else cannot join it.
        let is_out_of_reach = |group: &&v2::Group| group.is_delegated && !group.directory.exists();
        let v2 = self.v2.as_ref().filter(|group| !is_out_of_reach(group));
        let directory = v2.map(v2::Group::open_directory).transpose()?;
        Ok(Entry { lists, directory })
    }

    /// The processes in the group and in those below it, as the caller numbers them.
    pub fn pids(&self) -> Result<Vec<Pid>, CgroupError> {
        let mut pids = Vec::new();
        if let Some(directory) = self.directories().next() {
            files::pids_below(directory, &mut pids)?;
        }
        Ok(pids)
    }

    /// Kills all processes in the group, also those that are being started, and returns when none is left. A
    /// group that is gone has none.
    pub fn kill(&self) -> Result<(), CgroupError> {
        if let Some(group) = &self.v2
            && group.kill()?
        {
            return self.wait_until("empty", || Ok(self.pids()?.is_empty()));
        }
        self.wait_until("empty", || {
            // Frozen, they start no others between the reading and the killing; they die when thawed. A group
            // that cannot be frozen is read again until there is nothing new.
            let frozen = self.set_frozen(true);
            let pids = self.pids()?;
            for pid in &pids {
                // One that is gone meanwhile is what is wanted.
                let _ = kill_process(*pid, Signal::KILL);
            }
            if frozen.is_ok() {
                self.set_frozen(false)?;
            }
            Ok(pids.is_empty())
        })
    }

    /// Stops all processes of the group where they are and returns when they stand still.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true)?;
        let outcome = self.wait_until("frozen", || Ok(self.is_frozen()? || self.is_gone()));
        if outcome.is_err() {
            // Half frozen is worse than running; the error to report is the first.
            let _ = self.set_frozen(false);
        }
        outcome
    }

    /// Whether there is no such group.
    fn is_gone(&self) -> bool {
        self.directories().next().is_none_or(|directory| !directory.exists())
    }

    /// Lets frozen processes go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        match self.set_frozen(false) {
            Err(CgroupError::NoController { .. }) => Ok(()),
            other => other,
        }
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        match &self.v2 {
            Some(group) => group.set_frozen(frozen),
            None => v1::with(&self.v1, "freezer")?.set_frozen(frozen),
        }
    }

    /// Whether the processes of the group stand still. Those of a group that is gone do not.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        let frozen = match &self.v2 {
            Some(group) => group.is_frozen(),
            None => v1::with(&self.v1, "freezer").and_then(v1::Group::is_frozen),
        };
        match frozen {
            Err(CgroupError::Io { reason, .. }) if files::is_gone(&reason) => Ok(false),
            // Without a freezer nothing was ever frozen.
            Err(CgroupError::NoController { .. }) => Ok(false),
            other => other,
        }
    }

    pub fn stats(&self) -> Result<Stats, CgroupError> {
        match &self.v2 {
            Some(group) if group.has_controllers => group.stats(),
            _ => v1::stats(&self.v1),
        }
    }

    /// Whether the kernel has killed a process of the group for want of memory. A group that is gone or has no
    /// memory controller says no.
    pub fn oom_killed(&self) -> bool {
        let count = match &self.v2 {
            Some(group) if group.has_controllers => group.oom_kills(),
            _ => v1::oom_kills(&self.v1),
        };
        count.is_ok_and(|count| count > 0)
    }

    /// Removes the group and those that the container made below it. Waits a little for processes that are
    /// still ending.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.remove_until(Instant::now() + PATIENCE)
    }

    fn remove_until(&self, deadline: Instant) -> Result<(), CgroupError> {
        let outcomes: Vec<_> =
            self.directories().map(|directory| files::remove_below(directory, deadline)).collect();
        outcomes.into_iter().collect()
    }

    /// The group's directory in each tree; first the one that has its processes most surely.
    fn directories(&self) -> impl Iterator<Item = &Path> {
        let v2 = self.v2.iter().map(|group| group.directory.as_path());
        v2.chain(self.v1.iter().map(|group| group.directory.as_path()))
    }

    /// The group's directories in the trees that a container sees, in the order of [`Layout::mounts`].
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Path> {
        let v2 = self.v2.iter().filter(|_| self.v1.is_empty()).map(|group| group.directory.as_path());
        self.v1.iter().map(|group| group.directory.as_path()).chain(v2)
    }

    fn wait_until(
        &self,
        state: &'static str,
        mut reached: impl FnMut() -> Result<bool, CgroupError>,
    ) -> Result<(), CgroupError> {
        let deadline = Instant::now() + PATIENCE;
        while !reached()? {
            if Instant::now() >= deadline {
                let path = self.directories().next().map(Path::to_owned).unwrap_or_default();
                return Err(CgroupError::Stuck { path, state });
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// The way into a group: descriptors that work from any root directory and in any namespace.
///
/// A process is born into the v2 group, by handing [`Entry::directory`] to [`sys::process::fork`], and walks into
/// those of v1 by itself, with [`Entry::join`].
#[derive(Debug)]
pub struct Entry {
    lists: Vec<(PathBuf, File)>,
    directory: Option<OwnedFd>,
}

impl Entry {
    /// The v2 group for CLONE_INTO_CGROUP, where there is one.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.directory.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling thread, the only one of its process, into the groups of v1.
    pub fn join(&self) -> Result<(), CgroupError> {
        for (path, list) in &self.lists {
            let mut list: &File = list;
            list.write_all(b"0").map_err(io_error("join", path))?;
        }
        Ok(())
    }
}

/// `path` as one below another: relative, and with nothing in it that leads up.
fn inside(path: &str) -> PathBuf {
    Path::new(path).components().filter(|component| matches!(component, Component::Normal(_))).collect()
}

/// How long the kernel may take for what is usually immediate.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

impl From<CgroupError> for io::Error {
    fn from(error: CgroupError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}
