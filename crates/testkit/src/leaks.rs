//! What an engine has left on the host: looked for where the kernel shows it, not where the engine remembers it.

use std::{
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::firewall;

/// Where an engine's traces are.
pub struct Traces<'a> {
    /// Everything the engine has on disk is below it.
    pub directory: &'a Path,
    pub root: &'a Path,
    pub run: &'a Path,
    /// The cgroup that its containers' are in.
    pub cgroup: &'a str,
    /// The inode of the network namespace that its commands run in, and nobody else's.
    pub network: u64,
}

impl Traces<'_> {
    /// What is left after the last container was removed, a line each. To be asked in the engine's network
    /// namespace.
    pub fn find(&self) -> Vec<String> {
        let mut found = Vec::new();
        let files = [
            files_in(&self.root.join("containers"), 1),
            files_in(&self.root.join("leases"), 1)
                .into_iter()
                .filter(|path| !path.ends_with("gate"))
                .collect(),
            files_in(&self.run.join("networks"), 3),
            files_in(&self.run.join("volumes"), 2),
        ];
        found.extend(files.concat().iter().map(|path| format!("file {}", path.display())));
        found.extend(self.mounts().iter().map(|mount| format!("mount {mount}")));
        found.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        found.extend(self.processes().iter().map(|(_, process)| format!("process {process}")));
        found.extend(veths().iter().map(|name| format!("network interface {name}")));
        match firewall::sets() {
            Ok(sets) => found.extend(
                sets.iter()
                    .filter(|set| set.is_map && set.elements > 0)
                    .map(|set| format!("firewall {set:?}")),
            ),
            Err(error) => found.push(format!("firewall that cannot be read: {error}")),
        }
        found
    }

    /// What is left after the last network was removed too: the default one stays.
    pub fn of_networks(&self) -> Vec<String> {
        let mut bridges = interfaces();
        bridges.retain(|name| name != "lo" && !name.starts_with("sampan-"));
        let mut found: Vec<_> = bridges.iter().map(|name| format!("network interface {name}")).collect();
        let sets = firewall::sets().unwrap_or_default();
        found.extend(sets.iter().filter(|set| set.elements > 1).map(|set| format!("firewall {set:?}")));
        found
    }

    /// Ends what is left and can be ended, so that a failed test does not disturb the next.
    pub fn wipe(&self) {
        for (pid, _) in self.processes() {
            let pidfd = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
            if let Some(Ok(pidfd)) = pidfd {
                // It may be ending by itself.
                let _ = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
            }
        }
        let mut cgroups = self.cgroups();
        cgroups.sort_by_key(|path| std::cmp::Reverse(path.as_os_str().len()));
        // A cgroup whose processes are still dying stays; the next look reports it.
        cgroups.iter().for_each(|path| drop(fs::remove_dir(path)));
    }

    /// Removes the cgroup that the engine keeps for the next container.
    pub fn remove_cgroup(&self) {
        self.cgroup_parents().iter().for_each(|path| drop(fs::remove_dir(path)));
    }

    fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let own = format!(" {} ", self.directory.display());
        let directory = self.directory.to_string_lossy();
        let mine = mounts.lines().filter(|line| line.contains(&*directory) && !line.contains(&own));
        mine.map(str::to_owned).collect()
    }

    /// The containers' cgroups, in every tree.
    fn cgroups(&self) -> Vec<PathBuf> {
        let children =
            self.cgroup_parents().into_iter().flat_map(|parent| fs::read_dir(parent).into_iter().flatten());
        children.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// The engine's own cgroup in every tree.
    fn cgroup_parents(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let trees = mounts.lines().filter_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            filesystem.starts_with("cgroup").then(|| mount.split(' ').nth(4).map(PathBuf::from))?
        });
        trees.map(|tree| tree.join(self.cgroup)).filter(|path| path.is_dir()).collect()
    }

    /// Monitors, commands, and everything in a container, but not the process that asks.
    fn processes(&self) -> Vec<(i32, String)> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let others = pids.filter(|pid| *pid != std::process::id().cast_signed());
        let program = fs::read_link("/proc/self/exe").ok();
        others
            // One that is about to become another test's command still has all that this process has open.
            .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).ok() != program)
            .filter(|pid| self.is_ours(&PathBuf::from(format!("/proc/{pid}"))))
            .map(|pid| (pid, describe(pid)))
            .collect()
    }

    fn is_ours(&self, process: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let in_network = || fs::metadata(process.join("ns/net")).is_ok_and(|file| file.ino() == self.network);
        let in_cgroup = || {
            let cgroups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
            cgroups.contains(&format!("/{}/", self.cgroup))
        };
        let has_open = || {
            let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            let mut files = open.filter_map(|entry| fs::read_link(entry.path()).ok());
            files.any(|file| file.starts_with(self.directory))
        };
        in_network() || in_cgroup() || has_open()
    }
}

/// The interfaces of this network namespace.
fn interfaces() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn veths() -> Vec<String> {
    interfaces().into_iter().filter(|name| name.starts_with("veth")).collect()
}

/// The files this many directories down, and what lies deeper.
fn files_in(directory: &Path, depth: u32) -> Vec<PathBuf> {
    let entries: io::Result<Vec<_>> = fs::read_dir(directory).and_then(Iterator::collect);
    let paths = entries.unwrap_or_default().into_iter().map(|entry: fs::DirEntry| entry.path());
    match depth {
        0 | 1 => paths.collect(),
        _ => paths.flat_map(|path| files_in(&path, depth - 1)).filter(|path| !is_empty(path)).collect(),
    }
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn describe(pid: i32) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let state = read("stat").rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?');
    format!("{pid} ({state}) {}", read("cmdline").replace('\0', " "))
}
