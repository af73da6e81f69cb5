//! A container's configuration as a runtime specification.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{
    Capabilities, Capability, Hooks, LinuxBlockIo, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpu,
    LinuxDevice, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxIdMappingBuilder,
    LinuxMemory, LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, LinuxThrottleDeviceBuilder, Mount, MountBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
};
use runtime::bundle;
use types::{Bytes, Digest};

use super::{
    cdi,
    config::{Below, Config, Limits, Measure, MountSource, Ownership, Seccomp, SwapLimit, Throttle, Ulimit},
    devices,
    isolation::{self, Sharing},
    networking::NetworkMode,
    profile,
    start::Layers,
    users::Range,
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
    pub joined: &'a Joined,
    pub users: Option<UserNamespace>,
}

/// The user namespace of a container, if that is not the host's.
#[derive(Debug, Clone, Copy)]
pub(super) enum UserNamespace {
    /// One of its own, with these numbers of the host.
    New(Range),
    /// That of another container's process, as the host numbers it.
    Of(i32),
}

/// Processes whose namespaces the container has instead of its own, as the host numbers them.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub processes: Option<i32>,
    pub ipc: Option<i32>,
    pub network: Option<i32>,
}

impl Joined {
    pub fn all(&self) -> impl Iterator<Item = i32> {
        [self.processes, self.ipc, self.network].into_iter().flatten()
    }
}

/// The specification of a container configured by `config`.
pub(super) fn build(config: &Config, places: &Places<'_>) -> Result<Spec, EngineError> {
    let isolation = &config.isolation;
    let mut annotations: HashMap<_, _> =
        isolation.annotations.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(key) = annotations.keys().find(|key| key.starts_with(bundle::OURS)) {
        return Err(EngineError::Invalid(format!("annotation {key}: these are the engine's own")));
    }
    if !isolation.groups.is_empty() {
        annotations.insert(bundle::GROUPS.to_owned(), isolation.groups.join(","));
    }
    if config.init {
        annotations.insert(bundle::INIT.to_owned(), "true".to_owned());
    }
    if config.privileged || config.seccomp == Seccomp::Unconfined {
        annotations.insert(bundle::SECCOMP_UNCONFINED.to_owned(), "true".to_owned());
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(config, places)?)
        .resources(resources(config)?)
        .build()
        .map_err(invalid)?;
    let hidden = match config.privileged || isolation.unconfined_paths {
        true => (Vec::new(), Vec::new()),
        false => (masked_paths(), read_only_paths()),
    };
    linux.set_masked_paths(Some(hidden.0));
    linux.set_readonly_paths(Some(hidden.1));
    linux.set_sysctl(sysctls(config)?);
    if let Some(UserNamespace::New(range)) = places.users {
        let mapping = LinuxIdMappingBuilder::default()
            .container_id(0_u32)
            .host_id(range.first)
            .size(range.size)
            .build()
            .map_err(invalid)?;
        linux.set_uid_mappings(Some(vec![mapping]));
        linux.set_gid_mappings(Some(vec![mapping]));
    }
    let cdi::Edits { env, nodes, mounts: further, groups, hooks } =
        cdi::find(&isolation.device_requests, cdi::DIRECTORIES)?;
    let (devices, rules) = requested_devices(config, nodes)?;
    linux.set_devices(Some(devices));
    if let Some(resources) = linux.resources_mut()
        && let Some(all) = resources.devices_mut()
    {
        all.extend(rules);
    }
    if let (Seccomp::Profile(text), false) = (&config.seccomp, config.privileged) {
        let capabilities = capabilities(&config.cap_add, &config.cap_drop, config.privileged)?;
        linux.set_seccomp(Some(profile::resolve(text, &capabilities)?));
    }
    let root = RootBuilder::default().path("rootfs").readonly(config.read_only).build().map_err(invalid)?;
    let mut process = process(config)?;
    if let Some(own) = process.env_mut() {
        env.into_iter().for_each(|entry| set(own, entry));
    }
    if !groups.is_empty() {
        process.user_mut().set_additional_gids(Some(groups));
    }
    let mut mounts = mounts(config, places)?;
    mounts.extend(further);
    if sys::rootless::is_rootless() {
        // Nobody makes them there, but the host's may be lent, under any name.
        for device in &isolation.devices {
            let access = if device.access.contains('w') { "rw" } else { "ro" };
            mounts.push(mount(utf8(&device.container)?, "bind", utf8(&device.host)?, &["rbind", access])?);
        }
    }
    let mut spec = SpecBuilder::default()
        .root(root)
        .mounts(mounts)
        .process(process)
        .linux(linux)
        .annotations(annotations)
        .build()
        .map_err(invalid)?;
    if hooks != Hooks::default() {
        spec.set_hooks(Some(hooks));
    }
    if !config.naming.domain.is_empty() && config.network.mode != NetworkMode::Host && !isolation.host_names {
        spec.set_domainname(Some(config.naming.domain.clone()));
    }
    // Always set: what the builder gives by itself would become the host's name where that is shared.
    let has_names = config.network.mode != NetworkMode::Host && !isolation.host_names;
    spec.set_hostname(has_names.then(|| config.hostname.clone()));
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
    let mut process = ProcessBuilder::default()
        .terminal(config.tty)
        .user(user)
        .args(config.arguments())
        .env(environment(config))
        .cwd(if config.working_directory.is_empty() { "/" } else { &config.working_directory })
        .capabilities(capabilities)
        .rlimits(rlimits(config)?)
        .no_new_privileges(config.no_new_privileges)
        .build()
        .map_err(invalid)?;
    process.set_oom_score_adj(Some(config.isolation.oom_score));
    Ok(process)
}

/// The variables docker sets before the image's and the user's.
fn environment(config: &Config) -> Vec<String> {
    let mut environment =
        vec![format!("PATH={}", runtime::DEFAULT_PATH), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
    config.env.iter().for_each(|entry| set(&mut environment, entry.clone()));
    // What has no value was only named to keep a default out.
    environment.retain(|entry| entry.contains('='));
    environment
}

/// Sets a variable, in the place of what it was.
fn set(environment: &mut Vec<String>, entry: String) {
    fn name(entry: &str) -> &str {
        entry.split('=').next().unwrap_or_default()
    }
    match environment.iter_mut().find(|other| name(other) == name(&entry)) {
        Some(other) => *other = entry,
        None => environment.push(entry),
    }
}

/// The namespaces that the container has of its own or joins; those that are left out are the host's.
fn namespaces(config: &Config, places: &Places<'_>) -> Result<Vec<LinuxNamespace>, EngineError> {
    use LinuxNamespaceType::*;
    let isolation = &config.isolation;
    let shares_network = config.network.mode == NetworkMode::Host;
    let is_the_hosts = |kind| match kind {
        Network => shares_network,
        Uts => shares_network || isolation.host_names,
        Pid => isolation.processes == Sharing::Host,
        Ipc => isolation.ipc == isolation::Ipc::Host,
        Cgroup => isolation.host_cgroups,
        User => places.users.is_none(),
        _ => false,
    };
    let mut namespaces = Vec::new();
    for kind in [User, Mount, Pid, Ipc, Uts, Cgroup, Network].into_iter().filter(|kind| !is_the_hosts(*kind))
    {
        let mut namespace = LinuxNamespaceBuilder::default().typ(kind).build().map_err(invalid)?;
        let of = |process: Option<i32>| process.map(|pid| format!("/proc/{pid}/ns/{kind}").into());
        namespace.set_path(match kind {
            Pid => of(places.joined.processes),
            Ipc => of(places.joined.ipc),
            Network => of(places.joined.network),
            User => match places.users {
                Some(UserNamespace::Of(process)) => of(Some(process)),
                _ => None,
            },
            _ => None,
        });
        namespaces.push(namespace);
    }
    Ok(namespaces)
}

/// Kernel parameters of namespaces that the container has of its own; those of the host are not for it to set.
fn sysctls(config: &Config) -> Result<Option<HashMap<String, String>>, EngineError> {
    let given = &config.isolation.sysctls;
    for name in given.keys() {
        if name.starts_with("net.") && config.network.mode == NetworkMode::Host {
            let text = format!("sysctl {name:?} not allowed in host network namespace");
            return Err(EngineError::Invalid(text));
        }
        if !name.starts_with("net.") && config.isolation.ipc == isolation::Ipc::Host {
            let text = format!("sysctl {name:?} is not allowed in the hosts ipc namespace");
            return Err(EngineError::Invalid(text));
        }
    }
    let all = given.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Some(all).filter(|all: &HashMap<_, _>| !all.is_empty()))
}

/// The devices that the user asked for, and the rules that allow their use.
fn requested_devices(
    config: &Config,
    named: Vec<(LinuxDevice, String)>,
) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), EngineError> {
    let mut rules = Vec::new();
    let mut all = if config.privileged { devices::every()? } else { Vec::new() };
    let listed = devices::nodes(&config.isolation.devices)?;
    let listed = if sys::rootless::is_rootless() { Vec::new() } else { listed };
    for (node, access) in listed.into_iter().chain(named) {
        rules.push(devices::rule_for(&node, &access)?);
        all.push(node);
    }
    for rule in &config.isolation.device_rules {
        rules.push(rule.to_rule()?);
    }
    // Privileges include all devices, and the kernel takes no exception from that.
    if config.privileged {
        rules.clear();
    }
    Ok((all, rules))
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
    let mut memory = resources.memory().unwrap_or_default();
    memory.set_reservation(limits.memory_reservation.map(|reserved| reserved.0 as i64));
    memory.set_swappiness(limits.memory_swappiness);
    memory.set_disable_oom_killer(limits.oom_kill_disable.then_some(true));
    if memory != LinuxMemory::default() {
        resources.set_memory(Some(memory));
    }
    resources.set_block_io(throttles(&limits.throttles)?);
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(limits.cpu_shares);
    cpu.set_period(limits.cpu_period);
    cpu.set_quota(limits.cpu_quota);
    cpu.set_realtime_period(limits.cpu_realtime_period);
    cpu.set_realtime_runtime(limits.cpu_realtime_runtime);
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

fn throttles(throttles: &[Throttle]) -> Result<Option<LinuxBlockIo>, EngineError> {
    let of = |measure: Measure| {
        let mut devices = Vec::new();
        for throttle in throttles.iter().filter(|throttle| throttle.measure == measure) {
            let path = &throttle.device;
            let stat = rustix::fs::stat(path)
                .map_err(|error| EngineError::File { path: path.clone(), source: error.into() })?;
            let device = LinuxThrottleDeviceBuilder::default()
                .major(i64::from(rustix::fs::major(stat.st_rdev)))
                .minor(i64::from(rustix::fs::minor(stat.st_rdev)))
                .rate(throttle.rate);
            devices.push(device.build().map_err(invalid)?);
        }
        Ok::<_, EngineError>(Some(devices).filter(|devices| !devices.is_empty()))
    };
    let mut all = LinuxBlockIo::default();
    all.set_throttle_read_bps_device(of(Measure::BytesRead)?);
    all.set_throttle_write_bps_device(of(Measure::BytesWritten)?);
    all.set_throttle_read_iops_device(of(Measure::Reads)?);
    all.set_throttle_write_iops_device(of(Measure::Writes)?);
    Ok(Some(all).filter(|all| *all != LinuxBlockIo::default()))
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
    let mut ulimits = config.ulimits.clone();
    if !ulimits.iter().any(|limit| limit.name == "nofile") {
        ulimits.push(default_file_limit());
    }
    ulimits
        .iter()
        .map(|limit| {
            let builder =
                PosixRlimitBuilder::default().typ(named(&limit.name)?).soft(limit.soft).hard(limit.hard);
            builder.build().map_err(invalid)
        })
        .collect()
}

/// As many files as docker's daemon gives, or as the caller may: raising a hard limit takes a privilege.
fn default_file_limit() -> Ulimit {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(DEFAULT_FILES);
    Ulimit { name: "nofile".to_owned(), soft: most, hard: most }
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
    let size = match config.limits.shm {
        Some(Bytes(bytes)) => format!("size={bytes}"),
        None => "size=65536k".to_owned(),
    };
    let safe = ["nosuid", "noexec", "nodev"];
    match (&config.isolation.ipc, places.joined.ipc) {
        (isolation::Ipc::Host, _) => {
            all.push(mount("/dev/shm", "bind", "/dev/shm", &safe)?);
            all.push(mount("/dev/mqueue", "bind", "/dev/mqueue", &safe)?);
        }
        (_, Some(pid)) => {
            all.push(mount("/dev/shm", bundle::SHARED_MEMORY, &format!("/proc/{pid}/ns/mnt"), &safe)?);
            all.push(mount("/dev/mqueue", "mqueue", "mqueue", &safe)?);
        }
        (ipc, None) => {
            if *ipc != isolation::Ipc::None {
                let options = [&safe[..], &["mode=1777", &size]].concat();
                all.push(mount("/dev/shm", "tmpfs", "shm", &options)?);
            }
            all.push(mount("/dev/mqueue", "mqueue", "mqueue", &safe)?);
        }
    }
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
    ];
    if !sys::rootless::is_rootless() {
        // A directory that refers to one below, or a file without its content, would make no layer by itself. A user's overlay
        // makes neither.
        options.extend(["redirect_dir=off".to_owned(), "metacopy=off".to_owned()]);
    }
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

/// A capability as the kernel writes it, or `ALL`, of any spelling.
pub(super) fn full_capability(name: &str) -> String {
    let upper = name.to_uppercase();
    if upper == "ALL" || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

/// The capabilities of a container: docker's default fourteen, with what the user adds and without what is dropped;
/// all there are for a privileged one.
pub(super) fn capabilities(
    add: &[String],
    drop: &[String],
    privileged: bool,
) -> Result<Capabilities, EngineError> {
    let named = |list: &'static str, name: &String| match full_capability(name).as_str() {
        "ALL" => Ok(None),
        full => serde_json::from_value(full.into())
            .map(Some)
            .map_err(|_| EngineError::UnknownCapability { list, name: full.to_owned() }),
    };
    let add = add.iter().map(|name| named("CapAdd", name)).collect::<Result<Vec<Option<Capability>>, _>>()?;
    let drop =
        drop.iter().map(|name| named("CapDrop", name)).collect::<Result<Vec<Option<Capability>>, _>>()?;
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

/// How many files a process may have open unless told otherwise.
const DEFAULT_FILES: u64 = 1 << 20;
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

/// What is hidden from a container, in docker's order.
pub const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// What a container may read and not write.
pub const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

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
        assert_eq!(names(&["CHOWM"], &[]), Err("invalid CapAdd: unknown capability: \"CAP_CHOWM\"".into()));
        assert!(names(&["ALL"], &["CHOWN"]).is_ok_and(|count| count >= 37));
    }
}
