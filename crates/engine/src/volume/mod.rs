//! Volumes: directories that outlive the containers that use them.
//!
//! `<root>/volumes/<name>/_data` is what a container sees. One that nobody named has 64 hex digits for a name and
//! goes with its container. One with options has something mounted there while it is used.
//!
//! A volume's row is written before its directory is made. To remove it, the directory is renamed to
//! `.removed.<random>.<name>` in the transaction that deletes the row; if that is interrupted, the row says whether
//! the directory is to come back or to go.

mod archive;
mod filter;
mod local;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use monitor::VolumeUse;
use types::{ContainerId, Name};

pub use self::{
    archive::Replace,
    filter::{VolumeFilters, Volumes},
};
use crate::{
    Engine,
    container::{Container, Mount, MountSource},
    error::EngineError,
    names, quota,
    state::{Durability, State, VolumeConfig, VolumeRow},
    usage::Measure,
};

/// A volume, as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    pub created: Timestamp,
    /// Nobody gave it a name.
    pub anonymous: bool,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    /// The directory that containers see.
    pub directory: PathBuf,
}

/// What a user asks of a volume.
#[derive(Debug, Clone, Default)]
pub struct NewVolume {
    pub name: Option<String>,
    /// `local` if it is empty.
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
}

/// What pruning took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedVolumes {
    pub names: Vec<String>,
    /// The disk space it gave back.
    pub bytes: u64,
}

/// Adds a volume for each directory that the image declares to be one and that nothing is mounted on, and gives
/// names to the volumes that have none. Returns the mounts, and the volumes that are to be made for them.
pub(crate) fn complete<'a>(
    mut mounts: Vec<Mount>,
    declared: impl Iterator<Item = &'a String>,
) -> Result<(Vec<Mount>, Vec<VolumeRow>), EngineError> {
    for destination in declared {
        if !mounts.iter().any(|mount| same_place(&mount.destination, destination)) {
            let source = MountSource::Volume(String::new());
            mounts.push(Mount { copy_up: true, ..Mount::new(source, destination) });
        }
    }
    let mut rows = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        if !mount.destination.starts_with('/') {
            return Err(EngineError::RelativeMount(mount.destination.clone()));
        }
        if mounts[..index].iter().any(|other| same_place(&other.destination, &mount.destination)) {
            return Err(EngineError::Invalid(format!("Duplicate mount point: {}", mount.destination)));
        }
    }
    for mount in &mut mounts {
        if let MountSource::Volume(name) = &mut mount.source {
            // That of a container whose volumes this one is to have has its name, and is there.
            let row = row(NewVolume {
                name: Some(name.clone()),
                driver: mount.driver.clone(),
                labels: mount.labels.clone(),
                options: mount.options.clone(),
            })?;
            name.clone_from(&row.name);
            rows.push(row);
        }
    }
    // Parents before what lies in them.
    mounts.sort_by(|a, b| a.destination.trim_end_matches('/').cmp(b.destination.trim_end_matches('/')));
    Ok((mounts, rows))
}

fn same_place(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// The row of a volume that is to be made. An empty name is none.
fn row(new: NewVolume) -> Result<VolumeRow, EngineError> {
    let name = new.name.filter(|name| !name.is_empty());
    let anonymous = name.is_none();
    let name = match name {
        Some(name) => name,
        None => names::random_id::<()>()?.to_string(),
    };
    let refused = |why: String| EngineError::InvalidVolume { name: name.clone(), why };
    if !matches!(new.driver.as_str(), "" | "local") {
        let driver = &new.driver;
        return Err(refused(format!("error looking up volume plugin {driver}: plugin {driver:?} not found")));
    }
    check_name(&name).map_err(refused)?;
    local::check(&new.options).map_err(refused)?;
    let config = VolumeConfig { labels: new.labels, options: new.options };
    Ok(VolumeRow { name, created: crate::now(), anonymous, config })
}

/// What docker says of a name that a volume cannot have.
fn check_name(name: &str) -> Result<(), String> {
    match name.parse::<Name>() {
        Ok(_) => Ok(()),
        Err(_) if name.len() == 1 => {
            Err("volume name is too short, names should be at least two alphanumeric characters".to_owned())
        }
        Err(_) => Err(format!(
            "{name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )),
    }
}

impl Engine {
    /// Makes a volume. One that is there already is returned as it is.
    pub fn create_volume(&self, new: NewVolume) -> Result<Volume, EngineError> {
        let row = row(new)?;
        let is_new = self.state.write(Durability::Synced, |state| self.record_volume(state, &row))?;
        self.volume_directory(&row.name)?;
        if is_new {
            self.note_volume(&row.name, "create");
        }
        self.volume(&row.name)
    }

    /// The volume of this name.
    pub fn volume(&self, name: &str) -> Result<Volume, EngineError> {
        let row = self.state.volume(name)?.ok_or_else(|| EngineError::NoVolume(name.to_owned()))?;
        Ok(self.of_volume_row(row))
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        Ok(self.state.volumes()?.into_iter().map(|row| self.of_volume_row(row)).collect())
    }

    fn of_volume_row(&self, row: VolumeRow) -> Volume {
        let VolumeConfig { mut labels, options } = row.config;
        if row.anonymous {
            labels.entry(ANONYMOUS.to_owned()).or_default();
        }
        Volume {
            directory: self.volume_place(&row.name).join(DATA),
            name: row.name,
            created: crate::timestamp(row.created),
            anonymous: row.anonymous,
            labels,
            options,
        }
    }

    /// Which containers use a volume, whether they run or not.
    pub fn volume_users(&self, name: &str) -> Result<Vec<ContainerId>, EngineError> {
        let users = self.containers()?.into_iter();
        let users = users.filter(|container| crate::container::uses_volume(&container.config, name));
        Ok(users.map(|container| container.id).collect())
    }

    /// Removes a volume that no container uses.
    pub fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let removed = self.state.remove(Durability::Synced, |state| {
            if state.volume(name)?.is_none() {
                return Err(EngineError::NoVolume(name.to_owned()));
            }
            match self.volume_users(name)? {
                users if users.is_empty() => self.take_away(state, name, self.keeps_trash()),
                users => Err(EngineError::VolumeInUse { name: name.to_owned(), users }),
            }
        })?;
        removed.map_or(Ok(()), |directory| crate::remove_tree(&directory))?;
        self.note_volume(name, "destroy");
        Ok(())
    }

    /// The volumes that are meant and that none of `containers` uses. As with docker, not those with options: what they hold is
    /// mounted from elsewhere, and removing them gives nothing back.
    pub(crate) fn unneeded_volumes(
        &self,
        volumes: Volumes,
        filters: &VolumeFilters,
        containers: &[Container],
    ) -> Result<Vec<Volume>, EngineError> {
        let is_used = |volume: &Volume| {
            containers.iter().any(|user| crate::container::uses_volume(&user.config, &volume.name))
        };
        let mut unneeded = self.select_volumes(filters)?;
        unneeded.retain(|volume| {
            let is_meant = volumes == Volumes::All || volume.anonymous;
            is_meant && volume.options.is_empty() && !is_used(volume)
        });
        Ok(unneeded)
    }

    /// Removes the volumes that are meant and that no container uses.
    pub fn prune_volumes(
        &self,
        volumes: Volumes,
        filters: &VolumeFilters,
    ) -> Result<PrunedVolumes, EngineError> {
        let mut pruned = PrunedVolumes::default();
        let removed = self.state.remove(Durability::Synced, |state| {
            let mut removed = Vec::new();
            let mut measure = Measure::default();
            for volume in self.unneeded_volumes(volumes, filters, &self.containers()?)? {
                pruned.bytes += measure.tree(&self.volume_place(&volume.name))?;
                removed.extend(self.take_away(state, &volume.name, self.keeps_trash())?);
                pruned.names.push(volume.name);
            }
            Ok(removed)
        })?;
        removed.iter().try_for_each(|directory| crate::remove_tree(directory))?;
        pruned.names.iter().for_each(|name| self.note_volume(name, "destroy"));
        self.note_pruned("volume", pruned.bytes);
        Ok(pruned)
    }

    /// Removes the volumes of `container` that were made for it alone.
    pub(crate) fn remove_anonymous_volumes(&self, container: &Container) -> Result<(), EngineError> {
        for mount in &container.config.mounts {
            let MountSource::Volume(name) = &mount.source else { continue };
            if mount.named || !self.state.volume(name)?.is_some_and(|volume| volume.anonymous) {
                continue;
            }
            let removed = self.state.remove(Durability::Lazy, |state| {
                if self.volume_users(name)?.into_iter().any(|user| user != container.id) {
                    return Ok(None);
                }
                // What removes itself is gone for good.
                let keep = self.keeps_trash() && !container.config.auto_remove;
                self.take_away(state, name, keep).map(Some)
            })?;
            if let Some(directory) = removed {
                directory.map_or(Ok(()), |directory| crate::remove_tree(&directory))?;
                self.note_volume(name, "destroy");
            }
        }
        Ok(())
    }

    /// Records a volume unless it exists, in a transaction of the caller's; whether it did not.
    pub(crate) fn record_volume(&self, state: &State, row: &VolumeRow) -> Result<bool, EngineError> {
        let place = self.volume_place(&row.name);
        if !state.ensure_volume(row)? {
            return Ok(false);
        }
        if local::size(&row.config.options).is_some() && !quota::is_supported(&self.root) {
            return Err(EngineError::NoVolumeQuota { name: row.name.clone() });
        }
        if place.exists() {
            // Left by somebody who was killed before the volume was recorded: no part of this one.
            fs::rename(&place, self.aside(&row.name)?)?;
        }
        Ok(true)
    }

    /// Forgets a volume, in a transaction of the caller's, and moves its directory out of the way: into the trash if it is
    /// to be kept and can be. If not, returns where it is then, for the caller to remove after the transaction.
    fn take_away(&self, state: &State, name: &str, keep: bool) -> Result<Option<PathBuf>, EngineError> {
        let place = self.volume_place(name);
        let row = state.volume(name)?;
        state.delete_volume(name)?;
        if let (true, Some(row)) = (keep, row)
            && self.throw_volume_away(state, row, &place)?.is_some()
        {
            return Ok(None);
        }
        let aside = self.aside(name)?;
        match fs::rename(&place, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(EngineError::File { path: place, source: error })
            }
            _ => Ok(Some(aside)),
        }
    }

    /// The directory of a volume, made if this is its first use.
    pub(crate) fn volume_directory(&self, name: &str) -> Result<PathBuf, EngineError> {
        let path = self.volume_place(name).join(DATA);
        if path.exists() {
            return Ok(path);
        }
        let size = self.state.volume(name)?.and_then(|row| local::size(&row.config.options));
        let made = match size {
            None => fs::create_dir_all(&path),
            Some(bytes) => self.limited_directory(&path, bytes),
        };
        made.map_err(|source| EngineError::File { path: path.clone(), source })?;
        Ok(path)
    }

    /// Makes a directory that holds so many bytes at most. Nobody finds it before it is limited.
    fn limited_directory(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let aside = path.with_file_name(UNLIMITED);
        fs::create_dir_all(&aside)?;
        quota::limit(&self.root, &[&aside], bytes)?;
        match fs::rename(&aside, path) {
            // Somebody else was faster.
            Err(_) if path.exists() => Ok(()),
            renamed => renamed,
        }
    }

    /// Has a volume mounted, if it is one that takes that, until the use is ended.
    pub(crate) fn begin_use(&self, name: &str, user: &str) -> Result<Option<(VolumeUse, File)>, EngineError> {
        let Some(row) = self.state.volume(name)?.filter(|row| local::takes_a_mount(&row.config.options))
        else {
            return Ok(None);
        };
        let claim = self.run.join("volumes").join(name).join(user);
        let held = VolumeUse { claim, place: self.volume_directory(name)? };
        let file = held.begin(|place| local::mount(&row.config.options, place))?;
        Ok(Some((held, file)))
    }

    /// Has the volumes of a container mounted that take it, until it ends. What was begun is ended again if one fails.
    pub(crate) fn begin_uses(&self, container: &Container) -> Result<Vec<VolumeUse>, EngineError> {
        let mut begun = Vec::new();
        for mount in &container.config.mounts {
            let MountSource::Volume(name) = &mount.source else { continue };
            match self.begin_use(name, &container.id.to_string()) {
                Ok(held) => begun.extend(held.map(|(held, _)| held)),
                Err(error) => {
                    // The first failure is the one to tell.
                    begun.iter().for_each(|held: &VolumeUse| drop(held.end()));
                    return Err(error);
                }
            }
        }
        Ok(begun)
    }

    /// Removes what interrupted commands left of volumes, and unmounts those that nobody uses any more.
    pub(crate) fn sweep_volumes(&self) -> Result<(), EngineError> {
        for entry in fs::read_dir(self.root.join("volumes")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') || try_lock(&entry.path())?.is_none() {
                continue;
            }
            let volume = name.strip_prefix(REMOVED).and_then(|rest| rest.split_once('.'));
            let comes_back = self.state.write(Durability::Lazy, |state| {
                let Some((_, volume)) = volume else { return Ok(false) };
                let place = self.volume_place(volume);
                let comes_back = state.volume(volume)?.is_some() && !place.exists();
                if comes_back {
                    fs::rename(entry.path(), place)?;
                }
                Ok(comes_back)
            })?;
            if !comes_back {
                crate::remove_tree(&entry.path())?;
            }
        }
        for volume in fs::read_dir(self.run.join("volumes")).into_iter().flatten().flatten() {
            for claim in fs::read_dir(volume.path()).into_iter().flatten().flatten() {
                let place = self.volume_place(&volume.file_name().to_string_lossy()).join(DATA);
                let held = VolumeUse { claim: claim.path(), place };
                let user = claim.file_name().to_str().and_then(|id| id.parse().ok());
                let user = user.map(|id| self.state.container_by_id(&id)).transpose()?.flatten();
                // One that is just being started has its lock taken.
                let is_used = match user.map(|row| self.of_row(row)) {
                    Some(container) => container.status()?.is_running() || container.try_lock()?.is_none(),
                    None => try_lock(&claim.path())?.is_none(),
                };
                if !is_used {
                    held.end()?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn volume_place(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name)
    }

    /// A place for a volume's directory on its way out.
    fn aside(&self, name: &str) -> Result<PathBuf, EngineError> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        Ok(self.volume_place(&format!("{REMOVED}{random:016x}.{name}")))
    }
}

/// Locks what is at `path`, unless somebody has it locked; nothing there is as good as locked by somebody.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// The directory in a volume's own that containers see.
const DATA: &str = "_data";
/// What it is called until it is limited.
const UNLIMITED: &str = ".data";
/// How the names of directories begin whose volumes are gone.
const REMOVED: &str = ".removed.";
/// The label by which docker's users know a volume that nobody named.
const ANONYMOUS: &str = "com.docker.volume.anonymous";
