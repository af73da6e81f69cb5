//! A container's `HostConfig`, as docker's API has it: field by field, in its order, with its default values.

use engine::container::{
    Below, Config, Container, DEFAULT_PIDS, DeviceRequest, HostAddress, Ipc, Measure, Mount, MountSource,
    Restart, Seccomp, Sharing, SwapLimit,
};
use serde_json::{Map, Value, json};

/// What the container may use of its host.
pub fn describe(container: &Container) -> Value {
    let config = &container.config;
    let (limits, isolation) = (&config.limits, &config.isolation);
    let (masked, protected) = match (config.privileged, isolation.unconfined_paths) {
        (true, _) => (Value::Null, Value::Null),
        (false, true) => (json!([]), json!([])),
        (false, false) => (json!(engine::container::MASKED), json!(engine::container::READ_ONLY)),
    };
    let mut described = json!({
        "Binds": none_if_empty(&binds(config)),
        "ContainerIDFile": isolation.id_file,
        "LogConfig": { "Type": config.log.driver(), "Config": config.log.options },
        "NetworkMode": config.network.mode.name(),
        "PortBindings": port_bindings(config),
        "RestartPolicy": restart_policy(config.restart),
        "AutoRemove": config.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
        "Annotations": isolation.annotations,
        "CapAdd": none_if_empty(&config.cap_add),
        "CapDrop": none_if_empty(&config.cap_drop),
        "CgroupnsMode": if isolation.host_cgroups { "host" } else { "private" },
        "Dns": config.naming.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "DnsOptions": config.naming.options,
        "DnsSearch": config.naming.search,
        "ExtraHosts": none_if_empty(&extra_hosts(config)),
        "GroupAdd": none_if_empty(&isolation.groups),
        "IpcMode": match &isolation.ipc {
            Ipc::Private => "private".to_owned(),
            Ipc::Shareable => "shareable".to_owned(),
            Ipc::None => "none".to_owned(),
            Ipc::Host => "host".to_owned(),
            Ipc::Container(id) => format!("container:{id}"),
        },
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": isolation.oom_score,
        "PidMode": match &isolation.processes {
            Sharing::Own => String::new(),
            Sharing::Host => "host".to_owned(),
            Sharing::Container(id) => format!("container:{id}"),
        },
        "Privileged": config.privileged,
        "PublishAllPorts": config.publish_all,
        "ReadonlyRootfs": config.read_only,
        "SecurityOpt": none_if_empty(&security_options(config)),
        "StorageOpt": limits.storage,
        "Tmpfs": tmpfs(config),
        "UTSMode": if isolation.host_names { "host" } else { "" },
        "UsernsMode": isolation.users.to_string(),
        "ShmSize": limits.shm.map_or(64 << 20, |shm| shm.0),
        "Sysctls": isolation.sysctls,
        "Runtime": "runc",
        "Isolation": "",
    });
    let last = json!({
        "MaskedPaths": masked,
        "ReadonlyPaths": protected,
        "Init": if config.init { json!(true) } else { Value::Null },
    });
    if let (Value::Object(fields), Value::Object(resources), Value::Object(last)) =
        (&mut described, resources(config), last)
    {
        fields.extend(resources);
        let mounts: Vec<Value> =
            config.mounts.iter().filter(|mount| mount.by_fields).map(mount_by_fields).collect();
        if !mounts.is_empty() {
            fields.insert("Mounts".to_owned(), json!(mounts));
        }
        fields.extend(last);
    }
    described
}

/// How much of everything it may use.
fn resources(config: &Config) -> Value {
    let (limits, isolation) = (&config.limits, &config.isolation);
    let memory = limits.memory.map_or(0, |memory| memory.0);
    let throttles = |measure: Measure| -> Vec<Value> {
        let of_kind = limits.throttles.iter().filter(|throttle| throttle.measure == measure);
        of_kind.map(|throttle| json!({ "Path": throttle.device, "Rate": throttle.rate })).collect()
    };
    let mut ulimits = config.ulimits.clone();
    ulimits.sort_by(|one, other| one.name.cmp(&other.name));
    let devices: Vec<Value> = isolation
        .devices
        .iter()
        .map(|device| {
            json!({
                "PathOnHost": device.host,
                "PathInContainer": device.container,
                "CgroupPermissions": device.access,
            })
        })
        .collect();
    let rules: Vec<&str> = isolation.device_rules.iter().map(|rule| rule.as_str()).collect();
    let requests: Vec<Value> = isolation.device_requests.iter().map(device_request).collect();
    json!({
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": memory,
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CgroupParent": isolation.cgroup_parent,
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": throttles(Measure::BytesRead),
        "BlkioDeviceWriteBps": throttles(Measure::BytesWritten),
        "BlkioDeviceReadIOps": throttles(Measure::Reads),
        "BlkioDeviceWriteIOps": throttles(Measure::Writes),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": limits.cpu_realtime_period.unwrap_or(0),
        "CpuRealtimeRuntime": limits.cpu_realtime_runtime.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.as_deref().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.as_deref().unwrap_or_default(),
        "Devices": devices,
        "DeviceCgroupRules": if rules.is_empty() { Value::Null } else { json!(rules) },
        "DeviceRequests": if requests.is_empty() { Value::Null } else { json!(requests) },
        "MemoryReservation": limits.memory_reservation.map_or(0, |reserved| reserved.0),
        "MemorySwap": match limits.memory_swap {
            None => (memory as i64).saturating_mul(2),
            Some(SwapLimit::Unlimited) => -1,
            Some(SwapLimit::Total(total)) => total.0 as i64,
        },
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids.filter(|limit| *limit != DEFAULT_PIDS),
        "Ulimits": ulimits.iter().map(|limit| json!({
            "Name": limit.name, "Hard": limit.hard as i64, "Soft": limit.soft as i64,
        })).collect::<Vec<_>>(),
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

fn device_request(request: &DeviceRequest) -> Value {
    let (driver, count, ids) = match request {
        DeviceRequest::Named(name) => {
            return json!({
                "Driver": "cdi", "Count": 0, "DeviceIDs": [name], "Capabilities": null, "Options": null,
            });
        }
        DeviceRequest::Processors(count) => ("", count.map_or(-1, i64::from), Value::Null),
        DeviceRequest::Chosen(names) => ("", 0, json!(names)),
    };
    json!({
        "Driver": driver, "Count": count, "DeviceIDs": ids, "Capabilities": [["gpu"]], "Options": {},
    })
}

fn restart_policy(restart: Restart) -> Value {
    let (name, most) = match restart {
        Restart::No => ("no", None),
        Restart::OnFailure { most } => ("on-failure", most),
        Restart::Always => ("always", None),
        Restart::UnlessStopped => ("unless-stopped", None),
    };
    json!({ "Name": name, "MaximumRetryCount": most.unwrap_or(0) })
}

fn none_if_empty(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

fn binds(config: &Config) -> Vec<String> {
    let bind = |mount: &Mount| {
        let source = source(mount)?;
        let mut options = Vec::new();
        options.extend(mount.read_only.then_some("ro"));
        options.extend((mount.is_volume() && !mount.copy_up).then_some("nocopy"));
        options.extend(Some(mount.propagation.as_str()).filter(|propagation| !propagation.is_empty()));
        let separator = if options.is_empty() { "" } else { ":" };
        Some(format!("{source}:{}{separator}{}", mount.destination, options.join(",")))
    };
    config.mounts.iter().filter(|mount| !mount.by_fields).filter_map(bind).collect()
}

/// A mount as `--mount` asks for it: what was left out there is left out here.
fn mount_by_fields(mount: &Mount) -> Value {
    let mut fields = Map::new();
    let mut options = Map::new();
    let set = |fields: &mut Map<String, Value>, name: &str, value: Value| {
        let is_default = match &value {
            Value::String(text) => text.is_empty(),
            Value::Object(members) => members.is_empty(),
            value => *value == json!(false) || *value == json!(0),
        };
        if !is_default {
            fields.insert(name.to_owned(), value);
        }
    };
    let kind = match &mount.source {
        MountSource::Bind(_) => "bind",
        MountSource::Volume(_) => "volume",
        MountSource::Tmpfs(_) => "tmpfs",
        MountSource::Image { .. } => "image",
    };
    set(&mut fields, "Type", json!(kind));
    set(&mut fields, "Source", json!(source(mount).unwrap_or_default()));
    set(&mut fields, "Target", json!(mount.destination));
    set(&mut fields, "ReadOnly", json!(mount.read_only && kind != "image"));
    let family = match &mount.source {
        MountSource::Bind(_) => {
            set(&mut options, "Propagation", json!(mount.propagation));
            set(&mut options, "NonRecursive", json!(mount.below == Below::Left));
            set(&mut options, "CreateMountpoint", json!(!mount.must_exist));
            set(&mut options, "ReadOnlyNonRecursive", json!(mount.below == Below::Writable));
            "BindOptions"
        }
        MountSource::Volume(_) => {
            set(&mut options, "NoCopy", json!(!mount.copy_up));
            set(&mut options, "Labels", json!(mount.labels));
            set(&mut options, "Subpath", json!(mount.subpath));
            let mut driver = Map::new();
            set(&mut driver, "Name", json!(mount.driver));
            set(&mut driver, "Options", json!(mount.options));
            set(&mut options, "DriverConfig", Value::Object(driver));
            "VolumeOptions"
        }
        MountSource::Tmpfs(given) => {
            let value = |name: &str| given.iter().find_map(|option| option.strip_prefix(name));
            let size = value("size=").and_then(|size| size.parse::<u64>().ok());
            let mode = value("mode=").and_then(|mode| u32::from_str_radix(mode, 8).ok());
            set(&mut options, "SizeBytes", json!(size.unwrap_or(0)));
            set(&mut options, "Mode", json!(mode.filter(|mode| *mode != 0o1777).unwrap_or(0)));
            "TmpfsOptions"
        }
        MountSource::Image { .. } => {
            set(&mut options, "Subpath", json!(mount.subpath));
            "ImageOptions"
        }
    };
    set(&mut fields, family, Value::Object(options));
    Value::Object(fields)
}

/// What is mounted, as the user named it; `None` if it has no name, or one that nobody chose.
fn source(mount: &Mount) -> Option<String> {
    match &mount.source {
        MountSource::Bind(path) => Some(path.display().to_string()),
        MountSource::Volume(name) => Some(name.clone()).filter(|name| name.len() != 64),
        MountSource::Image { name, .. } => Some(name.clone()),
        MountSource::Tmpfs(_) => None,
    }
}

fn tmpfs(config: &Config) -> Map<String, Value> {
    let described =
        config.mounts.iter().filter(|mount| !mount.by_fields).filter_map(|mount| match &mount.source {
            MountSource::Tmpfs(options) => Some((mount.destination.clone(), json!(options.join(",")))),
            _ => None,
        });
    described.collect()
}

fn extra_hosts(config: &Config) -> Vec<String> {
    let described = config.naming.hosts.iter().map(|(name, address)| match address {
        HostAddress::Ip(address) => format!("{name}:{address}"),
        HostAddress::Gateway => format!("{name}:host-gateway"),
    });
    described.collect()
}

/// The host's port, or the ports of which one will do.
fn host_ports(publish: &types::Publish) -> String {
    match (publish.host_port, publish.host_port_last) {
        (Some(first), Some(last)) => format!("{first}-{last}"),
        (port, _) => port.map(|port| port.to_string()).unwrap_or_default(),
    }
}

fn port_bindings(config: &Config) -> Map<String, Value> {
    let mut bindings = Map::new();
    for publish in &config.publish {
        let host = json!({
            "HostIp": publish.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            "HostPort": host_ports(publish),
        });
        let ports = bindings.entry(publish.container.to_string()).or_insert_with(|| json!([]));
        ports.as_array_mut().expect("just made an array").push(host);
    }
    bindings
}

/// The options as they were given; of containers that an older version made, what is known of them.
fn security_options(config: &Config) -> Vec<String> {
    let mut options = config.isolation.security_options.clone();
    let has = |options: &[String], key: &str| options.iter().any(|option| option.starts_with(key));
    if config.no_new_privileges && !has(&options, "no-new-privileges") {
        options.push("no-new-privileges".to_owned());
    }
    if config.seccomp == Seccomp::Unconfined && !has(&options, "seccomp") {
        options.push("seccomp=unconfined".to_owned());
    }
    options
}
