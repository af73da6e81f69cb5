//! A container's configuration as a runtime specification.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{
    Capabilities, Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpu, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, Mount, MountBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
};
use runtime::bundle;
use types::{Bytes, Digest};

use super::{
    config::{Below, Config, Limits, MountSource, Ownership, Seccomp, SwapLimit},
    networking::NetworkMode,
    start::Layers,
};
use crate::error::EngineError;

/// What the specification needs to know of the disk.
pub(super) struct Places<'a> {
    /// The container's directory.
    pub directory: &'a Path,
    pub layers: &'a Layers,
    /// Where each of the configuration's volumes is.
    pub volumes: HashMap<&'a str, PathBuf>,
    /// The layers of the images that are mounted, by their manifests, topmost first.
    pub images: HashMap<Digest, Vec<PathBuf>>,
    /// Mounts that come after all others, in this order.
    pub mounts: &'a [Mount],
    /// The network namespace of somebody else that the container is to be in.
    pub network_namespace: Option<PathBuf>,
}

/// The specification of a container configured by `config`.
pub(super) fn build(config: &Config, places: &Places<'_>) -> Result<Spec, EngineError> {
    let mut annotations = HashMap::new();
    if config.init {
        annotations.insert(bundle::INIT.to_owned(), "true".to_owned());
    }
    if config.privileged || config.seccomp == Seccomp::Unconfined {
        annotations.insert(bundle::SECCOMP_UNCONFINED.to_owned(), "true".to_owned());
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(config, places))
        .resources(resources(config)?)
        .build()
        .map_err(invalid)?;
    let hidden =
        if config.privileged { (Vec::new(), Vec::new()) } else { (masked_paths(), read_only_paths()) };
    linux.set_masked_paths(Some(hidden.0));
    linux.set_readonly_paths(Some(hidden.1));
    let root = RootBuilder::default().path("rootfs").readonly(config.read_only).build().map_err(invalid)?;
    let mut spec = SpecBuilder::default()
        .root(root)
        .mounts(mounts(config, places)?)
        .process(process(config)?)
        .linux(linux)
        .annotations(annotations)
        .build()
        .map_err(invalid)?;
    if !config.naming.domain.is_empty() && config.network.mode != NetworkMode::Host {
        spec.set_domainname(Some(config.naming.domain.clone()));
    }
    // Always set: what the builder gives by itself would become the host's name where that is shared.
    spec.set_hostname((config.network.mode != NetworkMode::Host).then(|| config.hostname.clone()));
    Ok(spec)
}

/// The process that `config` describes, without what only the first one has.
pub(super) fn process(config: &Config) -> Result<Process, EngineError> {
    let capabilities = capabilities(&config.cap_add, &config.cap_drop, config.privileged)?;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
        .map_err(invalid)?;
    let user =
        UserBuilder::default().uid(0u32).gid(0u32).username(config.user.clone()).build().map_err(invalid)?;
    ProcessBuilder::default()
        .terminal(config.tty)
        .user(user)
        .args(config.arguments())
        .env(environment(config))
        .cwd(&config.working_directory)
        .capabilities(capabilities)
        .rlimits(rlimits(config)?)
        .no_new_privileges(config.no_new_privileges)
        .build()
        .map_err(invalid)
}

/// The variables docker sets before the image's and the user's.
fn environment(config: &Config) -> Vec<String> {
    let mut environment =
        vec![format!("PATH={}", runtime::DEFAULT_PATH), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
    environment.retain(|default| {
        let name = |entry: &str| entry.split('=').next().map(str::to_owned);
        !config.env.iter().any(|entry| name(entry) == name(default))
    });
    // What has no value was only named to keep a default out.
    environment.extend(config.env.iter().filter(|entry| entry.contains('=')).cloned());
    environment
}

fn namespaces(config: &Config, places: &Places<'_>) -> Vec<LinuxNamespace> {
    use LinuxNamespaceType::*;
    let shares_network = config.network.mode == NetworkMode::Host;
    [Mount, Pid, Ipc, Uts, Cgroup, Network]
        .into_iter()
        .filter(|kind| !(shares_network && matches!(kind, Network | Uts)))
        .filter_map(|kind| {
            let namespace = LinuxNamespaceBuilder::default().typ(kind);
            match (kind, &places.network_namespace) {
                (Network, Some(path)) => namespace.path(path).build().ok(),
                _ => namespace.build().ok(),
            }
        })
        .collect()
}

pub(super) fn resources(config: &Config) -> Result<LinuxResources, EngineError> {
    let limits = &config.limits;
    let Limits { memory, nano_cpus, pids, .. } = *limits;
    let mut resources = LinuxResourcesBuilder::default()
        .devices(device_rules(config.privileged)?)
        .build()
        .map_err(invalid)?;
    if let Some(memory) = memory {
        let bytes = memory.0 as i64;
        let swap = match limits.memory_swap {
            // As much swap again, which is docker's reading of a memory limit alone.
            None => bytes.saturating_mul(2),
            Some(SwapLimit::Unlimited) => -1,
            Some(SwapLimit::Total(total)) => total.0 as i64,
        };
        let limit = LinuxMemoryBuilder::default().limit(bytes).swap(swap).build();
        resources.set_memory(Some(limit.map_err(invalid)?));
    }
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(limits.cpu_shares);
    cpu.set_period(limits.cpu_period);
    cpu.set_quota(limits.cpu_quota);
    cpu.set_cpus(limits.cpuset_cpus.clone());
    cpu.set_mems(limits.cpuset_mems.clone());
    if let Some(nano_cpus) = nano_cpus {
        cpu.set_period(Some(CPU_PERIOD));
        cpu.set_quota(Some((nano_cpus * CPU_PERIOD / 1_000_000_000) as i64));
    }
    if cpu != LinuxCpu::default() {
        resources.set_cpu(Some(cpu));
    }
    if let Some(pids) = pids {
        resources
            .set_pids(Some(LinuxPidsBuilder::default().limit(i64::from(pids)).build().map_err(invalid)?));
    }
    Ok(resources)
}

/// What is to be told to the cgroup of a running container whose configuration changes.
pub(super) fn changed_limits(before: &Config, after: &Config) -> Result<LinuxResources, EngineError> {
    let mut resources = resources(after)?;
    resources.set_devices(None);
    // No limit is nothing to say of a new group, but has to be said to one that has a limit.
    if before.limits.pids.is_some() && after.limits.pids.is_none() {
        resources.set_pids(Some(LinuxPidsBuilder::default().limit(-1_i64).build().map_err(invalid)?));
    }
    Ok(resources)
}

/// Which devices may be opened: a handful, or with privileges all.
fn device_rules(privileged: bool) -> Result<Vec<LinuxDeviceCgroup>, EngineError> {
    let rule = |allow: bool, kind: LinuxDeviceType, numbers: (Option<i64>, Option<i64>), access: &str| {
        let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access).build()?;
        rule.set_major(numbers.0);
        rule.set_minor(numbers.1);
        Ok(rule)
    };
    let any = (None, None);
    let rules: Result<Vec<_>, oci_spec::OciSpecError> = match privileged {
        true => vec![rule(true, LinuxDeviceType::A, any, "rwm")].into_iter().collect(),
        false => {
            let mut rules = vec![
                rule(false, LinuxDeviceType::A, any, "rwm"),
                // Nodes may be made, but not opened.
                rule(true, LinuxDeviceType::C, any, "m"),
                rule(true, LinuxDeviceType::B, any, "m"),
            ];
            for (major, minor) in DEVICES {
                rules.push(rule(true, LinuxDeviceType::C, (Some(*major), *minor), "rwm"));
            }
            rules.into_iter().collect()
        }
    };
    rules.map_err(invalid)
}

fn rlimits(config: &Config) -> Result<Vec<PosixRlimit>, EngineError> {
    let named = |name: &str| {
        let kind: PosixRlimitType = serde_json::from_value(format!("RLIMIT_{}", name.to_uppercase()).into())
            .map_err(|_| EngineError::Invalid(format!("invalid ulimit type: {name}")))?;
        Ok::<_, EngineError>(kind)
    };
    config
        .ulimits
        .iter()
        .map(|limit| {
            let builder =
                PosixRlimitBuilder::default().typ(named(&limit.name)?).soft(limit.soft).hard(limit.hard);
            builder.build().map_err(invalid)
        })
        .collect()
}

fn mounts(config: &Config, places: &Places<'_>) -> Result<Vec<Mount>, EngineError> {
    let mut all = vec![overlay(config, places)?];
    let read_only_unless = |privileged: bool| if privileged { "rw" } else { "ro" };
    all.push(mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?);
    all.push(mount("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755", "size=65536k"])?);
    all.push(mount(
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    )?);
    let shm = match config.limits.shm {
        Some(Bytes(bytes)) => format!("size={bytes}"),
        None => "size=65536k".to_owned(),
    };
    all.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm])?);
    all.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?);
    let sys = ["nosuid", "noexec", "nodev", read_only_unless(config.privileged)];
    all.push(mount("/sys", "sysfs", "sysfs", &sys)?);
    all.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &sys)?);
    for wanted in &config.mounts {
        let depth = if wanted.below == Below::Left { "bind" } else { "rbind" };
        let access = match (wanted.read_only, wanted.below) {
            (true, Below::AsMount) => "rro",
            (true, Below::Writable | Below::Left) => "ro",
            (false, _) => "rw",
        };
        let mut options = vec![depth, access];
        if !wanted.propagation.is_empty() {
            options.push(&wanted.propagation);
        }
        let below = format!("{}{}", bundle::BELOW, wanted.subpath);
        if !wanted.subpath.is_empty() {
            options.push(&below);
        }
        if wanted.ownership == Ownership::Mapped {
            options.push(bundle::MAP_OWNER);
        }
        let entry = match &wanted.source {
            MountSource::Bind(source) => mount(&wanted.destination, "bind", utf8(source)?, &options)?,
            MountSource::Volume(name) => {
                if wanted.copy_up {
                    options.push(bundle::COPY_UP);
                }
                let source =
                    places.volumes.get(name.as_str()).ok_or_else(|| EngineError::NoVolume(name.clone()))?;
                mount(&wanted.destination, "bind", utf8(source)?, &options)?
            }
            MountSource::Image { name, manifest } => {
                let layers = manifest.as_ref().and_then(|manifest| places.images.get(manifest));
                match layers.map(Vec::as_slice).unwrap_or_default() {
                    [] => return Err(EngineError::NoImage(name.clone())),
                    [only] => mount(&wanted.destination, "bind", utf8(only)?, &options)?,
                    layers => {
                        let joined = runtime::join_layers(layers.iter().map(PathBuf::as_path));
                        let lower = format!("lowerdir={}", utf8(Path::new(&joined))?);
                        let mut options = vec![lower.as_str(), "ro"];
                        if !wanted.subpath.is_empty() {
                            options.push(&below);
                        }
                        mount(&wanted.destination, "overlay", "overlay", &options)?
                    }
                }
            }
            MountSource::Tmpfs(given) => {
                let access = if wanted.read_only { "ro" } else { "rw" };
                let mut options = vec!["nosuid", "nodev", "noexec", access];
                options.extend(given.iter().map(String::as_str));
                options.retain(|option| !given.iter().any(|given| *given == format!("no{option}")));
                for allowed in ["suid", "dev", "exec"] {
                    if given.iter().any(|given| given == allowed) {
                        options.retain(|option| *option != format!("no{allowed}"));
                    }
                }
                mount(&wanted.destination, "tmpfs", "tmpfs", &options)?
            }
        };
        all.push(entry);
    }
    // Last, for one of the others may be of /etc.
    for name in ["resolv.conf", "hostname", "hosts"] {
        let destination = format!("/etc/{name}");
        if !config.mounts.iter().any(|mount| mount.destination == destination) {
            let source = places.directory.join(name);
            all.push(mount(&destination, "bind", utf8(&source)?, &["bind", "rprivate"])?);
        }
    }
    all.extend(places.mounts.iter().cloned());
    Ok(all)
}

/// The root: the image's layers below a directory of the container's own.
fn overlay(config: &Config, places: &Places<'_>) -> Result<Mount, EngineError> {
    let lower = runtime::join_layers(places.layers.lower.iter().map(PathBuf::as_path));
    let mut options = vec![
        format!("lowerdir={}", utf8(Path::new(&lower))?),
        format!("upperdir={}", utf8(&places.layers.upper)?),
        format!("workdir={}", utf8(&places.layers.work)?),
        // A directory that refers to one below, or a file without its content, would make no layer by itself.
        "redirect_dir=off".to_owned(),
        "metacopy=off".to_owned(),
    ];
    if config.auto_remove {
        // Nobody reads it again, so it need not be written back when it is unmounted.
        options.push("volatile".to_owned());
    }
    MountBuilder::default()
        .destination("/")
        .typ("overlay")
        .source("overlay")
        .options(options)
        .build()
        .map_err(invalid)
}

pub(super) fn mount(
    destination: &str,
    kind: &str,
    source: &str,
    options: &[&str],
) -> Result<Mount, EngineError> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default()
        .destination(destination)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .map_err(invalid)
}

/// The capabilities of a container: docker's default fourteen, with what the user adds and without what is dropped;
/// all there are for a privileged one.
pub(super) fn capabilities(
    add: &[String],
    drop: &[String],
    privileged: bool,
) -> Result<Capabilities, EngineError> {
    let named = |name: &String| {
        let upper = name.to_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let unknown = |_| EngineError::UnknownCapability(name.clone());
        if short == "ALL" {
            Ok(None)
        } else {
            serde_json::from_value(format!("CAP_{short}").into()).map(Some).map_err(unknown)
        }
    };
    let add = add.iter().map(named).collect::<Result<Vec<Option<Capability>>, _>>()?;
    let drop = drop.iter().map(named).collect::<Result<Vec<Option<Capability>>, _>>()?;
    if privileged {
        return Ok(runtime::all_capabilities());
    }
    let mut set: Capabilities = match add.contains(&None) {
        true => runtime::all_capabilities(),
        false if drop.contains(&None) => Capabilities::new(),
        false => DEFAULT_CAPABILITIES.into_iter().collect(),
    };
    set.extend(add.into_iter().flatten());
    for dropped in drop.into_iter().flatten() {
        set.remove(&dropped);
    }
    Ok(set)
}

fn masked_paths() -> Vec<String> {
    let thermal = (0..).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    let thermal = thermal.take_while(|path| Path::new(path).parent().is_some_and(Path::exists));
    MASKED.iter().map(|path| (*path).to_owned()).chain(thermal).collect()
}

fn read_only_paths() -> Vec<String> {
    READ_ONLY.iter().map(|path| (*path).to_owned()).collect()
}

/// A path as the specification, which is JSON, can hold it.
pub(super) fn utf8(path: &Path) -> Result<&str, EngineError> {
    path.to_str().ok_or_else(|| EngineError::Invalid(format!("the path {} is not UTF-8", path.display())))
}

pub(super) fn invalid(error: oci_spec::OciSpecError) -> EngineError {
    EngineError::Invalid(error.to_string())
}

/// Microseconds; the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

const DEFAULT_CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// Major and minor numbers: null, zero, full, random, urandom, tty, console, ptmx, and terminals.
const DEVICES: &[(i64, Option<i64>)] = &[
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(add: &[&str], drop: &[&str]) -> Result<usize, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        capabilities(&owned(add), &owned(drop), false).map(|set| set.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn capabilities_are_added_and_dropped_by_name_in_any_spelling() {
        assert_eq!(names(&[], &[]), Ok(14));
        assert_eq!(names(&["NET_ADMIN", "cap_sys_time"], &["CHOWN"]), Ok(15));
        assert_eq!(names(&["chown"], &["ALL"]), Ok(1));
        assert_eq!(names(&["CHOWM"], &[]), Err("Unknown capability: \"CHOWM\"".into()));
        assert!(names(&["ALL"], &["CHOWN"]).is_ok_and(|count| count >= 37));
    }
}
