//! What was removed waits a while, and can be had back whole.
//!
//! Removing a container or a volume is, for one who keeps a trash: its row is deleted, a row in the trash is written, and its
//! directory is renamed to `trash/<id>`, all in one transaction. Getting it back is the same the other way round. If
//! either is interrupted, the rows say what did happen, and the directory follows them; see [`Engine::sweep_trash`].
//! Images have no directory of their own: what they stand on stays in the store as long as the trash names them. Networks are
//! their rows.
//!
//! The trash has a budget. What exceeds it goes for good, the oldest first, and so does everything if the disk gets full.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use image::Live;
use jiff::{SignedDuration, Timestamp};
use monitor::Lock;
use types::{Bytes, Digest, Reference};

use crate::{
    Engine,
    container::Container,
    error::EngineError,
    names,
    state::{ContainerRow, Durability, ImageRow, NetworkRow, State, TrashRow, VolumeRow},
    usage::Measure,
};

/// What was removed, with all that it takes to have it back.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    Container(Box<ContainerRow>),
    Volume(VolumeRow),
    Image(RemovedImage),
    Network(Box<NetworkRow>),
}

/// Names that were taken from an image, and perhaps the image itself.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct RemovedImage {
    pub row: ImageRow,
    /// Tags and digests.
    pub names: Vec<String>,
}

/// Whether what is removed can be had back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposal {
    Trash,
    Purge,
}

/// One thing in the trash, or of the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashItem {
    /// What [`Engine::restore`] takes; empty for what is not in the trash yet.
    pub id: String,
    /// `container`, `volume`, `image` or `network`; of what is not in the trash yet, also something that never will be.
    pub kind: &'static str,
    pub name: String,
    pub deleted: Timestamp,
    pub bytes: u64,
}

impl TrashItem {
    /// Something that is not removed yet.
    pub(crate) fn planned(kind: &'static str, name: String, bytes: u64) -> TrashItem {
        TrashItem { id: String::new(), kind, name, deleted: Timestamp::UNIX_EPOCH, bytes }
    }
}

/// The command's own trash: what it removes is one batch.
#[derive(Debug)]
pub(crate) struct Batch {
    id: String,
    budget: u64,
}

impl Removal {
    fn kind(&self) -> &'static str {
        match self {
            Removal::Container(_) => "container",
            Removal::Volume(_) => "volume",
            Removal::Image(_) => "image",
            Removal::Network(_) => "network",
        }
    }

    fn name(&self) -> String {
        match self {
            Removal::Container(row) => row.name.to_string(),
            Removal::Volume(row) => row.name.clone(),
            Removal::Network(row) => row.name.to_string(),
            Removal::Image(image) => {
                let familiar = |name: &String| {
                    name.parse::<Reference>().map_or_else(|_| name.clone(), |name| name.familiar())
                };
                image.names.first().map_or_else(|| image.row.id.short(), familiar)
            }
        }
    }
}

impl Engine {
    /// Has what this engine removes from now on wait in the trash, or not.
    pub fn disposing(mut self, disposal: Disposal, budget: Bytes) -> Engine {
        self.trash = (disposal == Disposal::Trash && budget.0 > 0).then(|| Batch {
            // In the order of time, and one of its own.
            id: format!("{:016x}-{:08x}", crate::now(), std::process::id()),
            budget: budget.0,
        });
        self
    }

    pub(crate) fn keeps_trash(&self) -> bool {
        self.trash.is_some()
    }

    /// What is in the trash, what was removed last first.
    pub fn trash(&self) -> Result<Vec<TrashItem>, EngineError> {
        Ok(self.state.trash()?.iter().map(item).collect())
    }

    /// Brings back what the last command removed that did. Returns what is back, and what was in the way of the rest.
    pub fn undo(&self) -> Result<(Vec<TrashItem>, Vec<EngineError>), EngineError> {
        let rows = self.state.trash()?;
        let Some(last) = rows.first().map(|row| row.batch.clone()) else {
            return Err(EngineError::EmptyTrash);
        };
        let mut batch: Vec<TrashRow> = rows.into_iter().filter(|row| row.batch == last).collect();
        // First what others stand on.
        batch.sort_by_key(|row| match row.what {
            Removal::Image(_) => 0,
            Removal::Network(_) => 1,
            Removal::Volume(_) => 2,
            Removal::Container(_) => 3,
        });
        let (mut back, mut failures) = (Vec::new(), Vec::new());
        for row in batch {
            match self.bring_back(row) {
                Ok(item) => back.push(item),
                Err(error) => failures.push(error),
            }
        }
        Ok((back, failures))
    }

    /// Brings back one thing, by its name or the first digits of its id; of several with the name, the last removed.
    pub fn restore(&self, reference: &str) -> Result<TrashItem, EngineError> {
        let rows = self.state.trash()?.into_iter();
        let mut found = rows.filter(|row| {
            item(row).name == reference || (!reference.is_empty() && row.id.starts_with(reference))
        });
        let row = found.next().ok_or_else(|| EngineError::NotInTrash(reference.to_owned()))?;
        self.bring_back(row)
    }

    fn bring_back(&self, row: TrashRow) -> Result<TrashItem, EngineError> {
        let mut back = item(&row);
        match row.what {
            Removal::Container(container) => {
                let place = self.root.join("containers").join(container.id.to_string());
                let lock = lock_if_there(&self.trash_place(&row.id))?;
                self.put_in_place(&row.id, &place, |state| {
                    let mut container = (*container).clone();
                    while state.container_by_name(&container.name)?.is_some() {
                        container.name = names::random_name()?;
                    }
                    back.name = container.name.to_string();
                    state.insert_container(&container)
                })?;
                drop(lock);
                self.note(&self.container(&container.id.to_string())?, "create", &[]);
            }
            Removal::Volume(volume) => {
                let place = self.root.join("volumes").join(&volume.name);
                self.put_in_place(&row.id, &place, |state| match state.ensure_volume(&volume)? {
                    true => Ok(()),
                    false => Err(EngineError::VolumeExists(volume.name.clone())),
                })?;
                self.note_volume(&volume.name, "create");
            }
            Removal::Network(network) => {
                self.remake_network(*network, |state| match state.delete_trash(&row.id)? {
                    true => Ok(()),
                    false => Err(EngineError::NotInTrash(row.id.clone())),
                })?
            }
            Removal::Image(image) => {
                self.state.write(Durability::Synced, |state| {
                    state.insert_image(&image.row)?;
                    for name in image.names.iter().filter_map(|name| name.parse::<Reference>().ok()) {
                        match name.digest() {
                            Some(digest) => state.set_digest(&name, &digest, &image.row.manifest)?,
                            // What has the name by now keeps it.
                            None if state.image_by_name(&name)?.is_some() => {}
                            None => state.set_tag(&name, &image.row.manifest)?,
                        }
                    }
                    state.delete_trash(&row.id)?;
                    Ok(())
                })?;
                self.write_index()?;
            }
        }
        Ok(back)
    }

    /// Takes something out of the trash: `record` writes its row, and its directory comes to `place`.
    fn put_in_place(
        &self,
        id: &str,
        place: &Path,
        record: impl FnOnce(&State) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let from = self.trash_place(id);
        let done = self.state.write(Durability::Synced, |state| {
            if !state.delete_trash(id)? {
                return Err(EngineError::NotInTrash(id.to_owned()));
            }
            record(state)?;
            moved(&from, place)
        });
        if done.is_err() && !from.exists() && place.exists() {
            // The rows stay as they were.
            moved(place, &from)?;
        }
        done
    }

    /// Removes a container whose lock the caller holds to the trash; `None` if it cannot be kept there.
    pub(crate) fn throw_container_away(&self, container: &Container) -> Result<Option<()>, EngineError> {
        let Some(batch) = self.trash.as_ref().filter(|_| !container.config.auto_remove) else {
            return Ok(None);
        };
        let bytes = Measure::default().tree(&container.directory)?;
        if bytes > batch.budget {
            return Ok(None);
        }
        let id = container.id.to_string();
        let place = self.trash_place(&id);
        let thrown = self.state.remove(Durability::Synced, |state| {
            let Some(row) = state.container_by_id(&container.id)? else { return Ok(None) };
            state.delete_container(&container.id)?;
            state.insert_trash(&batch.row(id.clone(), bytes, Removal::Container(Box::new(row))))?;
            fs::create_dir_all(self.root.join("trash"))?;
            moved(&container.directory, &place)?;
            Ok(Some(()))
        });
        self.unless_full(thrown, &container.directory, &place)
    }

    /// Moves the directory of a volume that is being removed to the trash, in a transaction of the caller's; `None` if it
    /// cannot be kept there.
    pub(crate) fn throw_volume_away(
        &self,
        state: &State,
        row: VolumeRow,
        directory: &Path,
    ) -> Result<Option<()>, EngineError> {
        let Some(batch) = &self.trash else { return Ok(None) };
        let bytes = Measure::default().tree(directory)?;
        if bytes > batch.budget {
            return Ok(None);
        }
        let random = getrandom::u64().map_err(io::Error::other)?;
        let id = format!("{:012x}.{}", random >> 16, row.name);
        let place = self.trash_place(&id);
        state.insert_trash(&batch.row(id, bytes, Removal::Volume(row)))?;
        fs::create_dir_all(self.root.join("trash"))?;
        moved(directory, &place)?;
        Ok(Some(()))
    }

    /// Remembers a network that is being removed, in a transaction of the caller's.
    pub(crate) fn throw_network_away(&self, state: &State, row: NetworkRow) -> Result<(), EngineError> {
        let Some(batch) = &self.trash else { return Ok(()) };
        let random = getrandom::u64().map_err(io::Error::other)?;
        state.insert_trash(&batch.row(format!("{:012x}", random >> 16), 0, Removal::Network(Box::new(row))))
    }

    /// Remembers the names that an image has just lost, in a transaction of the caller's; false if it is too large to keep.
    pub(crate) fn throw_names_away(
        &self,
        state: &State,
        row: &ImageRow,
        names: &[Reference],
        bytes: u64,
    ) -> Result<bool, EngineError> {
        let Some(batch) = self.trash.as_ref().filter(|batch| bytes <= batch.budget) else { return Ok(false) };
        let random = getrandom::u64().map_err(io::Error::other)?;
        let names = names.iter().map(ToString::to_string).collect();
        let what = Removal::Image(RemovedImage { row: row.clone(), names });
        state.insert_trash(&batch.row(format!("{:012x}", random >> 16), bytes, what))?;
        Ok(true)
    }

    /// A full disk is no reason not to remove anything: it goes without a way back then.
    fn unless_full(
        &self,
        thrown: Result<Option<()>, EngineError>,
        from: &Path,
        place: &Path,
    ) -> Result<Option<()>, EngineError> {
        match thrown {
            Err(error) => {
                if !from.exists() && place.exists() {
                    moved(place, from)?;
                }
                match &error {
                    EngineError::Io(source) | EngineError::File { source, .. }
                        if source.kind() == io::ErrorKind::StorageFull =>
                    {
                        Ok(None)
                    }
                    _ => Err(error),
                }
            }
            Ok(thrown) => Ok(thrown),
        }
    }

    /// Removes everything in the trash for good; the disk space it gave back.
    pub fn empty_trash(&self) -> Result<u64, EngineError> {
        let rows = self.state.trash()?;
        self.remove_for_good(&rows)
    }

    /// Removes for good what the budget does not allow, what has waited for a week, and everything if the disk is nearly
    /// full.
    pub fn trim_trash(&self) -> Result<(), EngineError> {
        let Some(batch) = &self.trash else { return Ok(()) };
        let (count, bytes) = self.state.trash_size()?;
        let full = is_nearly_full(&self.root)?;
        if count == 0 {
            return Ok(());
        }
        let rows = self.state.trash()?;
        let oldest = crate::timestamp(rows.last().map_or(0, |row| row.deleted));
        let old = Timestamp::now().checked_sub(LONGEST).unwrap_or_default();
        if count <= MOST && bytes <= batch.budget && !full && oldest > old {
            return Ok(());
        }
        let mut kept = 0;
        let mut position = 0;
        let goes = |row: &&TrashRow| {
            position += 1;
            kept += row.bytes;
            full || position > MOST || kept > batch.budget || crate::timestamp(row.deleted) <= old
        };
        let going: Vec<TrashRow> = rows.iter().filter(goes).cloned().collect();
        self.remove_for_good(&going).map(drop)
    }

    fn remove_for_good(&self, rows: &[TrashRow]) -> Result<u64, EngineError> {
        self.state.remove(Durability::Synced, |state| {
            rows.iter().try_for_each(|row| state.delete_trash(&row.id).map(drop))
        })?;
        let mut bytes = 0;
        for row in rows {
            match row.what {
                // What of it nothing else needs, collecting counts.
                Removal::Image(_) => {}
                _ => bytes += row.bytes,
            }
            crate::remove_tree(&self.trash_place(&row.id))?;
        }
        if rows.iter().any(|row| matches!(row.what, Removal::Image(_) | Removal::Container(_))) {
            bytes += self.collect()?.bytes;
        }
        Ok(bytes)
    }

    /// Has the directories of the trash, and of what came out of it, follow the rows, where a command was interrupted.
    pub(crate) fn sweep_trash(&self) -> Result<(), EngineError> {
        let directory = self.root.join("trash");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?.collect::<io::Result<Vec<_>>>()?,
        };
        // Nobody removes or restores anything meanwhile.
        let gone = self.state.remove(Durability::Lazy, |state| {
            let rows = state.trash()?;
            let mut gone = Vec::new();
            for entry in entries {
                let name = entry.file_name().to_string_lossy().into_owned();
                if rows.iter().any(|row| row.id == name) {
                    continue;
                }
                // Either its removal did not come to an end, or that from the trash did not.
                let (place, is_known) = match name.split_once('.') {
                    Some((_, volume)) => {
                        (self.root.join("volumes").join(volume), state.volume(volume)?.is_some())
                    }
                    None => {
                        let id = name.parse().ok();
                        let known = id.map(|id| state.container_by_id(&id)).transpose()?.flatten().is_some();
                        (self.root.join("containers").join(&name), known)
                    }
                };
                match is_known && !place.exists() {
                    true => moved(&entry.path(), &place)?,
                    false => gone.push(entry.path()),
                }
            }
            for row in &rows {
                let (place, is_known) = match &row.what {
                    Removal::Container(container) => (
                        self.root.join("containers").join(container.id.to_string()),
                        state.container_by_id(&container.id)?.is_some(),
                    ),
                    Removal::Volume(volume) => {
                        (self.root.join("volumes").join(&volume.name), state.volume(&volume.name)?.is_some())
                    }
                    Removal::Image(_) | Removal::Network(_) => continue,
                };
                // On its way back when that was interrupted.
                let trash = self.trash_place(&row.id);
                if !is_known && !trash.exists() && place.exists() {
                    moved(&place, &trash)?;
                }
            }
            Ok(gone)
        })?;
        gone.iter().try_for_each(|path| crate::remove_tree(path))?;
        Ok(())
    }

    /// What the trash needs of the store of images.
    pub(crate) fn add_trash(&self, live: &mut Live) -> Result<(), EngineError> {
        for row in self.state.trash()? {
            match row.what {
                Removal::Container(container) => live.manifests.push(container.image),
                Removal::Image(image) => live.manifests.push(image.row.manifest),
                Removal::Volume(_) | Removal::Network(_) => {}
            }
        }
        Ok(())
    }

    /// What would go with an image: the layers that nothing outside the trash needs, and the disk space of it all.
    pub(crate) fn going_with(&self, manifest: &Digest) -> Result<(Vec<Digest>, u64), EngineError> {
        let mut live = Live { layers: self.kept()?, ..self.live_images()? };
        // That of its own row, if it is still there; what containers need is needed.
        if self.state.image_by_manifest(manifest)?.is_some()
            && let Some(own) = live.manifests.iter().position(|other| other == manifest)
        {
            live.manifests.remove(own);
        }
        let needed = self.images.needed(&live)?;
        let own = self.images.needed(&Live { manifests: vec![*manifest], ..Live::default() })?;
        let mut bytes = 0;
        for digest in own.difference(&needed) {
            bytes += self.images.space(digest)?;
        }
        let layers = self.images.image(manifest)?.layers.into_iter().map(|layer| layer.diff_id);
        Ok((layers.filter(|layer| !needed.contains(layer)).collect(), bytes))
    }

    fn trash_place(&self, id: &str) -> PathBuf {
        self.root.join("trash").join(id)
    }
}

impl Batch {
    fn row(&self, id: String, bytes: u64, what: Removal) -> TrashRow {
        TrashRow { id, batch: self.id.clone(), deleted: crate::now(), bytes, what }
    }
}

fn item(row: &TrashRow) -> TrashItem {
    TrashItem {
        id: row.id.clone(),
        kind: row.what.kind(),
        name: row.what.name(),
        deleted: crate::timestamp(row.deleted),
        bytes: row.bytes,
    }
}

/// Renames; something that was never there need not be moved.
fn moved(from: &Path, to: &Path) -> Result<(), EngineError> {
    match fs::rename(from, to) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::File { path: from.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// The lock of a container in the trash, so that nobody takes what comes out for something left behind.
fn lock_if_there(directory: &Path) -> Result<Option<Lock>, EngineError> {
    match Lock::try_take(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        lock => Ok(lock?),
    }
}

/// Whether less than a twentieth of the disk is free.
fn is_nearly_full(root: &Path) -> Result<bool, EngineError> {
    let disk = rustix::fs::statvfs(root).map_err(io::Error::from)?;
    Ok(disk.f_bavail < disk.f_blocks / 20)
}

/// How many things wait at most, and how long.
const MOST: u64 = 1000;
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
