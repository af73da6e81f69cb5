//! How a container is kept apart from the machine and from others, where a user may choose.

use std::collections::BTreeMap;

use super::{
    devices::{Device, DeviceRule},
    users::Users,
};

/// What a container shares with others, and what it is given of the machine, beyond what every container has.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Isolation {
    pub processes: Sharing,
    pub ipc: Ipc,
    /// Has the host's name and NIS domain, not its own.
    pub host_names: bool,
    /// Sees the host's cgroups above its own.
    pub host_cgroups: bool,
    pub users: Users,
    /// Further groups of the process, by name or number.
    pub groups: Vec<String>,
    /// Kernel parameters of the container's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// From -1000 to 1000: how much sooner than others its processes are killed when memory is short.
    pub oom_score: i32,
    /// A path in the tree of cgroups; the engine's own if it is empty.
    pub cgroup_parent: String,
    pub devices: Vec<Device>,
    pub device_rules: Vec<DeviceRule>,
    pub device_requests: Vec<DeviceRequest>,
    /// What the user gave as security options and `inspect` gives back.
    pub security_options: Vec<String>,
    /// Hides and protects no paths of /proc and /sys.
    pub unconfined_paths: bool,
    pub annotations: BTreeMap<String, String>,
    /// Where the user wanted the id written.
    pub id_file: String,
}

/// Devices that are asked for by what they are, not by their files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceRequest {
    /// The device with this full name of the Container Device Interface.
    Named(String),
    /// The first so many graphics processors; all, if nothing is said.
    Processors(Option<u32>),
    /// Graphics processors by the vendor's names.
    Chosen(Vec<String>),
}

impl DeviceRequest {
    pub(super) fn is_for_processors(&self) -> bool {
        !matches!(self, DeviceRequest::Named(_))
    }

    /// The full names of what is asked for, where graphics processors are devices of this kind.
    pub(super) fn names(&self, kind: &str) -> Vec<String> {
        let processor = |name: &dyn std::fmt::Display| format!("{kind}={name}");
        match self {
            DeviceRequest::Named(name) => vec![name.clone()],
            DeviceRequest::Processors(None) => vec![processor(&"all")],
            DeviceRequest::Processors(Some(count)) => (0..*count).map(|index| processor(&index)).collect(),
            DeviceRequest::Chosen(names) => names.iter().map(|name| processor(name)).collect(),
        }
    }
}

/// Whose namespace a container is in.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    #[default]
    Own,
    Host,
    /// That of another container: any reference to it when asked for, its id once created.
    Container(String),
}

/// Whose System V objects, message queues and /dev/shm a container has.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipc {
    #[default]
    Private,
    /// Its own, which others may join.
    Shareable,
    /// Its own, and no /dev/shm.
    None,
    Host,
    /// As for [`Sharing::Container`].
    Container(String),
}
