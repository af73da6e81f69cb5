//! cgroup v2: one tree for all controllers.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
};
use rustix::fs::{Mode, OFlags};

use super::{
    CgroupError, Stats, devices_bpf,
    files::{self, Setting, io_error, number_of, read, read_number},
};

/// A container's group.
#[derive(Debug)]
pub struct Group {
    mount: PathBuf,
    pub directory: PathBuf,
    /// Whether the controllers are in this tree, not in those of v1.
    pub has_controllers: bool,
    /// Whether `mount` is a part of the tree that is an ordinary user's.
    pub is_delegated: bool,
}

impl Group {
    pub fn new(mount: &Path, path: &Path, has_controllers: bool, is_delegated: bool) -> Group {
        Group { mount: mount.to_owned(), directory: mount.join(path), has_controllers, is_delegated }
    }

    /// Makes the group with the controllers that are usual and those that `limits` needs.
    pub fn make(&self, limits: &LinuxResources) -> Result<(), CgroupError> {
        files::make_group(&self.directory, || self.make_parents())?;
        if !self.has_controllers {
            return Ok(());
        }
        let settings = settings(limits)?;
        let wanted: Vec<&str> = USUAL.into_iter().chain(settings.iter().map(Setting::controller)).collect();
        let here = read(&self.directory.join(CONTROLLERS))?;
        if wanted.iter().all(|controller| lists(&here, controller)) {
            return Ok(());
        }
        self.enable(&wanted)
    }

    fn make_parents(&self) -> Result<(), CgroupError> {
        match self.directory.parent() {
            Some(parent) => std::fs::create_dir_all(parent).map_err(io_error("make", parent)),
            None => Ok(()),
        }
    }

    /// Hands controllers down from the root to this group. One that the root does not have, or that an ancestor
    /// refuses, is missed by the limit that needs it.
    fn enable(&self, wanted: &[&str]) -> Result<(), CgroupError> {
        let above: Vec<_> = self.directory.ancestors().skip(1).collect();
        for ancestor in above.into_iter().rev().filter(|ancestor| ancestor.starts_with(&self.mount)) {
            let available = read(&ancestor.join(CONTROLLERS))?;
            let control = ancestor.join("cgroup.subtree_control");
            let enabled = read(&control)?;
            let missing = |wanted: &&&str| lists(&available, wanted) && !lists(&enabled, wanted);
            let missing: Vec<_> = wanted.iter().filter(missing).collect();
            if self.is_delegated && !missing.is_empty() {
                move_processes_down(ancestor)?;
            }
            for controller in missing {
                // Several processes may do this at once; to enable what is enabled changes nothing.
                let _ = files::write(&control, &format!("+{controller}"));
            }
        }
        Ok(())
    }

    /// Sets limits. Those whose controller was not delegated, nobody has asked for.
    pub fn limit(&self, limits: &LinuxResources) -> Result<(), CgroupError> {
        let mut settings = settings(limits)?;
        if self.is_delegated {
            let here = read(&self.directory.join(CONTROLLERS))?;
            settings.retain(|setting| lists(&here, setting.controller()));
        }
        settings.iter().try_for_each(|setting| setting.write(&self.directory))
    }

    pub fn limit_devices(&self, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
        let directory = self.open_directory()?;
        devices_bpf::limit(&directory, rules)
            .map_err(|reason| CgroupError::Devices { path: self.directory.clone(), reason })
    }

    pub fn open_directory(&self) -> Result<OwnedFd, CgroupError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.directory, flags, Mode::empty())
            .map_err(|error| io_error("open", &self.directory)(error.into()))
    }

    /// Kills all processes of the group at once. `false` says that the kernel cannot do that (before 5.14).
    pub fn kill(&self) -> Result<bool, CgroupError> {
        let file = self.directory.join("cgroup.kill");
        match files::write(&file, "1") {
            Ok(()) => Ok(true),
            Err(error) if files::is_gone(&error) => Ok(!self.directory.exists()),
            Err(error) => Err(io_error("kill the processes of", &self.directory)(error)),
        }
    }

    pub fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        let setting = Setting::new("cgroup.freeze", u8::from(frozen));
        files::unless_gone(&self.directory, setting.write(&self.directory))
    }

    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        Ok(number_of(&read(&self.directory.join("cgroup.events"))?, "frozen") == 1)
    }

    pub fn stats(&self) -> Result<Stats, CgroupError> {
        let file = |name: &str| self.directory.join(name);
        // Missing where they were not delegated.
        let number = |name: &str| match read_number(&file(name)) {
            Err(CgroupError::Io { reason, .. }) if self.is_delegated && files::is_gone(&reason) => Ok(0),
            number => number,
        };
        let cache = number_of(&read(&file("memory.stat")).unwrap_or_default(), "inactive_file");
        // Missing where nobody has handed the controller down.
        let io = read(&file("io.stat")).unwrap_or_default();
        Ok(Stats {
            cpu: Duration::from_micros(number_of(&read(&file("cpu.stat"))?, "usage_usec")),
            memory: number("memory.current")?.saturating_sub(cache),
            memory_limit: Some(number("memory.max")?).filter(|limit| ![0, u64::MAX].contains(limit)),
            processes: number("pids.current")?,
            read: total(&io, "rbytes"),
            written: total(&io, "wbytes"),
        })
    }

    /// How many processes the kernel has killed for want of memory.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        Ok(number_of(&read(&self.directory.join("memory.events"))?, "oom_kill"))
    }
}

/// The sum of the values that the lines of `io.stat` give for `key`: `8:0 rbytes=4096 wbytes=0 …`.
fn total(text: &str, key: &str) -> u64 {
    let pairs = text.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    pairs.filter(|(name, _)| *name == key).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

/// The limits as what is to be written to which file, in this order.
fn settings(limits: &LinuxResources) -> Result<Vec<Setting>, CgroupError> {
    let mut settings = Vec::new();
    if let Some(memory) = limits.memory() {
        memory_settings(memory, &mut settings)?;
    }
    if let Some(cpu) = limits.cpu() {
        cpu_settings(cpu, &mut settings)?;
    }
    if let Some(limit) = limits.pids().as_ref().and_then(pids_max) {
        settings.push(Setting::new("pids.max", limit));
    }
    if let Some(block_io) = limits.block_io() {
        block_io_settings(block_io, &mut settings)?;
    }
    for page in limits.hugepage_limits().iter().flatten() {
        settings.push(Setting::new(format!("hugetlb.{}.max", page.page_size()), or_max(page.limit())));
    }
    for (file, value) in limits.unified().iter().flatten() {
        if file.contains('/') {
            return Err(CgroupError::Unsupported { limit: "a file outside the group", version: 2 });
        }
        settings.push(Setting::new(file.as_str(), value));
    }
    Ok(settings)
}

fn memory_settings(memory: &LinuxMemory, settings: &mut Vec<Setting>) -> Result<(), CgroupError> {
    let unsupported = |limit| Err(CgroupError::Unsupported { limit, version: 2 });
    if memory.swappiness().is_some() {
        return unsupported("the memory swappiness");
    }
    // Other engines say 0 for what they do not limit.
    let said = |value: Option<i64>| value.filter(|value| *value != 0);
    let (limit, swap) = (said(memory.limit()), said(memory.swap()));
    if said(memory.kernel_tcp()).is_some() {
        return unsupported("the kernel's memory for TCP");
    }
    if memory.disable_oom_killer() == Some(true) {
        return unsupported("disabling the OOM killer");
    }
    settings.extend(limit.map(|limit| Setting::new("memory.max", or_max(limit))));
    // Here swap is counted by itself; in the specification, as in v1, together with memory.
    let swap = match (swap, limit) {
        (Some(total), Some(limit)) if total > 0 && limit > 0 => Some(or_max((total - limit).max(0))),
        (Some(total), _) if total > 0 => {
            return unsupported("a limit of memory and swap without one of memory");
        }
        (swap, _) => swap.map(or_max),
    };
    settings.extend(swap.map(|swap| Setting::new("memory.swap.max", swap)));
    let reservation = said(memory.reservation());
    settings.extend(reservation.map(|reservation| Setting::new("memory.low", or_max(reservation))));
    Ok(())
}

fn cpu_settings(cpu: &LinuxCpu, settings: &mut Vec<Setting>) -> Result<(), CgroupError> {
    if cpu.realtime_runtime().is_some_and(|us| us != 0) || cpu.realtime_period().is_some_and(|us| us != 0) {
        return Err(CgroupError::Unsupported { limit: "the time of realtime processes", version: 2 });
    }
    let mut set =
        |file: &str, value: Option<String>| settings.extend(value.map(|value| Setting::new(file, value)));
    let shares = cpu.shares().filter(|shares| *shares != 0);
    set("cpu.weight", shares.map(|shares| weight(shares).to_string()));
    let quota = cpu.quota().filter(|quota| *quota != 0).map(or_max);
    let period = cpu.period().filter(|period| *period != 0);
    set(
        "cpu.max",
        match (quota, period) {
            (Some(quota), Some(period)) => Some(format!("{quota} {period}")),
            (None, Some(period)) => Some(format!("max {period}")),
            (quota, None) => quota,
        },
    );
    set("cpu.max.burst", cpu.burst().map(|burst| burst.to_string()));
    set("cpu.idle", cpu.idle().map(|idle| idle.to_string()));
    set("cpuset.cpus", cpu.cpus().clone().filter(|cpus| !cpus.is_empty()));
    set("cpuset.mems", cpu.mems().clone().filter(|mems| !mems.is_empty()));
    Ok(())
}

fn block_io_settings(block_io: &LinuxBlockIo, settings: &mut Vec<Setting>) -> Result<(), CgroupError> {
    refuse_weights(block_io, 2)?;
    let mut set = |key: &str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        settings.extend(devices.iter().flatten().map(|device| {
            let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            Setting::new("io.max", format_args!("{}:{} {key}={rate}", device.major(), device.minor()))
        }));
    };
    set("rbps", block_io.throttle_read_bps_device());
    set("wbps", block_io.throttle_write_bps_device());
    set("riops", block_io.throttle_read_iops_device());
    set("wiops", block_io.throttle_write_iops_device());
    Ok(())
}

/// Moves the processes of a group, if it has any, into one below it: a group that has some hands controllers down to threads
/// at best. See cgroups(7).
fn move_processes_down(group: &Path) -> Result<(), CgroupError> {
    let processes = read(&group.join("cgroup.procs"))?;
    if processes.is_empty() {
        return Ok(());
    }
    let below = group.join("init");
    match std::fs::create_dir(&below) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(io_error("make", &below)(error));
        }
        _ => {}
    }
    for process in processes.lines() {
        match files::write(&below.join("cgroup.procs"), process) {
            // It has ended.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            moved => moved.map_err(io_error("move processes to", &below))?,
        }
    }
    Ok(())
}

/// Weights of disk access take an I/O scheduler that hardly a machine has; better none than one without effect.
pub fn refuse_weights(block_io: &LinuxBlockIo, version: u8) -> Result<(), CgroupError> {
    let weights = block_io.weight().is_some_and(|weight| weight != 0)
        || block_io.weight_device().as_ref().is_some_and(|devices| !devices.is_empty());
    if weights {
        Err(CgroupError::Unsupported { limit: "the weight of disk access", version })
    } else {
        Ok(())
    }
}

/// The limit of processes as its file takes it, in both versions. 0 sets none.
pub fn pids_max(pids: &LinuxPids) -> Option<String> {
    Some(pids.limit()).filter(|limit| *limit != 0).map(or_max)
}

/// The specification says "unlimited" with a negative number, v2 with a word.
fn or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// Converts shares of v1 (2 to 262144, usually 1024) to a weight of v2 (1 to 10000, usually 100) along the curve
/// that goes through all three pairs, as the OCI runtimes have agreed on.
fn weight(shares: u64) -> u64 {
    let power = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (power * power + 125.0 * power - 126.0) / 612.0;
    (10_f64.powf(exponent).ceil() as u64).min(10_000)
}

/// Whether a word is in a list such as cgroup.controllers.
fn lists(words: &str, wanted: &str) -> bool {
    words.split_ascii_whitespace().any(|word| word == wanted)
}

const CONTROLLERS: &str = "cgroup.controllers";
const USUAL: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

#[cfg(test)]
mod tests {
    use super::super::tests::resources;
    use super::*;

    fn lines(limits: &str) -> Vec<String> {
        let settings = settings(&resources(limits)).unwrap();
        settings.into_iter().map(|setting| format!("{} {}", setting.file, setting.value)).collect()
    }

    #[test]
    fn limits_become_lines_in_files_and_swap_is_counted_by_itself() {
        let lines = lines(
            r#"{
                "memory": {"limit": 64000000, "swap": 100000000, "reservation": 1000},
                "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1"},
                "pids": {"limit": -1},
                "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}]},
                "unified": {"memory.high": "32000000"}
            }"#,
        );
        assert_eq!(
            lines,
            [
                "memory.max 64000000",
                "memory.swap.max 36000000",
                "memory.low 1000",
                "cpu.weight 100",
                "cpu.max 50000 100000",
                "cpuset.cpus 0-1",
                "pids.max max",
                "io.max 8:0 rbps=1048576",
                "memory.high 32000000",
            ]
        );
    }

    #[test]
    fn a_period_or_a_quota_alone_keeps_the_other_as_it_is() {
        assert_eq!(lines(r#"{"cpu": {"quota": 20000}}"#), ["cpu.max 20000"]);
        assert_eq!(lines(r#"{"cpu": {"period": 20000}}"#), ["cpu.max max 20000"]);
        assert_eq!(lines(r#"{"cpu": {"quota": -1, "period": 20000}}"#), ["cpu.max max 20000"]);
    }

    #[test]
    fn equal_limits_of_memory_and_of_both_leave_no_swap() {
        assert_eq!(lines(r#"{"memory": {"limit": 5, "swap": 5}}"#), ["memory.max 5", "memory.swap.max 0"]);
        assert_eq!(lines(r#"{"memory": {"limit": 5, "swap": -1}}"#), ["memory.max 5", "memory.swap.max max"]);
    }

    #[test]
    fn what_v2_cannot_limit_is_an_error() {
        for limits in [
            r#"{"memory": {"swappiness": 10}}"#,
            r#"{"memory": {"disableOOMKiller": true}}"#,
            r#"{"memory": {"swap": 1000}}"#,
            r#"{"cpu": {"realtimeRuntime": 1000}}"#,
            r#"{"blockIO": {"weight": 10}}"#,
            r#"{"unified": {"../x": "1"}}"#,
        ] {
            let error = settings(&resources(limits)).unwrap_err();
            assert!(matches!(error, CgroupError::Unsupported { version: 2, .. }), "{limits}: {error}");
        }
    }

    #[test]
    fn what_all_disks_read_is_added_up() {
        let text = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353\n8:0 rbytes=90 wbytes=6\n";
        assert_eq!((total(text, "rbytes"), total(text, "wbytes")), (1_459_290, 314_773_510));
        assert_eq!(total("", "rbytes"), 0);
    }

    #[test]
    fn shares_become_weights_along_the_agreed_curve() {
        for (shares, expected) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (512, 59), (2048, 174)] {
            assert_eq!(weight(shares), expected, "{shares} shares");
        }
    }
}
