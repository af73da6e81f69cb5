//! One isolated process tree started from an image: what it is, what became of it, and what can be asked of it.

mod changes;
mod claims;
mod config;
mod connect;
mod create;
mod exec;
mod files;
mod lifecycle;
mod log_config;
mod logs;
mod networking;
mod processes;
mod prune;
mod revive;
mod spec;
mod start;
mod status;
mod step;
mod update;

pub(crate) use self::create::uses_volume;
pub use monitor::{
    Part, Restart, Status,
    health::{Health, State as HealthState},
    log::Stream,
};

pub use self::{
    changes::{Change, ChangeKind, Commit},
    config::{
        Below, Config, HealthAction, HealthCheck, Limits, Mount, MountSource, Ownership, Seccomp, Streams,
        SwapLimit, Ulimit, VolumesFrom,
    },
    create::Create,
    exec::{Exec, ExecIo, Execution},
    files::{FileFound, Files, Purpose, copy_in},
    lifecycle::{Force, Grace, Volumes},
    log_config::{LogConfig, attributes as log_attributes},
    logs::LogOptions,
    networking::{EndpointSettings, Membership, Naming, NetworkMode, Networking},
    processes::Sample,
    prune::{PruneFilters, PrunedContainers},
    start::{Attach, Attached, REMOVAL_ROLE},
    status::Container,
    step::{Access, ExtraHost, HostAddress, SecretContent, Step, StepMount, StepSource, Talk},
    update::Update,
};
