//! What the engine can refuse or fail at, in the words docker's users know.

use std::{io, path::PathBuf};

use distribution::ClientError;
use runtime::cgroup::CgroupError;
use rustix::io::Errno;
use types::{ContainerId, Name, NetworkName, Platform};

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("No such container: {0}")]
    NoContainer(String),
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousId(String),
    #[error("No such image: {0}")]
    NoImage(String),
    #[error(
        "image with reference {name} was found but its platform ({has}) does not match the specified platform ({wanted})"
    )]
    OtherPlatform { name: String, has: Box<Platform>, wanted: Box<Platform> },
    #[error("An image does not exist locally with the tag: {0}")]
    NotHere(String),
    #[error("no matching manifest for {platform} in the manifest list entries of {name}")]
    NoPlatform { name: String, platform: types::Platform },
    #[error("the registry's manifest is invalid")]
    Manifest(#[from] image::manifest::InvalidDocument),
    #[error(transparent)]
    Unusable(#[from] image::manifest::UnusableType),
    #[error(transparent)]
    Registry(#[from] ClientError),
    #[error("Could not find the file {path} in container {container}")]
    NoFile { path: String, container: String },
    #[error("network {0} not found")]
    NoNetwork(String),
    #[error("get {0}: no such volume")]
    NoVolume(String),
    #[error("create {name}: {why}")]
    InvalidVolume { name: String, why: String },
    #[error("{0}")]
    UserNamespace(&'static str),
    #[error("cannot be root in a user namespace, which containers of ordinary users take")]
    NoUserNamespace(#[source] io::Error),
    #[error("there is no /usr/bin/pasta, by which containers of ordinary users reach the network")]
    NoPasta,
    #[error("networks with driver {0} take root: they are parts of an interface of the host's")]
    DriverOfRoot(crate::network::Driver),
    #[error("to publish ports of SCTP takes root")]
    SctpOfRoot,
    #[error("cannot expose privileged port {port}")]
    PortOfRoot { port: u16, first: u16 },
    #[error("no {size} user numbers left for a container's own")]
    NoUsers { size: u32 },
    #[error("create {name}: quota size requested but no quota support")]
    NoVolumeQuota { name: String },
    #[error("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")]
    NoStorageQuota,
    #[error("remove {name}: volume is in use - [{}]", .users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    VolumeInUse { name: String, users: Vec<ContainerId> },
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}", .0.display())]
    NoBindSource(PathBuf),
    #[error("there is a volume {0} already")]
    VolumeExists(String),
    #[error("nothing called {0} is in the trash")]
    NotInTrash(String),
    #[error("the trash is empty")]
    EmptyTrash,
    #[error("volume {0} holds files already")]
    VolumeNotEmpty(String),
    #[error(
        "error while mounting volume '{}': failed to mount local volume: mount {what}: {}", .place.display(), plain(.why)
    )]
    VolumeMount { place: PathBuf, what: String, why: io::Error },
    #[error(
        "error while mounting volume '{}': error resolving passed in network volume address: lookup {host}: no such host",
        .place.display()
    )]
    VolumeAddress { place: PathBuf, host: String },
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove \
         (or rename) that container to be able to reuse that name."
    )]
    NameInUse { name: Name, holder: ContainerId },
    #[error("Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", .0.escape_default())]
    InvalidName(String),
    #[error("network with name {0} already exists")]
    NetworkExists(NetworkName),
    #[error("failed to set up container networking: cannot create endpoint on configuration-only network")]
    NetworkTemplate,
    #[error("{0} is a pre-defined network and cannot be removed")]
    PredefinedNetwork(String),
    #[error("operation is not permitted on predefined {0} network")]
    PredefinedNetworkMade(String),
    #[error("error while removing network: network {name} id {id} has active endpoints ({endpoints})")]
    NetworkInUse { name: NetworkName, id: types::NetworkId, endpoints: String },
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    PoolOverlaps,
    #[error("failed to set up container networking: Address already in use")]
    AddressInUse,
    #[error("Cannot link to a non running container: /{name} AS /{alias}")]
    NotLinkable { name: Name, alias: String },
    #[error("cannot join network namespace of a non running container: {0}")]
    NotJoinable(Name),
    #[error("cannot kill container: {reference}: container {id} is not running")]
    NotRunningToKill { reference: String, id: ContainerId },
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("failed to set up container networking")]
    Join(#[source] Box<EngineError>),
    #[error("Error when allocating new name")]
    Rename(#[source] Box<EngineError>),
    #[error("Cannot update container {container}")]
    Update { container: ContainerId, source: Box<EngineError> },
    #[error("Container {0} is restarting, wait until the container is running")]
    Restarting(ContainerId),
    #[error(
        "cannot remove container \"/{0}\": container is restarting: stop the container before removing or force remove"
    )]
    RestartingStill(Name),
    #[error("Restart policy cannot be updated because AutoRemove is enabled for the container")]
    RestartOfRemoved,
    #[error("Container {0} is already paused")]
    AlreadyPaused(ContainerId),
    #[error("Container {0} is not paused")]
    NotPaused(ContainerId),
    #[error("Container {0} is paused, unpause the container before exec")]
    PausedForExec(Name),
    #[error("cannot start a paused container, try unpause instead")]
    StartOfPaused(Name),
    #[error("cannot remove container \"{0}\": container is paused and must be unpaused first")]
    Paused(Name),
    #[error(
        "cannot remove container \"{0}\": container is running: stop the container before removing or force remove"
    )]
    Running(Name),
    #[error(
        "conflict: unable to remove repository reference {reference:?} (must force) - container {container} is using its referenced image {image}"
    )]
    ReferenceInUse { reference: String, container: String, image: String },
    #[error("conflict: unable to delete {image} ({}) - {why}", if *.forceable { "must be forced" } else { "cannot be forced" })]
    ImageInUse { image: String, forceable: bool, why: String },
    #[error("Bind for {host}:{port} failed: port is already allocated")]
    PortInUse { host: std::net::IpAddr, port: u16, holder: Name },
    #[error("Minimum memory limit allowed is 6MB")]
    LittleMemory,
    #[error("no command specified")]
    NoCommand,
    #[error("invalid mount path: '{0}' mount path must be absolute")]
    RelativeMount(String),
    #[error("invalid {list}: unknown capability: {name:?}")]
    UnknownCapability { list: &'static str, name: String },
    /// A container's log cannot be kept in the way that was asked for.
    #[error("{why}")]
    LogOption { why: String, hint: Option<String> },
    #[error("failed to create task for container: failed to initialize logging driver: {0}")]
    LogDriver(String),
    #[error("conflicting options: {0}")]
    Conflict(String),
    #[error("CDI device injection failed: unresolvable CDI devices {names}")]
    NoDevices {
        names: String,
        /// What was wrong with specifications that could not be read.
        unread: Vec<String>,
    },
    #[error("{0}")]
    Invalid(String),
    /// What docker's command line would not have asked its daemon for.
    #[error("{0}")]
    Usage(String),
    /// The container's process did not start. Its kind decides the exit status.
    #[error(transparent)]
    Start(runtime::Failure),
    #[error("the container's monitor was killed")]
    MonitorLost,
    #[error(
        "failed to set up container networking: no available IPv4 addresses on this network's address pools: {name} ({id})"
    )]
    NoAddress { name: NetworkName, id: types::NetworkId },
    #[error("all predefined address pools have been fully subnetted")]
    NoSubnet,
    #[error(
        "the state is of version {found}, and this sampan knows version {known}: use the one that made it"
    )]
    ForeignState { found: u32, known: u32 },
    #[error("the state database")]
    State(#[source] rusqlite::Error),
    #[error(transparent)]
    Image(#[from] image::store::StoreError),
    #[error(transparent)]
    Archive(#[from] image::archive::ArchiveError),
    #[error(transparent)]
    Network(#[from] network::NetworkError),
    #[error(transparent)]
    Pack(#[from] image::layer::PackError),
    #[error("cannot use {path}", path = .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> EngineError {
        let disks = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Errno::NOSPC,
            Some(rusqlite::ErrorCode::ReadOnly) => Errno::ROFS,
            _ => return EngineError::State(error),
        };
        EngineError::Io(disks.into())
    }
}

impl From<types::InvalidName> for EngineError {
    fn from(types::InvalidName(name): types::InvalidName) -> EngineError {
        EngineError::InvalidName(name)
    }
}

impl From<types::InvalidNetworkName> for EngineError {
    fn from(error: types::InvalidNetworkName) -> EngineError {
        EngineError::Invalid(error.to_string())
    }
}

impl EngineError {
    /// The exit status of `run` for this failure.
    pub fn run_exit_code(&self) -> u8 {
        match self {
            EngineError::Start(failure) => failure.kind.exit_code(),
            // docker tells by the words.
            EngineError::Invalid(text)
            | EngineError::LogOption { why: text, .. }
            | EngineError::LogDriver(text)
                if text.contains("no such file or directory") =>
            {
                127
            }
            _ => 125,
        }
    }

    /// Whether the kernel has refused something, which it would not have refused root.
    fn is_for_lack_of_privileges(&self) -> bool {
        let mut causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        causes.any(|cause| {
            let cause = cause.downcast_ref::<io::Error>();
            cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
        })
    }

    /// What the user may do about it, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        if !rustix::process::geteuid().is_root() && self.is_for_lack_of_privileges() {
            return Some("what belongs to root takes root: try it with sudo".to_owned());
        }
        match self {
            EngineError::NoImage(name) => Some(format!(
                "`sampan images` lists what is here; `sampan load` or `sampan build -t {name} .` adds to it"
            )),
            EngineError::NameInUse { name, .. } => Some(format!(
                "`sampan rm {name}` removes the container that has it, `sampan rename` gives it another name"
            )),
            EngineError::Running(name) | EngineError::RestartingStill(name) => {
                Some(format!("`sampan stop {name}` ends it, `sampan rm -f {name}` kills and removes it"))
            }
            EngineError::PortInUse { holder, .. } => Some(format!(
                "container {holder} has it; choose another host port with -p HOST:CONTAINER, or leave it out for a free one"
            )),
            EngineError::NoNetwork(name) => Some(format!(
                "`sampan network create {name}` makes it, `sampan network ls` lists what is here"
            )),
            EngineError::Registry(ClientError::Lookup { .. } | ClientError::Unreachable { .. }) => {
                Some("`sampan images` lists what is here; behind a proxy, HTTPS_PROXY says which".into())
            }
            EngineError::Registry(
                ClientError::Unauthorized(refusal)
                | ClientError::Denied(refusal)
                | ClientError::PullDenied { refusal, .. },
            ) => Some(format!("`sampan login {}` logs in", refusal.registry)),
            EngineError::VolumeInUse { users, .. } => {
                let users: Vec<String> = users.iter().map(types::ContainerId::short).collect();
                Some(format!("`sampan rm {}` removes what uses it", users.join(" ")))
            }
            EngineError::NoDevices { unread, .. } => Some(match unread.as_slice() {
                [] => "devices are what the specifications in /etc/cdi and /var/run/cdi say".to_owned(),
                unread => format!("not all specifications can be read: {}", unread.join("; ")),
            }),
            EngineError::NotInTrash(_) => Some("`sampan trash ls` lists what is there".into()),
            EngineError::LogOption { hint, .. } => hint.clone(),
            EngineError::LogDriver(_) => {
                Some("`sampan run --log-driver local` keeps the log in files of this machine".into())
            }
            EngineError::NoVolumeQuota { .. } | EngineError::NoStorageQuota => {
                Some("sizes are kept where the file system of --root is ext4 or xfs and mounted with prjquota".into())
            }
            EngineError::Cgroup(CgroupError::NoController { .. }) if sys::rootless::is_rootless() => Some(
                "docs/rootless.md says how a user gets cgroups: with systemd, `systemd-run --user --scope sampan …` has them".into(),
            ),
            EngineError::UserNamespace(_) => {
                Some("with `--userns host` its users are the host's".into())
            }
            EngineError::NoUserNamespace(_) => Some(
                "see the settings user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns; root needs none".into(),
            ),
            EngineError::NoPasta => Some(
                "the package passt has it; with `--network host` or `--network none` a container does without".into(),
            ),
            EngineError::DriverOfRoot(_) => Some("networks with driver bridge are for everybody".into()),
            EngineError::PortOfRoot { port, first } => Some(format!(
                "choose {first} or a higher port, or have it be everybody's: `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`"
            )),
            EngineError::SctpOfRoot => Some("ports of TCP and UDP are published for everybody".into()),
            EngineError::NoUsers { .. } => Some(
                "`--userns auto:size=N` takes fewer; /etc/subuid and /etc/subgid say how many the user containers has".into(),
            ),
            EngineError::NoVolume(_) => Some("`sampan volume ls` lists what is here".into()),
            EngineError::VolumeNotEmpty(name) => {
                Some(format!("`sampan volume import --force {name} …` replaces what it holds"))
            }
            EngineError::NetworkInUse { name, .. } => Some(format!(
                "`sampan network inspect {name}` shows who is in it, `sampan network disconnect` takes them out"
            )),
            EngineError::PoolOverlaps => {
                Some("`sampan network inspect` shows the subnets of the others; without --subnet a free one is found".into())
            }
            EngineError::AddressInUse => {
                Some("`sampan network inspect` shows who has which address; without --ip a free one is found".into())
            }
            EngineError::NotJoinable(name) | EngineError::NotLinkable { name, .. } => Some(format!("`sampan start {name}` starts it")),
            EngineError::Rename(error) | EngineError::Join(error) => error.hint(),
            EngineError::Paused(name) => Some(format!(
                "`sampan unpause {name}` lets it go on, `sampan rm -f {name}` kills and removes it"
            )),
            EngineError::StartOfPaused(name) | EngineError::PausedForExec(name) => {
                Some(format!("`sampan unpause {name}` lets it go on"))
            }
            EngineError::AlreadyPaused(id) => {
                Some(format!("`sampan unpause {}` lets it go on", id.short()))
            }
            EngineError::NotRunning(name) => Some(format!("`sampan start {name}` starts it")),
            EngineError::Start(failure) if failure.kind == runtime::FailureKind::Mismatch => Some(
                "a file can only be mounted on a file, and a directory on a directory; a source that is missing becomes a directory"
                    .into(),
            ),
            EngineError::Io(error) | EngineError::File { source: error, .. }
                if error.kind() == io::ErrorKind::StorageFull =>
            {
                Some("`sampan system df` shows what uses the disk".into())
            }
            EngineError::Io(error) | EngineError::File { source: error, .. }
                if error.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                Some("`findmnt` shows how it is mounted; after an error of the disk, `dmesg` says more".into())
            }
            _ => None,
        }
    }
}

/// The kernel's words for an error as other programs print them: without a capital, and without a number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    let mut letters = words.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_privileges_is_told_from_what_does_not_work() {
        let file = |kind: io::ErrorKind| EngineError::File { path: "/x".into(), source: kind.into() };
        let denied = || file(io::ErrorKind::PermissionDenied);
        assert!(denied().is_for_lack_of_privileges());
        assert!(EngineError::Join(Box::new(denied())).is_for_lack_of_privileges());
        assert!(!file(io::ErrorKind::NotFound).is_for_lack_of_privileges());
        assert!(!EngineError::NoCommand.is_for_lack_of_privileges());
    }
}
