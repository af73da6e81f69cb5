//! `container inspect`: everything about containers, as docker's API has it.

use std::process::ExitCode;

use clap::Args;
use engine::{
    Engine, EngineError, Status,
    container::{Container, HealthCheck, MountSource},
    network::DEFAULT,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ls::Size;
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
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["container inspect"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        show(self.format.as_deref(), &self.containers, |name| {
            let container = engine.container(name)?;
            let describe = if self.size { describe_with_size } else { describe };
            Ok(Some(describe(&engine, &container)?))
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
    let path_of = |name: &str| container.directory.join(name).display().to_string();
    let mut host_config = super::host_config::describe(container);
    host_config["Links"] = links(engine, container);
    // Written at the first start.
    let file = |name: &str| if matches!(status, Status::Created) { String::new() } else { path_of(name) };
    let log_path = container.log_file().filter(|_| !matches!(status, Status::Created));
    let log_path = log_path.map(|file| file.display().to_string()).unwrap_or_default();
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
        "LogPath": log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config,
        "GraphDriver": {
            "Data": {
                "ID": container.id,
                "MergedDir": path_of("rootfs"),
                "UpperDir": path_of("upper"),
                "WorkDir": path_of("work"),
            },
            "Name": "overlay2",
        },
        "SizeRw": null,
        "SizeRootFs": null,
        "Mounts": mounts(engine, container),
        "Config": own_config(container),
        "NetworkSettings": network_settings(engine, container, &status)?,
    }))
}

/// The containers that this one is linked to on the default network, each with its alias here.
fn links(engine: &Engine, container: &Container) -> Value {
    let links = container.config.network.membership(DEFAULT).map(|one| &one.settings.links);
    let describe = |(other, alias): &(String, String)| {
        // One that is gone is known by its id alone.
        let name = engine.container(other).map_or(other.clone(), |other| other.name.to_string());
        format!("/{name}:/{}/{alias}", container.name)
    };
    let links: Vec<String> = links.into_iter().flatten().map(describe).collect();
    if links.is_empty() { Value::Null } else { json!(links) }
}

/// The same with what its files take.
pub fn describe_with_size(engine: &Engine, container: &Container) -> Result<Value, EngineError> {
    let size = Size::of(engine, container)?;
    let mut described = describe(engine, container)?;
    described["SizeRw"] = json!(size.written);
    described["SizeRootFs"] = json!(size.written + size.image);
    Ok(described)
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
        "Health": null,
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

fn own_config(container: &Container) -> Value {
    let config = &container.config;
    let none_if_empty = |words: &[String]| if words.is_empty() { Value::Null } else { json!(words) };
    let set = |keys: Vec<String>| keys.into_iter().map(|key| (key, json!({}))).collect::<Map<_, _>>();
    json!({
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
        "Healthcheck": config.health.as_ref().map(health_check),
        "Image": config.image,
        "Volumes": null,
        "WorkingDir": config.working_directory,
        "Entrypoint": none_if_empty(&config.entrypoint),
        "OnBuild": null,
        "Labels": config.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>(),
        "StopSignal": config.stop_signal.as_deref().unwrap_or_default(),
        "StopTimeout": config.stop_timeout,
        "Shell": null,
    })
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
            "Mode": match (mount.read_only, mount.is_volume(), mount.copy_up) {
                (true, ..) => "ro",
                (false, true, true) => "z",
                (false, true, false) => "nocopy",
                (false, false, _) => "",
            },
            "RW": !mount.read_only,
            "Propagation": if kind == "bind" { "rprivate" } else { "" },
        });
        if let Some(name) = name {
            described["Name"] = json!(name);
            described["Driver"] = json!(driver);
        }
        described
    };
    let is_listed = |mount: &&engine::container::Mount| !matches!(mount.source, MountSource::Tmpfs(_));
    container.config.mounts.iter().filter(is_listed).map(describe).collect()
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
