//! Starting a container, and waiting for it.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

pub(super) use monitor::OnAbandon;
use monitor::{Gifts, Input, LaunchError, Lock, Order, Part, Running, Status, TerminalSize};
use network::{Attachment, InterfaceName, Mac};
use oci_spec::runtime::Mount;
use runtime::Confidential;
use types::{Digest, Publish};

use super::{
    claims::Claims,
    config::{Config, MountSource, NetworkMode},
    spec::{self, Places},
    status::Container,
};
use crate::{Engine, error::EngineError, network::Network};

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
    pub(super) fn abandon(&self) -> io::Result<()> {
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
        let layers = self.layers_of(container)?;
        self.launch(container, layers, Extras::default(), lock, attach, OnAbandon::LetRun)
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
        let config = &container.config;
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
        let places = Places {
            directory: &container.directory,
            layers: &layers,
            volumes,
            images,
            mounts: &extras.mounts,
        };
        let spec = spec::build(config, &places)?;
        runtime::bundle::store(&spec, &container.directory).map_err(|error| container.file_error(error))?;
        let network = self.network_of(&config.network)?;
        let claims = network.as_ref().map(|network| self.claim(container, network)).transpose()?;
        write_host_files(container, claims.as_ref().map(|claims| claims.address), &extras.hosts)?;
        let order = Order {
            id: container.id,
            cgroup_parent: extras.cgroup_parent.unwrap_or_else(|| self.cgroup_parent()),
            terminal: terminal_size(config.tty, attach),
            input: match (config.open_stdin, config.stdin_once) {
                (false, _) => Input::Closed,
                (true, false) => Input::Open,
                (true, true) => Input::Once,
            },
            network: network.map(|network| self.order_network(container, &network, claims)).transpose()?,
            log: monitor::log::Limits::default(),
            on_abandon,
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
        let wanted: Vec<&Publish> =
            container.config.publish.iter().filter(|p| p.host_port.is_some()).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        for other in self.containers()?.into_iter().filter(|other| other.id != container.id) {
            let Status::Running(started) = other.status()? else { continue };
            let clash = |publish: &&&Publish| started.publish.iter().any(|taken| collide(publish, taken));
            if let Some(Publish { host_ip, host_port: Some(port), .. }) = wanted.iter().find(clash) {
                let host = host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
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

    /// A lowest layer for every container, with the places where the engine mounts something. An image that lacks
    /// them would otherwise show them among a container's changes, and in every layer that is built on it.
    fn mount_points(&self) -> Result<PathBuf, EngineError> {
        let tree = self.root().join("mount-points");
        let make = || {
            for directory in ["dev", "etc", "proc"] {
                fs::create_dir_all(tree.join(directory))?;
            }
            for file in ["etc/hostname", "etc/hosts", "etc/resolv.conf"] {
                fs::OpenOptions::new().create(true).append(true).open(tree.join(file))?;
            }
            // Last: a tree that has it is complete.
            fs::create_dir_all(tree.join("sys"))
        };
        if !tree.join("sys").exists() {
            make().map_err(|source| EngineError::File { path: tree.clone(), source })?;
        }
        Ok(tree)
    }

    /// The right to start a container that exists: `None` if it runs already.
    pub fn lock_to_start(&self, container: &Container) -> Result<Option<Lock>, EngineError> {
        match container.status()? {
            Status::Running(_) => Ok(None),
            Status::Created | Status::Exited(_) => container.lock_unless_running(),
        }
    }

    fn order_network(
        &self,
        container: &Container,
        network: &Network,
        claims: Option<Claims>,
    ) -> Result<monitor::Network, EngineError> {
        let claims = claims.ok_or_else(|| EngineError::NoAddress(network.name.clone()))?;
        network.bridge().ensure(&self.firewall()?)?;
        let config = &container.config;
        let mut publish = config.publish.clone();
        if config.publish_all {
            let missing =
                config.exposed.iter().filter(|port| !config.publish.iter().any(|p| p.container == **port));
            publish.extend(missing.map(|port| Publish { host_ip: None, host_port: None, container: *port }));
        }
        let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let (names, upstreams) = match config.network {
            NetworkMode::User { .. } => {
                (vec![self.network_directory(&network.id)], network::upstreams(&host))
            }
            _ => (Vec::new(), Vec::new()),
        };
        Ok(monitor::Network {
            table: self.table(),
            attachments: vec![Attachment {
                bridge: network.config.bridge.clone(),
                host_interface: InterfaceName::veth(&container.id, 0),
                interface: InterfaceName::eth(0),
                address: claims.address,
                prefix: network.config.subnet.prefix_len(),
                gateway: (!network.config.internal).then_some(network.config.gateway),
                mac: Mac::of(claims.address),
                mtu: None,
                isolated: false,
            }],
            publish,
            names,
            upstreams,
            claims: claims.files,
        })
    }

    /// The cgroup that the containers of this engine are in.
    pub(crate) fn cgroup_parent(&self) -> String {
        match self.suffix().as_str() {
            "" => "sampan".to_owned(),
            suffix => format!("sampan-{suffix}"),
        }
    }

    /// What a monitor executes when a container that is to be removed has ended and nobody waits for it.
    fn removal_command(&self, container: &Container) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        vec![REMOVAL_ROLE.to_owned(), path(&self.root), path(&self.run), container.id.to_string()]
    }
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
fn write_host_files(
    container: &Container,
    address: Option<Ipv4Addr>,
    extra: &str,
) -> Result<(), EngineError> {
    let config = &container.config;
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let write = |name: &str, content: &str| {
        fs::write(container.directory.join(name), content).map_err(|error| container.file_error(error))
    };
    if config.network == NetworkMode::Host {
        write("hosts", &format!("{}{extra}", read("/etc/hosts")))?;
        write("hostname", &read("/etc/hostname"))?;
        return write("resolv.conf", &read("/etc/resolv.conf"));
    }
    let own = address.map(|address| format!("{address}\t{}\n", config.hostname)).unwrap_or_default();
    write("hosts", &format!("{HOSTS}{own}{extra}"))?;
    write("hostname", &format!("{}\n", config.hostname))?;
    let mode = match config.network {
        NetworkMode::User { .. } => network::Mode::Embedded,
        _ => network::Mode::Host,
    };
    write("resolv.conf", &network::resolv_conf(&read("/etc/resolv.conf"), mode))
}

fn launch_error(error: LaunchError) -> EngineError {
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
