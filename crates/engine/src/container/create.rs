//! Creating a container: what the user asked for, the image's defaults, and a name.

use std::{collections::BTreeMap, fs, io, path::Path};

use image::config::Configuration;
use monitor::{Lock, Restart};
use types::{Bytes, Name, Port};

use super::{
    config::{
        Config, HealthAction, HealthCheck, Limits, Mount, MountSource, Seccomp, Streams, Ulimit, VolumesFrom,
    },
    isolation::{Ipc, Isolation, Sharing},
    log_config::LogConfig,
    networking::{EndpointSettings, Naming, NetworkMode},
    status::Container,
    users::Users,
    validate,
};
use crate::{
    Engine,
    error::EngineError,
    names, quota, settings,
    state::{ContainerRow, Durability},
    volume,
};

/// What a user asks of a container. What is left open is the image's to say.
#[derive(Debug, Clone, Default)]
pub struct Create {
    pub name: Option<String>,
    pub image: String,
    /// Replaces the image's entry point, and its command with it. An empty word means none.
    pub entrypoint: Option<Vec<String>>,
    pub command: Vec<String>,
    /// `NAME=value`, later ones win.
    pub env: Vec<String>,
    pub working_directory: Option<String>,
    pub user: Option<String>,
    pub hostname: Option<String>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub attach: Streams,
    pub log: LogConfig,
    pub labels: Vec<(String, String)>,
    pub expose: Vec<Port>,
    pub publish: Vec<types::Publish>,
    pub publish_all: bool,
    pub mounts: Vec<Mount>,
    pub volumes_from: Vec<VolumesFrom>,
    /// Makes the volumes that say nothing of it themselves.
    pub volume_driver: String,
    /// The networks to be in, by name, id, or docker's words for a mode; the default one if there are none.
    pub networks: Vec<(String, EndpointSettings)>,
    pub naming: Naming,
    pub limits: Limits,
    pub ulimits: Vec<Ulimit>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub privileged: bool,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub read_only: bool,
    pub init: bool,
    pub auto_remove: bool,
    pub start_at_once: bool,
    pub stop_signal: Option<String>,
    pub stop_timeout: Option<i32>,
    pub restart: Restart,
    /// What is left open of it is the image's to say.
    pub health: HealthCheck,
    pub health_on_failure: HealthAction,
    pub isolation: Isolation,
}

impl Engine {
    /// Creates a container. It is recorded before anything of it exists and found complete or not at all.
    ///
    /// The returned lock keeps everybody else from taking the container for one whose start was interrupted.
    pub fn create(&self, request: Create) -> Result<(Container, monitor::Lock), EngineError> {
        let (found, image) = self.stored_image(&request.image)?;
        let name = request.name.as_deref().map(|name| name.strip_prefix('/').unwrap_or(name).parse::<Name>());
        let name = name.transpose()?;
        let id = names::random_id()?;
        request.log.check()?;
        let storage = self.storage_limit(&request.limits.storage)?;
        let (mut config, anonymous) = self.merge(request, &image.config, found.id)?;
        if let NetworkMode::Container(other) = &config.network.mode {
            config.hostname = self.container(&other.to_string())?.config.hostname;
        }
        if config.hostname.is_empty() {
            config.hostname = id.short();
        }
        let directory = self.root.join("containers").join(id.to_string());
        let lock = make_directory(&directory, &["upper", "work", "rootfs"])?;
        if let Some(bytes) = storage {
            let [upper, work] = ["upper", "work"].map(|part| directory.join(part));
            // Together: overlayfs moves files from one to the other, which it may not between projects.
            if let Err(source) = quota::limit(&self.root, &[&upper, &work], bytes) {
                crate::remove_tree(&directory)?;
                return Err(EngineError::File { path: directory, source });
            }
        }
        let durability = if config.auto_remove { Durability::Lazy } else { Durability::Synced };
        let mut row = ContainerRow {
            id,
            name: match name.clone() {
                Some(name) => name,
                None => names::random_name()?,
            },
            created: crate::now(),
            image: found.manifest,
            config,
        };
        let mut volumes = Vec::new();
        let inserted = self.state.write(durability, |state| {
            // Removed since, or come again by another manifest.
            match state.image_by_id(&row.config.image_id)? {
                Some(image) => row.image = image.manifest,
                None => return Err(EngineError::NoImage(row.config.image.clone())),
            }
            for volume in &anonymous {
                if self.record_volume(state, volume)? {
                    volumes.push(&volume.name);
                }
            }
            // A name of ours that is taken is drawn again; one that the user chose is an error.
            while name.is_none() && state.container_by_name(&row.name)?.is_some() {
                row.name = names::random_name()?;
            }
            state.insert_container(&row)
        });
        match inserted {
            Ok(()) => {
                let container = self.of_row(row);
                volumes.into_iter().for_each(|name| self.note_volume(name, "create"));
                self.note(&container, "create", &[]);
                Ok((container, lock))
            }
            Err(error) => {
                crate::remove_tree(&directory)?;
                Err(error)
            }
        }
    }

    /// How many bytes a container's files may take, as `options` say.
    fn storage_limit(&self, options: &BTreeMap<String, String>) -> Result<Option<u64>, EngineError> {
        if options.is_empty() {
            return Ok(None);
        }
        if let Some(unknown) = options.keys().find(|key| key.to_lowercase() != "size") {
            return Err(EngineError::Invalid(format!("Unknown option {unknown}")));
        }
        let sizes = options.values().map(|size| size.parse::<Bytes>()).collect::<Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|error| EngineError::Invalid(error.to_string()))?;
        if !quota::is_supported(&self.root) {
            return Err(EngineError::NoStorageQuota);
        }
        Ok(sizes.into_iter().map(|Bytes(bytes)| bytes).filter(|bytes| *bytes > 0).min())
    }

    /// Fills in from the image what the request leaves open. The volumes are those nobody named.
    fn merge(
        &self,
        request: Create,
        image: &Configuration,
        image_id: types::Digest,
    ) -> Result<(Config, Vec<crate::state::VolumeRow>), EngineError> {
        let mut network = self.networking(&request)?;
        self.resolve_links(&mut network)?;
        let defaults = &image.config;
        let (entrypoint, command) = match request.entrypoint {
            Some(entrypoint) => {
                (entrypoint.into_iter().filter(|word| !word.is_empty()).collect(), request.command)
            }
            None => {
                let command = match request.command.is_empty() {
                    true => defaults.cmd.clone().unwrap_or_default(),
                    false => request.command,
                };
                (defaults.entrypoint.clone().unwrap_or_default(), command)
            }
        };
        if entrypoint.is_empty() && command.is_empty() {
            return Err(EngineError::NoCommand);
        }
        if let Some(directory) = request.working_directory.as_deref().filter(|path| !path.starts_with('/')) {
            return Err(EngineError::Invalid(format!(
                "the working directory '{directory}' is invalid, it needs to be an absolute path"
            )));
        }
        validate::limits(&request.limits)?;
        validate::isolation(&request.isolation)?;
        if request.isolation.host_names && request.hostname.is_some() {
            return Err(EngineError::Conflict("hostname and the UTS mode".to_owned()));
        }
        let mut isolation = self.sharing_by_id(request.isolation)?;
        isolation.users = users(&isolation, &network.mode, request.privileged)?;
        super::spec::capabilities(&request.cap_add, &request.cap_drop, request.privileged)?;
        let mut exposed = request.expose;
        for port in &defaults.exposed_ports.0 {
            exposed.extend(Port::parse_range(port).map_err(|error| EngineError::Invalid(error.to_string()))?);
        }
        exposed.extend(request.publish.iter().map(|publish| publish.container));
        exposed.sort();
        exposed.dedup();
        let mut mounts = request.mounts;
        for mount in &mut mounts {
            mount.named = matches!(&mount.source, MountSource::Volume(name) if !name.is_empty());
        }
        let mut mounts = self.with_volumes_from(mounts, &request.volumes_from)?;
        for mount in &mut mounts {
            if let Some(path) = mount.missing() {
                return Err(EngineError::NoBindSource(path.to_owned()));
            }
            if let MountSource::Image { name, manifest } = &mut mount.source {
                *manifest = Some(self.stored_image(name)?.0.manifest);
            }
            if mount.is_volume() && mount.driver.is_empty() {
                mount.driver.clone_from(&request.volume_driver);
            }
        }
        let (mounts, anonymous) = volume::complete(mounts, defaults.volumes.0.iter())?;
        let mut labels: Vec<_> =
            defaults.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        labels.retain(|(key, _)| !request.labels.iter().any(|(other, _)| other == key));
        labels.extend(request.labels);
        labels.sort();
        let config = Config {
            image: request.image,
            image_id,
            entrypoint,
            command,
            env: merge_environment(&defaults.env, request.env),
            working_directory: request
                .working_directory
                .map(|path| clean(&path))
                .or_else(|| given(&defaults.working_dir))
                .unwrap_or_default(),
            user: request.user.or_else(|| given(&defaults.user)).unwrap_or_default(),
            hostname: request.hostname.unwrap_or_default(),
            tty: request.tty,
            open_stdin: request.open_stdin,
            stdin_once: request.stdin_once,
            attach: request.attach,
            log: request.log,
            labels,
            exposed,
            publish: request.publish,
            publish_all: request.publish_all,
            mounts,
            network,
            naming: request.naming,
            limits: request.limits,
            ulimits: request.ulimits,
            cap_add: request.cap_add.iter().map(|name| super::spec::full_capability(name)).collect(),
            cap_drop: request.cap_drop.iter().map(|name| super::spec::full_capability(name)).collect(),
            privileged: request.privileged,
            no_new_privileges: request.no_new_privileges,
            seccomp: request.seccomp,
            read_only: request.read_only,
            init: request.init,
            auto_remove: request.auto_remove,
            start_at_once: request.start_at_once,
            stop_signal: request.stop_signal.or_else(|| given(&defaults.stop_signal)),
            stop_timeout: request.stop_timeout,
            restart: request.restart,
            health: request.health.over(image_health(defaults))?,
            health_on_failure: request.health_on_failure,
            shell: defaults.shell.clone(),
            isolation,
        };
        Ok((config, anonymous))
    }

    /// The same with other containers named by their ids, which do not change.
    fn sharing_by_id(&self, mut isolation: Isolation) -> Result<Isolation, EngineError> {
        if let Sharing::Container(name) = &mut isolation.processes {
            *name = self.container(name)?.id.to_string();
        }
        if let Ipc::Container(name) = &mut isolation.ipc {
            *name = self.container(name)?.id.to_string();
        }
        Ok(isolation)
    }

    /// Adds what other containers have mounted, where nothing else is to be.
    fn with_volumes_from(
        &self,
        mut mounts: Vec<Mount>,
        others: &[VolumesFrom],
    ) -> Result<Vec<Mount>, EngineError> {
        let own = mounts.len();
        for VolumesFrom { container, read_only } in others {
            for mut mount in self.container(container)?.config.mounts {
                let is_file = matches!(mount.source, MountSource::Bind(_) | MountSource::Volume(_));
                if !is_file || mounts[..own].iter().any(|other| other.destination == mount.destination) {
                    continue;
                }
                mount.read_only |= read_only;
                // Of several that have something there, the last counts.
                let position = mounts.iter().position(|other| other.destination == mount.destination);
                match position {
                    Some(position) => mounts[position] = mount,
                    None => mounts.push(mount),
                }
            }
        }
        Ok(mounts)
    }
}

/// Whose numbers a container's users have, by what was asked and else by the machine's settings. Refuses, in docker's words,
/// what a user namespace does not go with.
pub(super) fn users(
    isolation: &Isolation,
    network: &NetworkMode,
    privileged: bool,
) -> Result<Users, EngineError> {
    let joins = matches!(isolation.processes, Sharing::Container(_))
        || matches!(isolation.ipc, Ipc::Container(_))
        || matches!(network, NetworkMode::Container(_));
    let users = match isolation.users {
        Users::Unsaid if !joins => settings::users()?,
        said => said,
    };
    let conflict = |why: &'static str| Err(EngineError::UserNamespace(why));
    match users {
        Users::Unsaid | Users::Host => Ok(users),
        Users::Auto { .. } if sys::rootless::is_rootless() => conflict(
            "user namespaces of containers take root: an ordinary user's containers share the user's own",
        ),
        Users::Auto { .. } if joins => {
            conflict("a container that joins another's namespaces has the user namespace of that one")
        }
        Users::Auto { .. } if privileged => conflict(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        ),
        Users::Auto { .. } if *network == NetworkMode::Host => {
            conflict("cannot share the host's network namespace when user namespaces are enabled")
        }
        Users::Auto { .. } if isolation.processes == Sharing::Host => {
            conflict("cannot share the host PID namespace when user namespaces are enabled")
        }
        Users::Auto { .. } => Ok(users),
    }
}

/// Makes a container's directory with what is to be in it, locked.
///
/// Until it is locked, a sweep may take it for one whose maker was killed, and remove it: then it is made again.
pub(super) fn make_directory(directory: &Path, parts: &[&str]) -> Result<Lock, EngineError> {
    let attempt = || -> io::Result<Option<Lock>> {
        parts.iter().try_for_each(|part| fs::create_dir_all(directory.join(part)))?;
        let lock = Lock::try_take(directory)?;
        Ok(lock.filter(|_| parts.iter().all(|part| directory.join(part).exists())))
    };
    loop {
        match attempt() {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {}
            Err(source) => {
                // Of no use to anybody. What cannot be removed either is swept up with what killed commands leave.
                let _ = crate::remove_tree(directory);
                return Err(EngineError::File { path: directory.to_owned(), source });
            }
        }
    }
}

fn image_health(defaults: &image::config::Execution) -> HealthCheck {
    let check = defaults.healthcheck.clone().unwrap_or_default();
    HealthCheck {
        test: check.test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

/// What the image says, if it says anything.
fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// An absolute path without `.`, `..` and what is empty, as it is written: nothing is looked up.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The user's environment, each name where it stood last, and what only the image has.
fn merge_environment(image: &[String], user: Vec<String>) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = Vec::with_capacity(image.len() + user.len());
    for entry in user {
        merged.retain(|other| name(other) != name(&entry));
        merged.push(entry);
    }
    for entry in image {
        if !merged.iter().any(|other| name(other) == name(entry)) {
            merged.push(entry.clone());
        }
    }
    merged
}

/// Whether a mount is of a volume with this name.
pub(crate) fn uses_volume(config: &Config, name: &str) -> bool {
    config.mounts.iter().any(|mount| matches!(&mount.source, MountSource::Volume(volume) if volume == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_as_it_is_written() {
        for (path, expected) in [("/a/../b/", "/b"), ("/", "/"), ("/../..", "/"), ("/a//./b", "/a/b")] {
            assert_eq!(clean(path), expected);
        }
    }

    #[test]
    fn the_users_environment_comes_before_the_images_and_wins() {
        let image = ["PATH=/bin", "A=1", "B=2"].map(str::to_owned);
        let merged = merge_environment(&image, vec!["A=3".into(), "C=4".into(), "C=5".into()]);
        assert_eq!(merged, ["A=3", "C=5", "PATH=/bin", "B=2"]);
    }
}
