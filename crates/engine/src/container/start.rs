//! Starting a container, and waiting for it.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) use monitor::OnAbandon;
use monitor::{
    Gifts, Input, LaunchError, Lock, Order, Part, Running, Status, TerminalSize,
    health::{Check, Farewell, OnFailure},
    policy,
};
use network::{Attachment, InterfaceName, Ipv6Attachment, Ipv6Subnet, Overrides};
use oci_spec::runtime::Mount;
use runtime::{Confidential, cgroup::Layout};
use types::{Digest, Protocol, Publish, Signal};

use super::{
    claims::Claim,
    config::{Config, HealthAction, MountSource},
    isolation::{Ipc, Sharing},
    lifecycle::Grace,
    links::Linked,
    networking::{Membership, Naming, NetworkMode, Networking},
    spec::{self, Joined, Places, UserNamespace},
    status::Container,
    users::Users,
    validate,
};
use crate::{
    Engine,
    error::EngineError,
    network::{DEFAULT, Driver, Network},
};

/// How the caller takes part in the container's input and output.
#[derive(Debug, Clone, Copy)]
pub enum Attach<'a> {
    /// Not at all: only the log has the output.
    Detached,
    /// Like this, on a terminal of this size if it has one.
    Part(Part<'a>, Option<TerminalSize>),
}

/// What a container's root consists of.
#[derive(Debug)]
pub(super) struct Layers {
    /// Topmost first.
    pub lower: Vec<PathBuf>,
    /// Where changes go, and overlayfs's working directory beside it.
    pub upper: PathBuf,
    pub work: PathBuf,
}

/// What a container gets besides what its configuration says: a build step's, which nobody keeps.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Mounted after all others.
    pub mounts: Vec<Mount>,
    /// Lines for /etc/hosts.
    pub hosts: String,
    pub cgroup_parent: Option<String>,
    pub confidential: Confidential,
    /// How often it was started again.
    pub restarts: u32,
}

/// A started container, as the process sees it that started it.
#[derive(Debug)]
pub struct Attached {
    running: Running,
}

impl Attached {
    /// Takes the way to the container's input, if that was asked for, or its terminal, if it has one.
    pub fn take_input(&mut self) -> Option<OwnedFd> {
        self.running.input.take()
    }

    /// The container's terminal, or the way to its input.
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.running.input.as_ref().map(AsFd::as_fd)
    }

    /// Says that nothing more comes for the container to read from here.
    pub fn input_ended(&self) -> io::Result<()> {
        self.running.input_ended()
    }

    /// Has a container killed that was launched to end with its launcher.
    pub fn abandon(&self) -> io::Result<()> {
        self.running.abandon()
    }

    /// Waits until the container has ended; its exit code.
    pub fn wait(self) -> Result<u8, EngineError> {
        self.running.wait().map_err(launch_error)
    }
}

/// Readable when the container has ended.
impl AsFd for Attached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.running.as_fd()
    }
}

impl Engine {
    /// Starts a container that was just created or has ended.
    ///
    /// `lock` is the right to do so; see [`Engine::lock_to_start`] for a container that exists.
    pub fn start(
        &self,
        container: &Container,
        lock: Lock,
        attach: Attach<'_>,
    ) -> Result<Attached, EngineError> {
        self.start_again(container, lock, attach, 0)
    }

    /// The same for a container that was started again `restarts` times since somebody started it.
    pub(super) fn start_again(
        &self,
        container: &Container,
        lock: Lock,
        attach: Attach<'_>,
        restarts: u32,
    ) -> Result<Attached, EngineError> {
        // They may have been changed, and so may the machine.
        validate::limits(&container.config.limits)?;
        let layers = self.layers_of(container)?;
        let extras = Extras { restarts, ..Extras::default() };
        self.launch(container, layers, extras, lock, attach, OnAbandon::LetRun)
    }

    /// Takes part in a container that runs.
    pub fn attach(&self, container: &Container, part: Part<'_>) -> Result<Attached, EngineError> {
        match monitor::join(&container.directory, part).map_err(launch_error)? {
            Some(running) => Ok(Attached { running }),
            None => Err(EngineError::NotRunning(container.id.to_string())),
        }
    }

    /// Starts a container on top of some layers.
    pub(super) fn launch(
        &self,
        container: &Container,
        mut layers: Layers,
        extras: Extras,
        lock: Lock,
        attach: Attach<'_>,
        on_abandon: OnAbandon,
    ) -> Result<Attached, EngineError> {
        let linked = self.linked(container)?;
        let config = with_links(container, &linked);
        let config = &*config;
        self.add_mount_points(&mut layers)?;
        let mut volumes = HashMap::new();
        for mount in &config.mounts {
            match &mount.source {
                MountSource::Volume(name) => {
                    volumes.insert(name.as_str(), self.volume_directory(name)?);
                }
                MountSource::Bind(source) if mount.must_exist && !source.exists() => {
                    return Err(EngineError::NoBindSource(source.clone()));
                }
                // A source that does not exist becomes a directory, as with docker's -v.
                MountSource::Bind(source) if !source.exists() => {
                    fs::create_dir_all(source)
                        .map_err(|error| EngineError::File { path: source.clone(), source: error })?;
                }
                MountSource::Bind(_) | MountSource::Tmpfs(_) | MountSource::Image { .. } => {}
            }
        }
        let images = self.mounted_images(config)?;
        let host = self.network_host(config)?;
        let joined = Joined { network: host.as_ref().map(|host| host.process), ..self.joined(config)? };
        let (users, users_claim) = self.user_namespace(container, config, &joined)?.unzip();
        let places = Places {
            directory: &container.directory,
            layers: &layers,
            volumes,
            images,
            mounts: &extras.mounts,
            joined: &joined,
            users,
        };
        let spec = spec::build(config, &places)?;
        runtime::bundle::store(&spec, &container.directory).map_err(|error| container.file_error(error))?;
        let (log_format, log) = config.log.files(container)?;
        let errand = config.log.errand(container)?;
        let networks = self.networks_of(&config.network)?;
        let claims = self.claim_all(container, &networks)?;
        match host {
            Some(host) => host.share_files(container)?,
            None => {
                let was_here = container.directory.join("hosts").exists();
                let named = self.named_hosts(config, &networks, &linked)?;
                write_host_files(container, &claims, &format!("{named}{}", extras.hosts))?;
                self.write_resolv_conf(container, &config.network)?;
                let default = networks.iter().position(|(_, network)| *network.name == *DEFAULT);
                // Nobody is linked to one that was not there before.
                if let Some(nth) = default.filter(|_| was_here) {
                    self.tell_linking(container, claims[nth].address)?;
                }
            }
        }
        let directory = &container.directory;
        let policy = policy::clear_stopped(directory).and_then(|()| config.restart.store(directory));
        policy.map_err(|error| container.file_error(error))?;
        if on_abandon == OnAbandon::LetRun {
            self.brief(container, &config.network)?;
        }
        let order = Order {
            id: container.id,
            cgroup_parent: extras.cgroup_parent.unwrap_or_else(|| self.cgroup_parent_of(config)),
            delegated: Layout::detect()?.delegated().map(Path::to_owned),
            terminal: terminal_size(config.tty, attach),
            input: match (config.open_stdin, config.stdin_once) {
                (false, _) => Input::Closed,
                (true, false) => Input::Open,
                (true, true) => Input::Once,
            },
            network: self.order_network(container, &networks, claims)?,
            namespace: sys::rootless::is_rootless().then(|| self.run.join(crate::NAMESPACE)),
            claims: users_claim.flatten().into_iter().collect(),
            log,
            log_format,
            errand,
            on_abandon,
            restarts: extras.restarts,
            health: health_check(config)?,
            farewell: farewell(config),
            confidential: !extras.confidential.is_empty(),
            afterwards: (config.auto_remove && on_abandon == OnAbandon::LetRun)
                .then(|| self.removal_command(container)),
            // Last, for nothing may fail between this and the launch.
            volumes: self.begin_uses(container)?,
        };
        let part = match attach {
            Attach::Detached => None,
            Attach::Part(part, _) => Some(part),
        };
        let confidential = order.confidential.then(|| extras.confidential.pack()).transpose()?;
        let gifts = Gifts { part, confidential: confidential.as_ref().map(AsFd::as_fd) };
        match monitor::launch(&order, &container.directory, lock, gifts) {
            Ok(running) => Ok(Attached { running }),
            Err(error) => Err(self.port_conflict(container)?.unwrap_or_else(|| launch_error(error))),
        }
    }

    /// The layers of the images that a container has mounted, topmost first.
    pub(super) fn mounted_images(
        &self,
        config: &Config,
    ) -> Result<HashMap<Digest, Vec<PathBuf>>, EngineError> {
        let mut images = HashMap::new();
        for mount in &config.mounts {
            if let MountSource::Image { manifest: Some(manifest), .. } = &mount.source {
                let image = self.images().image(manifest)?;
                images.insert(*manifest, self.images().layer_directories(&image)?);
            }
        }
        Ok(images)
    }

    /// Which other container has a port that this one, which did not start, was to publish.
    fn port_conflict(&self, container: &Container) -> Result<Option<EngineError>, EngineError> {
        let wanted: Vec<&Publish> = container
            .config
            .publish
            .iter()
            .filter(|p| p.host_port.is_some() && p.host_port_last.is_none())
            .collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        for other in self.containers()?.into_iter().filter(|other| other.id != container.id) {
            let status = other.status()?;
            let Some(started) = status.started() else { continue };
            let clash = |publish: &&&Publish| started.publish.iter().any(|taken| collide(publish, taken));
            if let Some(Publish { host_ip, host_port: Some(port), .. }) = wanted.iter().find(clash) {
                let host = host_ip.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
                return Ok(Some(EngineError::PortInUse { host, port: *port, holder: other.name }));
            }
        }
        Ok(None)
    }

    /// Adds the lowest layer of every container.
    pub(super) fn add_mount_points(&self, layers: &mut Layers) -> Result<(), EngineError> {
        layers.lower.push(self.mount_points()?);
        // Equal layers are one directory, which overlayfs refuses twice. What is higher hides what is lower.
        let mut seen = HashSet::new();
        layers.lower.retain(|directory| seen.insert(directory.clone()));
        Ok(())
    }

    /// A lowest layer for every container, with the places where the engine mounts something, and with what programs look for
    /// in a container of docker's. An image that lacks them would otherwise show them among a container's changes, and in
    /// every layer that is built on it.
    fn mount_points(&self) -> Result<PathBuf, EngineError> {
        let tree = self.root().join("mount-points");
        // Made last: a tree that has it is complete.
        let mounts = tree.join("etc/mtab");
        let make = || {
            for directory in ["dev/pts", "dev/shm", "etc", "proc", "sys"] {
                fs::create_dir_all(tree.join(directory))?;
            }
            for file in [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"] {
                fs::OpenOptions::new().create(true).append(true).mode(0o755).open(tree.join(file))?;
            }
            match symlink("/proc/mounts", &mounts) {
                // By somebody else, just now.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        };
        if !mounts.is_symlink() {
            make().map_err(|source| EngineError::File { path: tree.clone(), source })?;
        }
        Ok(tree)
    }

    /// The right to start a container that exists: `None` if it runs already.
    pub fn lock_to_start(&self, container: &Container) -> Result<Option<Lock>, EngineError> {
        match container.status()? {
            Status::Running(_) | Status::Restarting(_) => Ok(None),
            Status::Paused(_) => Err(EngineError::StartOfPaused(container.name.clone())),
            Status::Created | Status::Exited(_) => container.lock_unless_running(),
        }
    }

    fn order_network(
        &self,
        container: &Container,
        networks: &[(&Membership, Network)],
        claims: Vec<Claim>,
    ) -> Result<Option<monitor::Network>, EngineError> {
        let is_ours = matches!(container.config.network.mode, NetworkMode::Bridge | NetworkMode::User(_));
        if !is_ours {
            return Ok(None);
        }
        let leads_out = networks.iter().any(|(_, network)| !network.config.internal);
        if sys::rootless::is_rootless() && leads_out && !monitor::pasta::is_installed() {
            return Err(EngineError::NoPasta);
        }
        self.bring_up(networks.iter().map(|(_, network)| network))?;
        let way_out = way_out(networks);
        let attachments =
            networks.iter().zip(&claims).enumerate().map(|(nth, ((membership, network), claim))| {
                attachment(container, membership, network, claim, nth as u8, way_out == Some(nth))
            });
        let config = &container.config;
        let mut publish = all_ports(config);
        if let Some((_, network)) = way_out.map(|nth| &networks[nth]) {
            publish.iter_mut().for_each(|p| p.host_ip = p.host_ip.or(network.config.host_binding()));
            if network.config.driver != Driver::Bridge {
                // Its ports are open to its neighbours as they are, and the host is none.
                publish.clear();
            }
        }
        if sys::rootless::is_rootless() {
            check_ports(&publish)?;
        }
        let mut connected = monitor::Network {
            rootless: self.rootless_netns(),
            table: self.table(),
            attachments: attachments.collect(),
            publish,
            names: Vec::new(),
            upstreams: Vec::new(),
            claims: claims.into_iter().flat_map(|claim| claim.files).collect(),
        };
        self.answer_names(&mut connected, networks, &config.naming);
        Ok(Some(connected))
    }

    /// Has the names of these networks answered, and others asked for if one of them has a way out.
    pub(super) fn answer_names(
        &self,
        connected: &mut monitor::Network,
        networks: &[(&Membership, Network)],
        naming: &Naming,
    ) {
        let with_names = networks.iter().filter(|(_, network)| *network.name != *DEFAULT);
        connected.names = with_names.map(|(_, network)| self.network_directory(&network.id)).collect();
        let leads_out = networks.iter().any(|(_, network)| !network.config.internal);
        connected.upstreams = match leads_out && !connected.names.is_empty() {
            true => network::upstreams(&hosts_resolv_conf(), &naming.servers),
            false => Vec::new(),
        };
    }

    /// Writes the file that says whom a container asks for names.
    pub(super) fn write_resolv_conf(
        &self,
        container: &Container,
        networking: &Networking,
    ) -> Result<(), EngineError> {
        let mode = match networking.mode {
            NetworkMode::Host => network::Mode::Shared,
            _ if networking.has_names() => network::Mode::Embedded,
            _ => network::Mode::Host,
        };
        let Naming { servers, search, options, .. } = &container.config.naming;
        let contents =
            network::resolv_conf(&hosts_resolv_conf(), mode, &Overrides { servers, search, options });
        fs::write(container.directory.join("resolv.conf"), contents)
            .map_err(|error| container.file_error(error))
    }

    /// The lines of /etc/hosts for what the user named, and for the containers that this one is linked to where names are
    /// not resolved.
    fn named_hosts(
        &self,
        config: &Config,
        networks: &[(&Membership, Network)],
        linked: &[Linked],
    ) -> Result<String, EngineError> {
        let mut lines = String::new();
        for (name, address) in &config.naming.hosts {
            lines.push_str(&self.host_line(name, *address)?);
        }
        linked.iter().for_each(|other| lines.push_str(&other.line()));
        let with_names = networks.iter().filter(|(_, network)| *network.name != *DEFAULT);
        for (membership, network) in with_names {
            for (name, alias) in &membership.settings.links {
                let other = self.container(name)?;
                let endpoints = self.endpoints(network)?;
                // Where names are resolved, docker lets a link lead nowhere.
                let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.container == other.id) else {
                    continue;
                };
                let mut names = vec![alias.as_str(), &other.config.hostname, &*other.name];
                names.dedup();
                lines.push_str(&format!("{}\t{}\n", endpoint.address, names.join(" ")));
            }
        }
        Ok(lines)
    }

    /// The running container whose network this one is to have.
    fn network_host(&self, config: &Config) -> Result<Option<NetworkHost>, EngineError> {
        let NetworkMode::Container(id) = &config.network.mode else { return Ok(None) };
        let container = self.container(&id.to_string())?;
        match container.status()?.started() {
            Some(started) => Ok(Some(NetworkHost { process: started.pid, directory: container.directory })),
            None => Err(EngineError::NotJoinable(container.name)),
        }
    }

    /// The cgroup that the containers of this engine are in.
    pub(crate) fn cgroup_parent(&self) -> String {
        match self.suffix().as_str() {
            "" => "sampan".to_owned(),
            suffix => format!("sampan-{suffix}"),
        }
    }

    /// The cgroup that a container is in.
    pub(crate) fn cgroup_parent_of(&self, config: &Config) -> String {
        match config.isolation.cgroup_parent.as_str() {
            "" => self.cgroup_parent(),
            parent => parent.to_owned(),
        }
    }

    /// The running processes whose namespaces the container is to have.
    fn joined(&self, config: &Config) -> Result<Joined, EngineError> {
        let refuse = |kind: &str, why: &dyn std::fmt::Display| {
            EngineError::Invalid(format!("failed to join {kind} namespace: {why}"))
        };
        let running = |kind: &str, id: &str| match self.container(id) {
            Err(error) => Err(refuse(kind, &error)),
            Ok(other) => match other.status()? {
                Status::Running(started) => Ok((other, started.pid)),
                _ => Err(refuse(kind, &EngineError::NotRunning(id.to_owned()))),
            },
        };
        let mut joined = Joined::default();
        if let Sharing::Container(id) = &config.isolation.processes {
            joined.processes = Some(running("PID", id)?.1);
        }
        if let Ipc::Container(id) = &config.isolation.ipc {
            let (other, pid) = running("IPC", id)?;
            if !matches!(other.config.isolation.ipc, Ipc::Shareable) {
                let why = "non-shareable IPC (hint: use IpcMode:shareable for the donor container)";
                return Err(refuse("IPC", &format_args!("container {id}: {why}")));
            }
            joined.ipc = Some(pid);
        }
        Ok(joined)
    }

    /// The user namespace that the container is to have, if it is not the host's, and the claim of a range of users that comes
    /// with one of its own.
    fn user_namespace(
        &self,
        container: &Container,
        config: &Config,
        joined: &Joined,
    ) -> Result<Option<(UserNamespace, Option<PathBuf>)>, EngineError> {
        match config.isolation.users {
            Users::Host => Ok(None),
            Users::Auto { size } => {
                let (range, claim) = self.claim_users(container, size)?;
                Ok(Some((UserNamespace::New(range), Some(claim))))
            }
            // What it joins belongs to a user namespace: in any other, even its root would have no say there.
            Users::Unsaid => {
                let own = fs::metadata("/proc/self/ns/user")?.ino();
                let mut found: Option<(i32, u64)> = None;
                for process in joined.all() {
                    let theirs = fs::metadata(format!("/proc/{process}/ns/user"))?.ino();
                    if found.is_some_and(|(_, other)| other != theirs) {
                        let why = "containers with different user namespaces cannot be joined at once";
                        return Err(EngineError::Invalid(why.to_owned()));
                    }
                    found = Some((process, theirs));
                }
                let found = found.filter(|(_, namespace)| *namespace != own);
                Ok(found.map(|(process, _)| (UserNamespace::Of(process), None)))
            }
        }
    }

    /// What a monitor executes when a container that is to be removed has ended and nobody waits for it.
    fn removal_command(&self, container: &Container) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        vec![REMOVAL_ROLE.to_owned(), path(&self.root), path(&self.run), container.id.to_string()]
    }
}

/// The ports that a container publishes, and how.
fn all_ports(config: &Config) -> Vec<Publish> {
    let mut publish = config.publish.clone();
    if config.publish_all {
        let missing =
            config.exposed.iter().filter(|port| !config.publish.iter().any(|p| p.container == **port));
        publish.extend(missing.map(|port| Publish::anywhere(*port)));
    }
    publish
}

/// Whether these are ports that an ordinary user can publish.
fn check_ports(publish: &[Publish]) -> Result<(), EngineError> {
    if publish.iter().any(|one| one.container.protocol == Protocol::Sctp) {
        return Err(EngineError::SctpOfRoot);
    }
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let first = first.trim().parse().unwrap_or(0);
    match publish.iter().filter_map(|one| one.host_port).find(|port| *port != 0 && *port < first) {
        Some(port) => Err(EngineError::PortOfRoot { port, first }),
        None => Ok(()),
    }
}

/// The configuration of a container, with the variables that tell of those it is linked to. Its own come after them.
pub(super) fn with_links<'a>(container: &'a Container, linked: &[Linked]) -> Cow<'a, Config> {
    if linked.is_empty() {
        return Cow::Borrowed(&container.config);
    }
    let mut config = container.config.clone();
    let told = linked.iter().flat_map(|other| other.variables(&container.name));
    config.env = told.chain(std::mem::take(&mut config.env)).collect();
    Cow::Owned(config)
}

/// A container that another one has the network of.
struct NetworkHost {
    /// Its first process, as the host numbers it.
    process: i32,
    directory: PathBuf,
}

impl NetworkHost {
    /// Makes `container` call itself and others what its host does.
    fn share_files(&self, container: &Container) -> Result<(), EngineError> {
        for name in ["hosts", "hostname", "resolv.conf"] {
            fs::copy(self.directory.join(name), container.directory.join(name))
                .map_err(|error| container.file_error(error))?;
        }
        Ok(())
    }
}

/// Which of several networks a container reaches the world by: the one with the highest priority that has a way out, of
/// equals the first by name.
pub(super) fn way_out(networks: &[(&Membership, Network)]) -> Option<usize> {
    let open = networks.iter().enumerate().filter(|(_, (_, network))| !network.config.internal);
    let best = open.min_by_key(|(_, (membership, network))| {
        (std::cmp::Reverse(membership.settings.gateway_priority), network.name.clone())
    });
    best.map(|(nth, _)| nth)
}

/// A container's `nth` interface.
pub(super) fn attachment(
    container: &Container,
    membership: &Membership,
    network: &Network,
    claim: &Claim,
    nth: u8,
    is_way_out: bool,
) -> Attachment {
    let bridge = network.bridge();
    let (parent, wiring) = network.wiring();
    Attachment {
        bridge: parent,
        wiring,
        host_interface: InterfaceName::veth(&container.id, nth),
        interface: InterfaceName::eth(nth),
        address: claim.address,
        prefix: bridge.subnet.prefix_len(),
        gateway: is_way_out.then_some(bridge.gateway),
        mac: claim.mac,
        mtu: bridge.mtu,
        isolated: !bridge.icc,
        ipv6: claim.address6.zip(bridge.ipv6).map(|(address, Ipv6Subnet { subnet, gateway })| {
            Ipv6Attachment { address, prefix: subnet.prefix_len(), gateway: is_way_out.then_some(gateway) }
        }),
        link_local: membership.settings.link_local.clone(),
    }
}

/// The host's resolv.conf, or the one behind it if that only names a stub.
pub fn hosts_resolv_conf() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    match read("/etc/resolv.conf") {
        host if network::is_stub(&host) => match read(network::SYSTEMD_RESOLV_CONF) {
            behind if behind.is_empty() => host,
            behind => behind,
        },
        host => host,
    }
}

/// How the monitor is to look after the container, if it is.
fn health_check(config: &Config) -> Result<Option<Check>, EngineError> {
    let Some(check) = &config.health else { return Ok(None) };
    let Some(arguments) = check.arguments(config.shell.as_deref()) else { return Ok(None) };
    let time = |nanoseconds: i64, usual| match u64::try_from(nanoseconds) {
        Ok(nanoseconds @ 1..) => Duration::from_nanos(nanoseconds),
        _ => Duration::from_secs(usual),
    };
    let farewell = farewell(config);
    let process = Config { entrypoint: Vec::new(), command: arguments, tty: false, ..config.clone() };
    Ok(Some(Check {
        process: spec::process(&process)?,
        interval: time(check.interval, 30),
        timeout: time(check.timeout, 30),
        retries: u32::try_from(check.retries).ok().filter(|retries| *retries > 0).unwrap_or(3),
        start_period: time(check.start_period, 0),
        start_interval: time(check.start_interval, 5),
        on_failure: match config.health_on_failure {
            HealthAction::None => OnFailure::None,
            HealthAction::Kill => OnFailure::Kill,
            HealthAction::Stop => OnFailure::Stop(farewell),
            HealthAction::Restart => OnFailure::Restart(farewell),
        },
    }))
}

/// How the container is stopped unless told otherwise.
fn farewell(config: &Config) -> Farewell {
    let signal = config.stop_signal.as_deref().and_then(|name| name.parse().ok());
    let grace = match config.grace() {
        Grace::For(grace) => Some(grace),
        Grace::Forever => None,
    };
    Farewell { signal: signal.unwrap_or(Signal::TERM).number(), grace }
}

fn terminal_size(tty: bool, attach: Attach<'_>) -> Option<TerminalSize> {
    match attach {
        Attach::Part(_, Some(size)) if tty => Some(size),
        _ if tty => Some(TerminalSize { columns: 80, rows: 24 }),
        _ => None,
    }
}

/// Whether two ports cannot be published at once.
fn collide(a: &Publish, b: &Publish) -> bool {
    let everywhere = |publish: &Publish| publish.host_ip.is_none_or(|ip| ip.is_unspecified());
    a.host_port == b.host_port
        && a.container.protocol == b.container.protocol
        && (everywhere(a) || everywhere(b) || a.host_ip == b.host_ip)
}

/// The files that name the container and its surroundings to it.
fn write_host_files(container: &Container, claims: &[Claim], extra: &str) -> Result<(), EngineError> {
    let config = &container.config;
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let write = |name: &str, content: &str| {
        fs::write(container.directory.join(name), content).map_err(|error| container.file_error(error))
    };
    if config.network.mode == NetworkMode::Host {
        write("hosts", &format!("{}{extra}", read("/etc/hosts")))?;
        return write("hostname", &read("/etc/hostname"));
    }
    let own: String = claims
        .iter()
        .flat_map(Claim::addresses)
        .map(|at| format!("{at}\t{}\n", config.full_name()))
        .collect();
    write("hosts", &format!("{HOSTS}{extra}{own}"))?;
    write("hostname", &format!("{}\n", config.hostname))
}

pub(super) fn launch_error(error: LaunchError) -> EngineError {
    match error {
        LaunchError::Failed(failure) => EngineError::Start(failure),
        LaunchError::MonitorLost => EngineError::MonitorLost,
        LaunchError::TooSlow => EngineError::Invalid(error.to_string()),
        LaunchError::Monitor(error) => EngineError::Io(error),
    }
}

/// `argv[0]` of the process that removes a container after its end: root, run directory and id follow.
pub const REMOVAL_ROLE: &str = "sampan-remove";

/// What docker writes before a container's own name.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                     ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
