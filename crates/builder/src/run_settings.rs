//! What the command line says about the processes of RUN.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

pub use engine::container::{ExtraHost, HostAddress, Limits, SecretContent, SwapLimit, Ulimit};

/// What processes of RUN are given, and what they may do.
#[derive(Debug, Clone, Default)]
pub struct RunSettings {
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, Secret>,
    /// `--ssh`: sockets of agents, by id.
    pub agents: BTreeMap<String, PathBuf>,
    /// `--allow`.
    pub allowed: Vec<Privilege>,
    /// `--add-host`.
    pub hosts: Vec<ExtraHost>,
    pub limits: Limits,
    pub ulimits: Vec<Ulimit>,
    /// The cgroup that theirs are made in.
    pub cgroup_parent: Option<String>,
}

/// Where a secret is. It is read when a process needs it.
#[derive(Debug, Clone)]
pub enum Secret {
    File(PathBuf),
    Content(SecretContent),
}

/// What a Dockerfile may ask for only if the user allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    HostNetwork,
    Insecure,
}

impl Privilege {
    /// The name that `--allow` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Privilege::HostNetwork => "network.host",
            Privilege::Insecure => "security.insecure",
        }
    }
}

/// No privilege is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown entitlement {0:?}")]
pub struct UnknownPrivilege(String);

impl FromStr for Privilege {
    type Err = UnknownPrivilege;

    fn from_str(name: &str) -> Result<Privilege, UnknownPrivilege> {
        let known = [Privilege::HostNetwork, Privilege::Insecure];
        known.into_iter().find(|known| known.name() == name).ok_or_else(|| UnknownPrivilege(name.to_owned()))
    }
}
