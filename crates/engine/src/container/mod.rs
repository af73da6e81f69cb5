//! One isolated process tree started from an image: what it is, what became of it, and what can be asked of it.

mod cdi;
mod changes;
mod claims;
mod config;
mod connect;
mod create;
mod devices;
mod discard;
mod exec;
mod files;
mod filter;
mod isolation;
mod lifecycle;
mod links;
mod log_config;
mod log_receiver;
mod log_tag;
mod logs;
mod networking;
mod processes;
mod profile;
mod prune;
mod reach;
mod rename;
mod revive;
mod spec;
mod start;
mod status;
mod step;
mod update;
mod users;
mod validate;

pub(crate) use self::create::uses_volume;
pub use monitor::{
    Part, Restart, Status,
    health::{Health, State as HealthState},
    log::Stream,
};

pub(crate) use self::start::hosts_resolv_conf;
pub use self::{
    cdi::is_name as is_cdi_name,
    changes::{Change, ChangeKind, Commit},
    config::{
        Below, Config, DEFAULT_PIDS, HealthAction, HealthCheck, Limits, Measure, Mount, MountSource,
        Ownership, Seccomp, Streams, SwapLimit, Throttle, Ulimit, VolumesFrom,
    },
    create::Create,
    devices::{Device, DeviceRule, InvalidDeviceRule},
    exec::{Exec, ExecIo, Execution},
    files::{FileFound, Files, Purpose, copy_in},
    filter::ContainerFilters,
    isolation::{DeviceRequest, Ipc, Isolation, Sharing},
    lifecycle::{Force, Grace, Volumes},
    log_config::{LogConfig, attributes as log_attributes},
    logs::LogOptions,
    networking::{EndpointSettings, Membership, Naming, NetworkMode, Networking},
    processes::Sample,
    prune::{PruneFilters, PrunedContainers},
    reach::{ExplainedPort, Surroundings},
    spec::{MASKED, READ_ONLY},
    start::{Attach, Attached, REMOVAL_ROLE},
    status::Container,
    step::{Access, ExtraHost, HostAddress, SecretContent, Step, StepMount, StepSource, Talk},
    update::Update,
    users::{InvalidUsers, Users},
};
