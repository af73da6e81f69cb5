//! cgroup v1: a tree for each controller, or for some of them together.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxResources,
    LinuxThrottleDevice,
};

use super::{
    CgroupError, Stats,
    files::{self, Setting, io_error, number_of, read, read_number},
};

/// One tree and the controllers it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// As the mount options name them; `name=NAME` for a tree without any.
    pub controllers: Vec<String>,
    pub mount: PathBuf,
}

impl Hierarchy {
    /// The directory in /sys/fs/cgroup that it is usually mounted on.
    pub fn name(&self) -> String {
        let name = self.controllers.join(",");
        name.strip_prefix("name=").map(String::from).unwrap_or(name)
    }

    /// The options that mount this tree.
    pub fn options(&self) -> Vec<String> {
        let nameless = self.controllers.iter().all(|controller| controller.contains('='));
        let none = nameless.then(|| "none".to_owned());
        none.into_iter().chain(self.controllers.iter().cloned()).collect()
    }
}

/// A container's group in one tree.
#[derive(Debug)]
pub struct Group {
    controllers: Vec<String>,
    mount: PathBuf,
    pub directory: PathBuf,
}

impl Group {
    pub fn new(hierarchy: &Hierarchy, path: &Path) -> Group {
        let Hierarchy { controllers, mount } = hierarchy.clone();
        let directory = mount.join(path);
        Group { controllers, mount, directory }
    }

    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }

    pub fn make(&self) -> Result<(), CgroupError> {
        files::make_group(&self.directory, || self.make_parents())?;
        // Somebody may have been killed between making the parents and giving them their processors.
        if self.has("cpuset") && read(&self.directory.join(CPUS))?.trim().is_empty() {
            self.make_parents()?;
            inherit_cpuset(&self.directory)?;
        }
        Ok(())
    }

    /// Makes the groups between the tree's root and this one, such that those below inherit their cpuset.
    fn make_parents(&self) -> Result<(), CgroupError> {
        let between = self.directory.ancestors().skip(1).take_while(|ancestor| *ancestor != self.mount);
        let between: Vec<_> = between.collect();
        for directory in between.into_iter().rev() {
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("make", directory)(error));
                }
                _ => {}
            }
            if self.has("cpuset") {
                inherit_cpuset(directory)?;
                Setting::new("cgroup.clone_children", 1).write(directory)?;
            }
        }
        Ok(())
    }

    /// Opens the list of threads, not that of processes: for a lone thread that moves itself, the kernel then
    /// needs no lock against all forks and exits of the machine, which takes an RCU grace period (Linux 5.5).
    pub fn open_list(&self) -> Result<(PathBuf, File), CgroupError> {
        let list = self.directory.join("tasks");
        match OpenOptions::new().write(true).open(&list) {
            Ok(file) => Ok((list, file)),
            Err(error) => Err(io_error("open", &list)(error)),
        }
    }

    pub fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        let setting = Setting::new("freezer.state", if frozen { "FROZEN" } else { "THAWED" });
        files::unless_gone(&self.directory, setting.write(&self.directory))
    }

    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        Ok(read(&self.directory.join("freezer.state"))?.trim() == "FROZEN")
    }
}

/// The group that has `controller`.
pub fn with<'a>(groups: &'a [Group], controller: &str) -> Result<&'a Group, CgroupError> {
    groups
        .iter()
        .find(|group| group.has(controller))
        .ok_or_else(|| CgroupError::NoController { controller: controller.to_owned() })
}

/// Writes the limits to the groups whose controllers they are for.
pub fn limit(groups: &[Group], limits: &LinuxResources) -> Result<(), CgroupError> {
    let settings = settings(limits)?;
    for (position, setting) in settings.iter().enumerate() {
        let group = group_of(groups, setting)?;
        let refused = match setting.write(&group.directory) {
            Ok(()) => continue,
            Err(refused) => refused,
        };
        // Memory can never be allowed more than memory and swap together, nor a part of a period more than the parent
        // has. To raise both, or to lower them, the second has to go first.
        let next = settings.get(position + 1).filter(|next| {
            let pair = (setting.file.as_str(), next.file.as_str());
            [(MEMORY, MEMORY_AND_SWAP), (PERIOD, QUOTA)].contains(&pair)
                && refused.kind() == io::ErrorKind::InvalidInput
        });
        // Without a limit of memory there is none of both either.
        let both =
            (setting.file == MEMORY && setting.value == "-1").then(|| Setting::new(MEMORY_AND_SWAP, -1));
        match next.or(both.as_ref()) {
            Some(first) => first.write(&group.directory).and_then(|()| setting.write(&group.directory))?,
            None => return Err(refused),
        }
    }
    Ok(())
}

fn group_of<'a>(groups: &'a [Group], setting: &Setting) -> Result<&'a Group, CgroupError> {
    with(groups, setting.controller()).map_err(|error| CgroupError::Limit {
        file: setting.file.clone().into(),
        value: setting.value.clone(),
        reason: io::Error::new(io::ErrorKind::Unsupported, error),
    })
}

/// The limits as what is to be written to which file, in this order.
fn settings(limits: &LinuxResources) -> Result<Vec<Setting>, CgroupError> {
    let mut settings = Vec::new();
    if let Some(memory) = limits.memory() {
        memory_settings(memory, &mut settings);
    }
    if let Some(cpu) = limits.cpu() {
        cpu_settings(cpu, &mut settings);
    }
    if let Some(limit) = limits.pids().as_ref().and_then(super::v2::pids_max) {
        settings.push(Setting::new("pids.max", limit));
    }
    if let Some(block_io) = limits.block_io() {
        block_io_settings(block_io, &mut settings)?;
    }
    for page in limits.hugepage_limits().iter().flatten() {
        settings.push(Setting::new(format!("hugetlb.{}.limit_in_bytes", page.page_size()), page.limit()));
    }
    if limits.unified().as_ref().is_some_and(|unified| !unified.is_empty()) {
        return Err(CgroupError::Unsupported { limit: "a file of the unified hierarchy", version: 1 });
    }
    Ok(settings)
}

fn memory_settings(memory: &LinuxMemory, settings: &mut Vec<Setting>) {
    let mut set =
        |file: &str, value: Option<i64>| settings.extend(value.map(|value| Setting::new(file, value)));
    // Other engines say 0 for what they do not limit.
    let said = |value: Option<i64>| value.filter(|value| *value != 0);
    set(MEMORY, said(memory.limit()));
    set(MEMORY_AND_SWAP, said(memory.swap()));
    set("memory.soft_limit_in_bytes", said(memory.reservation()));
    set("memory.kmem.tcp.limit_in_bytes", said(memory.kernel_tcp()));
    set("memory.swappiness", memory.swappiness().map(|swappiness| swappiness as i64));
    set("memory.oom_control", memory.disable_oom_killer().filter(|disable| *disable).map(i64::from));
}

fn cpu_settings(cpu: &LinuxCpu, settings: &mut Vec<Setting>) {
    let mut set =
        |file: &str, value: Option<String>| settings.extend(value.map(|value| Setting::new(file, value)));
    let number = |value: Option<u64>| value.filter(|value| *value != 0).map(|value| value.to_string());
    let signed = |value: Option<i64>| value.filter(|value| *value != 0).map(|value| value.to_string());
    set("cpu.shares", number(cpu.shares()));
    set(PERIOD, number(cpu.period()));
    set(QUOTA, signed(cpu.quota()));
    set("cpu.cfs_burst_us", cpu.burst().map(|burst| burst.to_string()));
    set("cpu.rt_period_us", number(cpu.realtime_period()));
    set("cpu.rt_runtime_us", signed(cpu.realtime_runtime()));
    set("cpu.idle", cpu.idle().map(|idle| idle.to_string()));
    set(CPUS, cpu.cpus().clone().filter(|cpus| !cpus.is_empty()));
    set(MEMS, cpu.mems().clone().filter(|mems| !mems.is_empty()));
}

fn block_io_settings(block_io: &LinuxBlockIo, settings: &mut Vec<Setting>) -> Result<(), CgroupError> {
    super::v2::refuse_weights(block_io, 1)?;
    let mut set = |file: &str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        settings.extend(devices.iter().flatten().map(|device| {
            Setting::new(file, format_args!("{}:{} {}", device.major(), device.minor(), device.rate()))
        }));
    };
    set("blkio.throttle.read_bps_device", block_io.throttle_read_bps_device());
    set("blkio.throttle.write_bps_device", block_io.throttle_write_bps_device());
    set("blkio.throttle.read_iops_device", block_io.throttle_read_iops_device());
    set("blkio.throttle.write_iops_device", block_io.throttle_write_iops_device());
    Ok(())
}

/// Applies device rules in their order.
pub fn limit_devices(groups: &[Group], rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
    let directory = &with(groups, "devices")?.directory;
    let settings: Vec<_> = rules.iter().map(device_setting).collect();
    settings
        .chunk_by(|one, next| one.file == next.file)
        .try_for_each(|same| files::write_all(directory, same))
}

fn device_setting(rule: &LinuxDeviceCgroup) -> Setting {
    let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
    let kind = rule.typ().unwrap_or(LinuxDeviceType::A);
    if kind == LinuxDeviceType::A {
        return Setting::new(file, "a");
    }
    // The kernel's files take no other name for a character device.
    let kind = if kind == LinuxDeviceType::U { "c" } else { kind.as_str() };
    let number = |number: Option<i64>| number.filter(|n| *n >= 0).map_or("*".to_owned(), |n| n.to_string());
    // Other runtimes pass over letters that mean nothing.
    let access: String =
        rule.access().iter().flat_map(|access| access.chars()).filter(|c| "rwm".contains(*c)).collect();
    let access = if access.is_empty() { "rwm" } else { &access };
    Setting::new(file, format_args!("{kind} {}:{} {access}", number(rule.major()), number(rule.minor())))
}

pub fn stats(groups: &[Group]) -> Result<Stats, CgroupError> {
    let memory = &with(groups, "memory")?.directory;
    let cache = number_of(&read(&memory.join("memory.stat"))?, "total_inactive_file");
    let limit = read_number(&memory.join(MEMORY))?;
    let (read_bytes, written) = disk_bytes(groups);
    Ok(Stats {
        cpu: Duration::from_nanos(read_number(&with(groups, "cpuacct")?.directory.join("cpuacct.usage"))?),
        memory: read_number(&memory.join("memory.usage_in_bytes"))?.saturating_sub(cache),
        // Without a limit it is the largest number of whole pages that fit a signed number.
        memory_limit: Some(limit).filter(|limit| *limit < i64::MAX as u64 >> 1),
        processes: read_number(&with(groups, "pids")?.directory.join("pids.current"))?,
        read: read_bytes,
        written,
    })
}

/// The bytes read and written, as the I/O scheduler counts them, or where that does not, the throttle. Nothing where
/// nobody counts.
fn disk_bytes(groups: &[Group]) -> (u64, u64) {
    let Ok(group) = with(groups, "blkio") else { return (0, 0) };
    let count = |file: &str| {
        let text = read(&group.directory.join(file)).unwrap_or_default();
        let total = |kind: &str| {
            let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let values = words.filter(|words| words.get(1) == Some(&kind));
            values.filter_map(|words| words.get(2)?.parse::<u64>().ok()).sum()
        };
        (total("Read"), total("Write"))
    };
    let files =
        ["blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"].map(count);
    files.into_iter().find(|bytes| *bytes != (0, 0)).unwrap_or_default()
}

/// How many processes the kernel has killed for want of memory.
pub fn oom_kills(groups: &[Group]) -> Result<u64, CgroupError> {
    Ok(number_of(&read(&with(groups, "memory")?.directory.join("memory.oom_control"))?, "oom_kill"))
}

/// Gives a group its parent's processors and memory nodes, unless it has some: with none it takes no process.
fn inherit_cpuset(directory: &Path) -> Result<(), CgroupError> {
    let parent = directory.parent().unwrap_or(directory);
    for file in [CPUS, MEMS] {
        if read(&directory.join(file))?.trim().is_empty() {
            Setting::new(file, read(&parent.join(file))?.trim()).write(directory)?;
        }
    }
    Ok(())
}

const MEMORY: &str = "memory.limit_in_bytes";
const MEMORY_AND_SWAP: &str = "memory.memsw.limit_in_bytes";
const PERIOD: &str = "cpu.cfs_period_us";
const QUOTA: &str = "cpu.cfs_quota_us";
const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;

    use super::super::tests::resources;
    use super::*;

    #[test]
    fn limits_become_lines_in_files_memory_before_memory_with_swap_and_period_before_quota() {
        let limits = resources(
            r#"{
                "memory": {"limit": 64000000, "swap": -1, "disableOOMKiller": true},
                "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1", "mems": ""},
                "pids": {"limit": 4096}
            }"#,
        );
        let lines: Vec<_> = settings(&limits)
            .unwrap()
            .into_iter()
            .map(|setting| format!("{} {}", setting.file, setting.value))
            .collect();
        assert_eq!(
            lines,
            [
                "memory.limit_in_bytes 64000000",
                "memory.memsw.limit_in_bytes -1",
                "memory.oom_control 1",
                "cpu.shares 512",
                "cpu.cfs_period_us 100000",
                "cpu.cfs_quota_us 50000",
                "cpuset.cpus 0-1",
                "pids.max 4096",
            ]
        );
    }

    #[test]
    fn what_v1_cannot_limit_is_an_error() {
        for limits in [r#"{"unified": {"memory.high": "1"}}"#, r#"{"blockIO": {"weight": 10}}"#] {
            let error = settings(&resources(limits)).unwrap_err();
            assert!(matches!(error, CgroupError::Unsupported { version: 1, .. }), "{limits}: {error}");
        }
    }

    #[test]
    fn device_rules_are_written_as_the_kernel_reads_them() {
        let rule = |allow, kind, major, access: &str| {
            let rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).major(major).access(access);
            let setting = device_setting(&rule.build().unwrap());
            format!("{} {}", setting.file, setting.value)
        };
        assert_eq!(rule(false, LinuxDeviceType::A, -1, "rwm"), "devices.deny a");
        assert_eq!(rule(true, LinuxDeviceType::C, 136, "rw"), "devices.allow c 136:* rw");
        assert_eq!(rule(true, LinuxDeviceType::U, -1, "m"), "devices.allow c *:* m");
    }
}
