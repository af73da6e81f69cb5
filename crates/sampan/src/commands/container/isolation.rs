//! The options that say what a container shares with others, and what it is given of the machine.

use std::{fs, path::PathBuf};

use clap::Args;
use engine::{
    EngineError,
    container::{Device, DeviceRequest, DeviceRule, Ipc, Isolation, Seccomp, Sharing, Users, is_cdi_name},
};

/// How a container is kept apart.
#[derive(Args)]
pub struct IsolationOptions {
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "map", value_parser = annotation)]
    annotation: Vec<(String, String)>,
    /// Optional parent cgroup for the container
    #[arg(long)]
    cgroup_parent: Option<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long)]
    cgroupns: Option<String>,
    /// Add a host device to the container
    #[arg(long, value_name = "list")]
    device: Vec<String>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "list")]
    device_cgroup_rule: Vec<DeviceRule>,
    /// GPU devices to add to the container ('all' to pass all GPUs)
    #[arg(long, value_name = "gpu-request", value_parser = gpus)]
    gpus: Vec<DeviceRequest>,
    /// Add additional groups to join
    #[arg(long, value_name = "list")]
    group_add: Vec<String>,
    /// IPC mode to use
    #[arg(long)]
    ipc: Option<String>,
    /// Container isolation technology
    #[arg(long)]
    isolation: Option<String>,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true)]
    oom_score_adj: i32,
    /// PID namespace to use
    #[arg(long)]
    pid: Option<String>,
    /// Runtime to use for this container
    #[arg(long)]
    runtime: Option<String>,
    /// Security Options
    #[arg(long, value_name = "list")]
    security_opt: Vec<String>,
    /// Sysctl options
    #[arg(long, value_name = "map", value_parser = sysctl)]
    sysctl: Vec<(String, String)>,
    /// Bind mount Docker API socket and required auth
    #[arg(long)]
    use_api_socket: bool,
    /// User namespace to use (host|auto|auto:size=NUMBER)
    #[arg(long)]
    userns: Option<String>,
    /// UTS namespace to use
    #[arg(long)]
    uts: Option<String>,
}

/// What [`IsolationOptions`] come to.
pub struct Asked {
    pub isolation: Isolation,
    pub seccomp: Seccomp,
    pub no_new_privileges: bool,
}

impl IsolationOptions {
    /// What these options ask of the engine.
    pub fn into_request(self, privileged: bool) -> anyhow::Result<Asked> {
        if self.use_api_socket {
            anyhow::bail!("--use-api-socket: there is no daemon whose socket a container could have");
        }
        match self.isolation.as_deref() {
            None | Some("" | "default") => {}
            Some(other) => {
                let text = format!("invalid isolation ({other}): linux only supports 'default'");
                return Err(EngineError::Invalid(text).into());
            }
        }
        match self.runtime.as_deref() {
            None | Some("" | "runc" | "io.containerd.runc.v2" | "sampan") => {}
            Some(other) => {
                return Err(EngineError::Invalid(format!("unknown or invalid runtime name: {other}")).into());
            }
        }
        let processes = match self.pid.as_deref() {
            None | Some("" | "private") => Sharing::Own,
            Some("host") => Sharing::Host,
            Some(mode) => match mode.strip_prefix("container:").filter(|name| !name.is_empty()) {
                Some(name) => Sharing::Container(name.to_owned()),
                None => anyhow::bail!("--pid: invalid PID mode"),
            },
        };
        let ipc = match self.ipc.as_deref() {
            None | Some("" | "private") => Ipc::Private,
            Some("shareable") => Ipc::Shareable,
            Some("none") => Ipc::None,
            Some("host") => Ipc::Host,
            Some(mode) => match mode.strip_prefix("container:").filter(|name| !name.is_empty()) {
                Some(name) => Ipc::Container(name.to_owned()),
                None => return Err(EngineError::Invalid(format!("invalid IPC mode: {mode}")).into()),
            },
        };
        let is_host = |given: &Option<String>, other: &str, refusal: &'static str| match given.as_deref() {
            None | Some("") => Ok(false),
            Some("host") => Ok(true),
            Some(mode) if mode == other => Ok(false),
            Some(_) => Err(anyhow::anyhow!(refusal)),
        };
        let host_names = is_host(&self.uts, "", "--uts: invalid UTS mode")?;
        let users = self.userns.as_deref().unwrap_or_default().parse::<Users>();
        let users = users.map_err(|error| anyhow::anyhow!("--userns: {error}"))?;
        let host_cgroups = is_host(&self.cgroupns, "private", "--cgroupns: invalid CGROUP mode")?;
        let (named, files): (Vec<_>, Vec<_>) = self.device.into_iter().partition(|text| is_cdi_name(text));
        let devices = files.iter().map(|text| device(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut device_requests = self.gpus;
        device_requests.extend(named.into_iter().map(DeviceRequest::Named));
        let security = Security::parse(&self.security_opt, privileged)?;
        Ok(Asked {
            isolation: Isolation {
                processes,
                ipc,
                host_names,
                host_cgroups,
                users,
                groups: self.group_add,
                sysctls: self.sysctl.into_iter().collect(),
                oom_score: self.oom_score_adj,
                cgroup_parent: self.cgroup_parent.unwrap_or_default(),
                devices,
                device_rules: self.device_cgroup_rule,
                device_requests,
                security_options: security.options,
                unconfined_paths: security.unconfined_paths,
                annotations: self.annotation.into_iter().collect(),
                id_file: String::new(),
            },
            seccomp: security.seccomp,
            no_new_privileges: security.no_new_privileges,
        })
    }
}

/// What `--security-opt` says.
#[derive(Default)]
struct Security {
    /// As `inspect` gives them back.
    options: Vec<String>,
    seccomp: Seccomp,
    no_new_privileges: bool,
    unconfined_paths: bool,
}

impl Security {
    fn parse(given: &[String], privileged: bool) -> anyhow::Result<Security> {
        let mut security = Security::default();
        for option in given {
            let unknown = || EngineError::Invalid(format!("invalid --security-opt 2: {option:?}"));
            let (key, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
                Some(pair) => pair,
                None if option == "no-new-privileges" => ("no-new-privileges", "true"),
                None => anyhow::bail!("Invalid --security-opt: {option:?}"),
            };
            match (key, value) {
                ("no-new-privileges", "1" | "t" | "T" | "TRUE" | "true" | "True") => {
                    security.no_new_privileges = true
                }
                ("no-new-privileges", "0" | "f" | "F" | "FALSE" | "false" | "False") => {
                    security.no_new_privileges = false
                }
                ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
                ("seccomp", "builtin") => security.seccomp = Seccomp::Default,
                ("seccomp", file) => {
                    let profile = profile(file)?;
                    security.options.push(format!("seccomp={profile}"));
                    security.seccomp = Seccomp::Profile(profile);
                    continue;
                }
                ("systempaths", "unconfined") => {
                    security.unconfined_paths = true;
                    continue;
                }
                // This engine sets no labels, on any kernel: there is nothing to turn off or to choose.
                ("label", _) | ("apparmor", "unconfined" | "docker-default") => {}
                ("apparmor", profile) => {
                    let why = "AppArmor profiles are not applied";
                    return Err(EngineError::Invalid(format!("apparmor={profile}: {why}")).into());
                }
                _ => return Err(unknown().into()),
            }
            security.options.push(option.clone());
        }
        if privileged && !security.options.iter().any(|option| option.starts_with("label")) {
            security.options.push("label=disable".to_owned());
        }
        Ok(security)
    }
}

/// A seccomp profile in docker's format, on one line.
fn profile(file: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow::anyhow!("opening seccomp profile ({file}) failed: open {file}: no such file or directory")
        }
        _ => anyhow::anyhow!("opening seccomp profile ({file}) failed: {error}"),
    })?;
    let profile: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        let why = if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() };
        anyhow::anyhow!("compacting json for seccomp profile ({file}) failed: {why}")
    })?;
    Ok(profile.to_string())
}

/// `host[:container][:access]`.
fn device(text: &str) -> anyhow::Result<Device> {
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, access) = match parts.as_slice() {
        [] | ["", ..] | [_, _, _, _, ..] => anyhow::bail!("bad format for path: {text}"),
        [host] => (*host, *host, "rwm"),
        [host, access] if is_access(access) => (*host, *host, *access),
        [host, container] => (*host, *container, "rwm"),
        [_, _, access] if !is_access(access) => anyhow::bail!("bad mode specified: {access}"),
        [host, container, access] => (*host, *container, *access),
    };
    if !container.starts_with('/') {
        anyhow::bail!("{container} is not an absolute path");
    }
    Ok(Device { host: PathBuf::from(host), container: PathBuf::from(container), access: access.to_owned() })
}

/// Whether these are some of the letters for read, write and make, each once.
fn is_access(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|letter| "rwm".contains(letter) && once(letter))
}

/// `all`, a number, or `key=value` with commas between; quotes keep a comma.
fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let count = |text: &str| match text {
        "all" | "-1" => Ok(DeviceRequest::Processors(None)),
        number => number.parse().map(|number| DeviceRequest::Processors(Some(number))).map_err(|_| {
            format!("invalid count ({number}): value must be either \"all\" or an integer: invalid syntax")
        }),
    };
    let mut request = DeviceRequest::Processors(None);
    for field in fields(text) {
        match field.split_once('=') {
            None => request = count(&field)?,
            Some(("count", value)) => request = count(value)?,
            Some(("device", value)) => {
                request = DeviceRequest::Chosen(value.split(',').map(str::to_owned).collect())
            }
            // What a driver is to do with them is in the vendor's file here.
            Some(("driver" | "capabilities" | "options", _)) => {}
            Some((key, _)) => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    Ok(request)
}

/// What stands between commas that are not in quotes, without the quotes.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().into_iter().for_each(|field| field.push(c)),
        }
    }
    fields
}

fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    match key {
        "" => Err(format!("invalid annotation format: {text:?}")),
        key => Ok((key.to_owned(), value.to_owned())),
    }
}

/// A kernel parameter that belongs to a namespace.
fn sysctl(text: &str) -> Result<(String, String), String> {
    const OF_IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let is_namespaced =
        |name: &str| OF_IPC.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.");
    match text.split_once('=') {
        Some((name, value)) if is_namespaced(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("sysctl '{text}' is not allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_device(text: &str, expected: &str) {
        let actual = match device(text) {
            Ok(Device { host, container, access }) => {
                format!("{} {} {access}", host.display(), container.display())
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn devices_are_read_as_docker_reads_them() {
        check_device("/dev/a", "/dev/a /dev/a rwm");
        check_device("/dev/a:r", "/dev/a /dev/a r");
        check_device("/dev/a:/dev/b", "/dev/a /dev/b rwm");
        check_device("/dev/a:/dev/b:rw", "/dev/a /dev/b rw");
        check_device("/dev/a:/dev/b:rr", "bad mode specified: rr");
        check_device("/dev/a:/dev/b:", "bad mode specified: ");
        check_device("a:b:c:d", "bad format for path: a:b:c:d");
        check_device("a", "a is not an absolute path");
        check_device("", "bad format for path: ");
    }

    #[test]
    fn graphics_processors_are_asked_for_by_number_or_name() {
        let chosen =
            |names: &[&str]| DeviceRequest::Chosen(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(gpus("all"), Ok(DeviceRequest::Processors(None)));
        assert_eq!(gpus("2"), Ok(DeviceRequest::Processors(Some(2))));
        assert_eq!(gpus("count=1,capabilities=compute"), Ok(DeviceRequest::Processors(Some(1))));
        assert_eq!(gpus("\"device=0,1\",driver=x"), Ok(chosen(&["0", "1"])));
        assert_eq!(gpus("nosuch=x"), Err("unexpected key 'nosuch' in 'nosuch=x'".to_owned()));
        assert!(gpus("x").is_err());
    }

    #[test]
    fn security_options_are_remembered_as_given() {
        let parse = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            Security::parse(&options, false)
        };
        let security = parse(&["no-new-privileges", "systempaths=unconfined", "label=disable"]).unwrap();
        assert!(security.no_new_privileges && security.unconfined_paths);
        assert_eq!(security.options, ["no-new-privileges", "label=disable"]);
        let refused = |option: &str| parse(&[option]).map(drop).unwrap_err().to_string();
        assert_eq!(refused("nosuch"), "Invalid --security-opt: \"nosuch\"");
        assert_eq!(refused("nosuch=x"), "invalid --security-opt 2: \"nosuch=x\"");
        assert_eq!(
            refused("no-new-privileges:maybe"),
            "invalid --security-opt 2: \"no-new-privileges:maybe\""
        );
    }

    #[test]
    fn only_parameters_of_namespaces_may_be_set() {
        for text in ["net.core.somaxconn=1", "kernel.shmmax=", "fs.mqueue.msg_max=1"] {
            assert!(sysctl(text).is_ok(), "{text}");
        }
        for text in ["kernel.hostname=x", "net.core.somaxconn", "vm.swappiness=1", ""] {
            assert_eq!(sysctl(text), Err(format!("sysctl '{text}' is not allowed")));
        }
    }
}
