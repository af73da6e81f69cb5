//! `info`: what this engine has, and what the machine offers it.

use std::{fs, process::ExitCode};

use clap::Args;
use engine::{Engine, Status};
use serde_json::{Value, json};
use sys::rootless::is_rootless;

use crate::{
    cli::{Globals, Verb},
    contexts,
    output::{human, json::View},
    session,
};

/// Display system-wide information
#[derive(Args)]
pub struct Info {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
}

impl Verb for Info {
    const NAMES: &'static [&'static str] = &["info", "system info"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let info = describe(&session::open(globals)?, globals)?;
        match self.format.as_deref() {
            Some("json") => println!("{info}"),
            Some(template) => print!("{}", View::parse(Some(template))?.show(&[info])?),
            None => print(&info),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The engine and its machine, as docker's API describes them.
fn describe(engine: &Engine, globals: &Globals) -> anyhow::Result<Value> {
    let (mut running, mut paused, mut all) = (0, 0, 0);
    for container in engine.containers()? {
        all += 1;
        match container.status()? {
            Status::Paused(_) => paused += 1,
            status => running += usize::from(status.is_running()),
        }
    }
    let uname = rustix::system::uname();
    let machine = rustix::system::sysinfo();
    Ok(json!({
        "Containers": all,
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": all - running - paused,
        "Images": engine.list_images()?.len(),
        "Driver": "overlay2",
        "DriverStatus": [["Supports d_type", "true"], ["Using metacopy", "false"], ["userxattr", if is_rootless() { "true" } else { "false" }]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["journald", "json-file", "local", "syslog"],
        },
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "IPv4Forwarding": true,
        "Debug": false,
        "OomKillDisable": !has_one_tree(),
        "LoggingDriver": "local",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if has_one_tree() { "2" } else { "1" },
        "KernelVersion": uname.release().to_string_lossy(),
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": uname.machine().to_string_lossy(),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "NCPU": std::thread::available_parallelism()?.get(),
        "MemTotal": machine.totalram * u64::from(machine.mem_unit),
        "DockerRootDir": engine.root(),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": uname.nodename().to_string_lossy(),
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Runtimes": { "runc": { "path": "sampan" } },
        "DefaultRuntime": "runc",
        "Swarm": { "NodeID": "", "LocalNodeState": "inactive", "ControlAvailable": false },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "sampan",
        "SecurityOptions": security_options(),
        "CDISpecDirs": [],
        "Warnings": null,
        "ClientInfo": {
            "Version": env!("CARGO_PKG_VERSION"),
            "Context": contexts::current(globals),
            "Debug": globals.debug,
            "Plugins": [],
        },
    }))
}

fn print(info: &Value) {
    let text = |key: &str| match &info[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let words = |list: &Value| {
        let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(" ")
    };
    println!("Client:");
    println!(" Version:    {}", text("ServerVersion"));
    println!(" Context:    {}", info["ClientInfo"]["Context"].as_str().unwrap_or_default());
    println!(" Debug Mode: {}", info["ClientInfo"]["Debug"]);
    println!("\nServer:");
    println!(" Containers: {}", text("Containers"));
    println!("  Running: {}", text("ContainersRunning"));
    println!("  Paused: {}", text("ContainersPaused"));
    println!("  Stopped: {}", text("ContainersStopped"));
    println!(" Images: {}", text("Images"));
    println!(" Server Version: {}", text("ServerVersion"));
    println!(" Storage Driver: {}", text("Driver"));
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        println!("  {}: {}", pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    println!(" Logging Driver: {}", text("LoggingDriver"));
    println!(" Cgroup Driver: {}", text("CgroupDriver"));
    println!(" Cgroup Version: {}", text("CgroupVersion"));
    println!(" Plugins:");
    for kind in ["Volume", "Network", "Log"] {
        println!("  {kind}: {}", words(&info["Plugins"][kind]));
    }
    println!(" Swarm: inactive");
    println!(" Runtimes: runc");
    println!(" Default Runtime: {}", text("DefaultRuntime"));
    println!(" Init Binary: {}", text("InitBinary"));
    println!(" Security Options:\n  seccomp\n   Profile: builtin");
    if is_rootless() {
        println!("  rootless");
    }
    println!(" Kernel Version: {}", text("KernelVersion"));
    println!(" Operating System: {}", text("OperatingSystem"));
    println!(" OSType: {}", text("OSType"));
    println!(" Architecture: {}", text("Architecture"));
    println!(" CPUs: {}", text("NCPU"));
    println!(" Total Memory: {}", human::memory(info["MemTotal"].as_u64().unwrap_or(0)));
    println!(" Name: {}", text("Name"));
    println!(" Docker Root Dir: {}", text("DockerRootDir"));
    println!(" Debug Mode: {}", text("Debug"));
    println!(" Experimental: {}", text("ExperimentalBuild"));
    println!(" Live Restore Enabled: {}", text("LiveRestoreEnabled"));
}

/// Whether cgroups are in one tree for all controllers, which is version 2.
fn has_one_tree() -> bool {
    fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false)
}

/// What the machine's distribution calls itself.
fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn security_options() -> Vec<&'static str> {
    let mut options = vec!["name=seccomp,profile=builtin"];
    if is_rootless() {
        options.push("name=rootless");
    }
    options
}
