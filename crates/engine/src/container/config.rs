//! How a container was configured: everything `create` decided, kept as long as the container.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use monitor::Restart;
use types::{Bytes, Digest, Port, Publish};

use super::{
    log_config::LogConfig,
    networking::{Naming, Networking},
};
use crate::error::EngineError;

use super::isolation::Isolation;

/// A container's configuration, with what the image left open filled in.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// The image as the user named it, and its id.
    pub image: String,
    pub image_id: Digest,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: String,
    /// `user[:group]`, by name or number; empty for root.
    pub user: String,
    pub hostname: String,
    pub tty: bool,
    pub open_stdin: bool,
    /// The input ends with that of the first who took part and could type.
    #[serde(default)]
    pub stdin_once: bool,
    #[serde(default)]
    pub log: LogConfig,
    /// What whoever made the container took part in.
    #[serde(default)]
    pub attach: Streams,
    pub labels: Vec<(String, String)>,
    pub exposed: Vec<Port>,
    pub publish: Vec<Publish>,
    /// Publish every exposed port that is not published already.
    pub publish_all: bool,
    pub mounts: Vec<Mount>,
    pub network: Networking,
    #[serde(default)]
    pub naming: Naming,
    pub limits: Limits,
    pub ulimits: Vec<Ulimit>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub privileged: bool,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub read_only: bool,
    /// Run a small reaper as PID 1.
    pub init: bool,
    /// Remove the container when its process ends.
    pub auto_remove: bool,
    /// Made to be started at once: if it never was, its maker was killed.
    pub start_at_once: bool,
    pub stop_signal: Option<String>,
    /// Seconds; see [`Config::grace`].
    pub stop_timeout: Option<i32>,
    /// What becomes of it when it has ended.
    #[serde(default)]
    pub restart: Restart,
    /// How to see whether it is well.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// What becomes of it when it is not.
    #[serde(default)]
    pub health_on_failure: HealthAction,
    /// The image's shell, for health checks that are a command line.
    #[serde(default)]
    pub shell: Option<Vec<String>>,
    #[serde(default)]
    pub isolation: Isolation,
}

impl Config {
    /// What the container calls itself in /etc/hosts: its host name, before it that with a domain, if there is one.
    pub(super) fn full_name(&self) -> String {
        match self.naming.domain.as_str() {
            "" => self.hostname.clone(),
            domain => format!("{0}.{domain} {0}", self.hostname),
        }
    }

    /// The command line of the container's process.
    pub fn arguments(&self) -> Vec<String> {
        [self.entrypoint.as_slice(), self.command.as_slice()].concat()
    }
}

/// Some of a process's standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Streams {
    pub input: bool,
    pub output: bool,
    pub errors: bool,
}

/// How to see whether a container is well, as docker's users say it. Times are in nanoseconds; 0 is docker's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct HealthCheck {
    /// `NONE`, or `CMD` and arguments, or `CMD-SHELL` and a command line.
    pub test: Vec<String>,
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub start_interval: i64,
    pub retries: i64,
}

impl HealthCheck {
    /// This with the image's check for what is left open. Nothing, if there is nothing to check.
    pub(crate) fn over(self, image: HealthCheck) -> Result<Option<HealthCheck>, EngineError> {
        let or = |own: i64, image: i64| if own == 0 { image } else { own };
        let check = HealthCheck {
            test: if self.test.is_empty() { image.test } else { self.test },
            interval: or(self.interval, image.interval),
            timeout: or(self.timeout, image.timeout),
            start_period: or(self.start_period, image.start_period),
            start_interval: or(self.start_interval, image.start_interval),
            retries: or(self.retries, image.retries),
        };
        let times = [
            ("Interval", check.interval),
            ("Timeout", check.timeout),
            ("StartPeriod", check.start_period),
            ("StartInterval", check.start_interval),
        ];
        for (name, time) in times {
            if time != 0 && time < 1_000_000 {
                return Err(EngineError::Invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
            }
        }
        if check.retries < 0 {
            return Err(EngineError::Invalid("Retries in Healthcheck cannot be negative".to_owned()));
        }
        Ok(Some(check).filter(|check| !check.test.is_empty()))
    }

    /// The command, if there is one: `shell` reads those that are a line.
    pub(crate) fn arguments(&self, shell: Option<&[String]>) -> Option<Vec<String>> {
        match self.test.split_first() {
            Some((kind, arguments)) if kind == "CMD" && !arguments.is_empty() => Some(arguments.to_vec()),
            Some((kind, [line, ..])) if kind == "CMD-SHELL" => {
                let usual = ["/bin/sh".to_owned(), "-c".to_owned()];
                let shell = shell.filter(|shell| !shell.is_empty()).unwrap_or(&usual);
                Some([shell, std::slice::from_ref(line)].concat())
            }
            _ => None,
        }
    }
}

/// What becomes of a container that is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthAction {
    #[default]
    None,
    Restart,
    Stop,
    Kill,
}

/// Something of the host mounted in the container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    pub source: MountSource,
    pub destination: String,
    pub read_only: bool,
    /// `rprivate` and so on; empty for the default.
    pub propagation: String,
    /// Fill an empty volume with what the image has there.
    pub copy_up: bool,
    /// A volume that the user named: it does not go with the container, whoever made it.
    #[serde(default)]
    pub named: bool,
    /// What of a volume or image is mounted: a path in it. Empty for all.
    #[serde(default)]
    pub subpath: String,
    #[serde(default)]
    pub below: Below,
    /// That a directory of the host is missing is an error; otherwise it is made.
    #[serde(default)]
    pub must_exist: bool,
    #[serde(default)]
    pub ownership: Ownership,
    /// What a volume is made with if it is made for this mount.
    #[serde(default)]
    pub driver: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Asked for field by field, as `--mount` does it: docker's API keeps such mounts apart from those of `-v`.
    #[serde(default)]
    pub by_fields: bool,
}

/// What becomes of the mounts below a directory of the host that is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Below {
    /// They come along, read-only if the directory is.
    #[default]
    AsMount,
    /// They come along as they are.
    Writable,
    /// They do not come along.
    Left,
}

/// Whose the files of a mount are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    #[default]
    Own,
    /// What is the source's owner's appears as the container's user's, and the other way round.
    Mapped,
}

/// A container whose volumes another one is to have too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumesFrom {
    pub container: String,
    pub read_only: bool,
}

impl Mount {
    /// A plain one.
    pub fn new(source: MountSource, destination: &str) -> Mount {
        Mount {
            source,
            destination: destination.to_owned(),
            read_only: false,
            propagation: String::new(),
            copy_up: false,
            named: false,
            subpath: String::new(),
            below: Below::default(),
            must_exist: false,
            ownership: Ownership::default(),
            driver: String::new(),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            by_fields: false,
        }
    }

    /// The directory of the host that must be there and is not.
    pub fn missing(&self) -> Option<&Path> {
        match &self.source {
            MountSource::Bind(source) if self.must_exist && !source.exists() => Some(source),
            _ => None,
        }
    }

    /// Whether it is of a volume, and not of something that is the user's own.
    pub fn is_volume(&self) -> bool {
        matches!(self.source, MountSource::Volume(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A directory or file of the host.
    Bind(PathBuf),
    Volume(String),
    /// Memory, with the options given.
    Tmpfs(Vec<String>),
    /// The files of an image, which nobody writes to; the manifest is known once the container is.
    Image {
        name: String,
        manifest: Option<Digest>,
    },
}

/// How many processes a container may have unless told otherwise.
pub const DEFAULT_PIDS: u32 = 4096;

/// What a container may use of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Limits {
    pub memory: Option<Bytes>,
    /// As much swap as memory, if there is a limit of memory and nothing is said here.
    pub memory_swap: Option<SwapLimit>,
    /// Its weight among others; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// In how many microseconds it may use a processor for `cpu_quota` of them.
    pub cpu_period: Option<u64>,
    pub cpu_quota: Option<i64>,
    /// The processors and memory nodes it may use, such as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// The size of /dev/shm; docker's 64 MiB if nothing is said.
    pub shm: Option<Bytes>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// How many processes at most; docker's 0 and -1 for no limit are `None`.
    pub pids: Option<u32>,
    /// How much it is pressed down to when memory is short.
    pub memory_reservation: Option<Bytes>,
    /// From 0 to 100, cgroup v1 only.
    pub memory_swappiness: Option<u64>,
    /// Processes wait when memory is short, instead of being killed; cgroup v1 only.
    pub oom_kill_disable: bool,
    /// Microseconds of real-time scheduling within a period, cgroup v1 only.
    pub cpu_realtime_period: Option<u64>,
    pub cpu_realtime_runtime: Option<i64>,
    pub throttles: Vec<Throttle>,
    /// Of what its files may take, as it was given: `size`.
    pub storage: BTreeMap<String, String>,
}

/// How fast a container may use a device of blocks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Throttle {
    pub device: PathBuf,
    pub measure: Measure,
    /// Per second.
    pub rate: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    BytesRead,
    BytesWritten,
    Reads,
    Writes,
}

/// How much memory and swap a container may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwapLimit {
    Unlimited,
    Total(Bytes),
}

/// A resource limit of the process, see getrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ulimit {
    /// `nofile` and so on.
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    #[default]
    Default,
    Unconfined,
    /// A profile in docker's format, as text.
    Profile(String),
}
