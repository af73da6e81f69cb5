//! `container inspect`: everything about containers, as docker's API has it.

use std::process::ExitCode;

use clap::Args;
use engine::{
    Engine, EngineError, Status,
    container::{Container, HealthCheck, HostAddress, MountSource, Restart, Seccomp},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    cli::{Globals, Verb},
    commands::{network, system::inspect::show},
    session,
};

/// Display detailed information on one or more containers
#[derive(Args)]
pub struct Inspect {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["container inspect"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        show(self.format.as_deref(), &self.containers, |name| {
            Ok(Some(describe(&engine, &engine.container(name)?)?))
        })
    }
}

/// The container as docker's API describes it.
pub fn describe(engine: &Engine, container: &Container) -> Result<Value, EngineError> {
    let config = &container.config;
    let status = container.status()?;
    let restarts = match &status {
        Status::Created => 0,
        Status::Running(started) | Status::Paused(started) => started.restarts,
        Status::Restarting(ended) | Status::Exited(ended) => ended.restarts,
    };
    let arguments = config.arguments();
    let (path, args) = arguments.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let file = |name: &str| container.directory.join(name).display().to_string();
    Ok(json!({
        "Id": container.id,
        "Created": container.created,
        "Path": path,
        "Args": args,
        "State": state(container, &status)?,
        "Image": config.image_id,
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": container.log_file().map(|file| file.display().to_string()).unwrap_or_default(),
        "Name": format!("/{}", container.name),
        "RestartCount": restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config(container),
        "GraphDriver": {
            "Data": { "UpperDir": file("upper"), "WorkDir": file("work") },
            "Name": "overlay2",
        },
        "Mounts": mounts(engine, container),
        "Config": own_config(container),
        "NetworkSettings": network_settings(engine, container, &status)?,
    }))
}

fn state(container: &Container, status: &Status) -> Result<Value, EngineError> {
    let (running, pid, code, oom, error, started, finished) = match status {
        Status::Created => (false, 0, 0, false, "", None, None),
        Status::Running(started) | Status::Paused(started) => {
            (true, started.pid, 0, false, "", Some(started.at), None)
        }
        Status::Restarting(ended) => (true, 0, ended.code, false, "", ended.started, Some(ended.finished)),
        Status::Exited(ended) => {
            let error = ended.error.as_deref().unwrap_or_default();
            (false, 0, ended.code, ended.oom_killed, error, ended.started, Some(ended.finished))
        }
    };
    let time =
        |time: Option<Timestamp>| time.map_or("0001-01-01T00:00:00Z".to_owned(), |time| time.to_string());
    let mut state = json!({
        "Status": status.word(),
        "Running": running,
        "Paused": matches!(status, Status::Paused(_)),
        "Restarting": matches!(status, Status::Restarting(_)),
        "OOMKilled": oom,
        "Dead": false,
        "Pid": pid,
        "ExitCode": code,
        "Error": error,
        "StartedAt": time(started),
        "FinishedAt": time(finished),
    });
    if let Some(health) = container.health()? {
        let looks = health.log.iter().map(|look| {
            json!({
                "Start": look.start,
                "End": look.end,
                "ExitCode": look.code,
                "Output": look.output,
            })
        });
        state["Health"] = json!({
            "Status": health.state.word(),
            "FailingStreak": health.failing,
            "Log": looks.collect::<Vec<_>>(),
        });
    }
    Ok(state)
}

/// The host's port, or the ports of which one will do.
fn host_ports(publish: &types::Publish) -> String {
    match (publish.host_port, publish.host_port_last) {
        (Some(first), Some(last)) => format!("{first}-{last}"),
        (port, _) => port.map(|port| port.to_string()).unwrap_or_default(),
    }
}

fn host_config(container: &Container) -> Value {
    let config = &container.config;
    let mut bindings = Map::new();
    for publish in &config.publish {
        let host = json!({
            "HostIp": publish.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            "HostPort": host_ports(publish),
        });
        let ports = bindings.entry(publish.container.to_string()).or_insert_with(|| json!([]));
        ports.as_array_mut().expect("just made an array").push(host);
    }
    let binds: Vec<String> = config
        .mounts
        .iter()
        .filter_map(|mount| {
            match &mount.source {
                MountSource::Bind(path) => Some(path.display().to_string()),
                MountSource::Volume(name) if name.len() != 64 => Some(name.clone()),
                _ => None,
            }
            .map(|source| {
                format!("{source}:{}{}", mount.destination, if mount.read_only { ":ro" } else { "" })
            })
        })
        .collect();
    let mut security = Vec::new();
    if config.no_new_privileges {
        security.push("no-new-privileges");
    }
    if config.seccomp == Seccomp::Unconfined {
        security.push("seccomp=unconfined");
    }
    let hosts = config.naming.hosts.iter().map(|(name, address)| match address {
        HostAddress::Ip(address) => format!("{name}:{address}"),
        HostAddress::Gateway => format!("{name}:host-gateway"),
    });
    let hosts: Vec<String> = hosts.collect();
    let none_if_empty = |list: Vec<&str>| if list.is_empty() { Value::Null } else { json!(list) };
    json!({
        "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
        "LogConfig": { "Type": config.log.driver(), "Config": config.log.options },
        "NetworkMode": config.network.mode.name(),
        "PortBindings": bindings,
        "Dns": config.naming.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "DnsOptions": config.naming.options,
        "DnsSearch": config.naming.search,
        "ExtraHosts": none_if_empty(hosts.iter().map(String::as_str).collect()),
        "RestartPolicy": restart_policy(config.restart),
        "AutoRemove": config.auto_remove,
        "CapAdd": none_if_empty(config.cap_add.iter().map(String::as_str).collect()),
        "CapDrop": none_if_empty(config.cap_drop.iter().map(String::as_str).collect()),
        "CgroupnsMode": "private",
        "IpcMode": "private",
        "Privileged": config.privileged,
        "PublishAllPorts": config.publish_all,
        "ReadonlyRootfs": config.read_only,
        "SecurityOpt": none_if_empty(security),
        "ShmSize": config.limits.shm.map_or(64 << 20, |shm| shm.0),
        "Runtime": "sampan",
        "Memory": config.limits.memory.map_or(0, |memory| memory.0),
        "NanoCpus": config.limits.nano_cpus.unwrap_or(0),
        "PidsLimit": config.limits.pids,
        "Ulimits": config.ulimits.iter().map(|limit| json!({
            "Name": limit.name, "Hard": limit.hard as i64, "Soft": limit.soft as i64,
        })).collect::<Vec<_>>(),
        "Init": config.init,
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

fn own_config(container: &Container) -> Value {
    let config = &container.config;
    let none_if_empty = |words: &[String]| if words.is_empty() { Value::Null } else { json!(words) };
    let set = |keys: Vec<String>| keys.into_iter().map(|key| (key, json!({}))).collect::<Map<_, _>>();
    let volumes = config.mounts.iter().filter(|mount| matches!(mount.source, MountSource::Volume(_)));
    let volumes = set(volumes.map(|mount| mount.destination.clone()).collect());
    let mut described = json!({
        "Hostname": config.hostname,
        "Domainname": config.naming.domain,
        "User": config.user,
        "AttachStdin": config.attach.input,
        "AttachStdout": config.attach.output,
        "AttachStderr": config.attach.errors,
        "ExposedPorts": set(config.exposed.iter().map(ToString::to_string).collect()),
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": config.env,
        "Cmd": none_if_empty(&config.command),
        "Image": config.image,
        "Volumes": if volumes.is_empty() { Value::Null } else { Value::Object(volumes) },
        "WorkingDir": config.working_directory,
        "Entrypoint": none_if_empty(&config.entrypoint),
        "OnBuild": null,
        "Labels": config.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>(),
        "StopSignal": config.stop_signal.as_deref().unwrap_or("SIGTERM"),
        "StopTimeout": config.stop_timeout,
    });
    if let Some(check) = &config.health {
        described["Healthcheck"] = health_check(check);
    }
    described
}

/// A health check as docker's API has it: what is left open is not mentioned.
fn health_check(check: &HealthCheck) -> Value {
    let mut described = json!({ "Test": check.test });
    let numbers = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        described[name] = json!(number);
    }
    described
}

fn mounts(engine: &Engine, container: &Container) -> Vec<Value> {
    let describe = |mount: &engine::container::Mount| {
        let (kind, name, source, driver) = match &mount.source {
            MountSource::Bind(path) => ("bind", None, path.display().to_string(), None),
            MountSource::Volume(name) => {
                let source = engine.root().join("volumes").join(name).join("_data");
                ("volume", Some(name), source.display().to_string(), Some("local"))
            }
            MountSource::Tmpfs(_) => ("tmpfs", None, String::new(), None),
            MountSource::Image { name, .. } => ("image", None, name.clone(), None),
        };
        let mut described = json!({
            "Type": kind,
            "Source": source,
            "Destination": mount.destination,
            "Mode": if mount.read_only { "ro" } else { "" },
            "RW": !mount.read_only,
            "Propagation": if kind == "bind" { "rprivate" } else { "" },
        });
        if let Some(name) = name {
            described["Name"] = json!(name);
            described["Driver"] = json!(driver);
        }
        described
    };
    container.config.mounts.iter().map(describe).collect()
}

fn network_settings(engine: &Engine, container: &Container, status: &Status) -> Result<Value, EngineError> {
    let config = &container.config;
    let mut networks = Map::new();
    for name in config.network.names() {
        networks.insert(name.to_owned(), network::inspect::endpoint(engine, container, status, name)?);
    }
    let mut ports = Map::new();
    if let Some(started) = status.started() {
        for port in &config.exposed {
            let hosts: Vec<_> = started
                .publish
                .iter()
                .filter(|publish| publish.container == *port)
                .flat_map(super::port::addresses)
                .map(|at| json!({ "HostIp": at.ip().to_string(), "HostPort": at.port().to_string() }))
                .collect();
            ports.insert(port.to_string(), if hosts.is_empty() { Value::Null } else { json!(hosts) });
        }
    }
    // The same again for the default network, as it was before there were others.
    let default = networks.get("bridge").cloned().unwrap_or_else(network::inspect::no_endpoint);
    let is_running = status.started().is_some();
    let sandbox =
        if is_running { types::Digest::of(container.id.to_string().as_bytes()).hex() } else { String::new() };
    Ok(json!({
        "Bridge": "",
        "SandboxID": sandbox,
        "SandboxKey": match status.started() {
            Some(started) => format!("/proc/{}/ns/net", started.pid),
            None => String::new(),
        },
        "Ports": ports,
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": default["EndpointID"],
        "Gateway": default["Gateway"],
        "GlobalIPv6Address": default["GlobalIPv6Address"],
        "GlobalIPv6PrefixLen": default["GlobalIPv6PrefixLen"],
        "IPAddress": default["IPAddress"],
        "IPPrefixLen": default["IPPrefixLen"],
        "IPv6Gateway": default["IPv6Gateway"],
        "MacAddress": default["MacAddress"],
        "Networks": networks,
    }))
}
