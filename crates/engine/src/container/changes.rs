//! What a container has changed of its image's files, and an image made of that.

use std::{
    collections::HashSet,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use image::{
    Configuration,
    config::{Execution, History, Set},
    layer,
    tree::{self, Links, Root},
};
use jiff::Timestamp;
use rustix::fs::{FileType, Stat};
use types::{Digest, Reference};

use super::status::Container;
use crate::{Engine, error::EngineError};

/// A file that is not as the image has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// From the root, with its slash.
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

/// What is said of an image that is made of a container.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    pub author: String,
    pub message: String,
    /// Keep the container's processes from running meanwhile.
    pub pause: bool,
}

impl Engine {
    /// What the container has changed, by path. What is mounted in it does not count.
    pub fn changes(&self, container: &Container) -> Result<Vec<Change>, EngineError> {
        let layers = self.layers_of(container)?;
        let open = |directory: &PathBuf| {
            Root::open(directory, Links::Refused)
                .map_err(|source| EngineError::File { path: directory.clone(), source })
        };
        let upper = open(&layers.upper)?;
        let lower = layers.lower.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut changes = Vec::new();
        // Directories that are told of already, or need not be.
        let mut told: HashSet<PathBuf> = HashSet::new();
        tree::walk(&upper, Path::new(""), &mut |found| -> Result<bool, EngineError> {
            let is_directory = found.file_type().is_dir();
            let below = look_up(&lower, found.path)?;
            let is_gone = layer::is_whiteout(&found.stat)
                || is_directory
                    && below.is_some()
                    && layer::is_opaque(tree::open_child_directory(found.parent, found.name)?.as_fd())?;
            let kind = match (&below, is_gone) {
                (_, true) => ChangeKind::Deleted,
                (None, false) => ChangeKind::Added,
                // Only there because something in it has changed.
                (Some(below), false) if is_directory && is_same_directory(below, &found.stat) => {
                    return Ok(true);
                }
                (Some(_), false) => ChangeKind::Modified,
            };
            if is_directory {
                told.insert(found.path.to_owned());
            }
            let parent = found.path.parent().unwrap_or(Path::new(""));
            if kind != ChangeKind::Modified
                && !parent.as_os_str().is_empty()
                && told.insert(parent.to_owned())
            {
                changes.push(Change { kind: ChangeKind::Modified, path: shown(parent) });
            }
            changes.push(Change { kind, path: shown(found.path) });
            Ok(is_directory)
        })?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    /// Makes an image of the container's files and configuration, which `change` may change, and names it.
    pub fn commit(
        &self,
        container: &Container,
        commit: Commit,
        name: Option<&Reference>,
        change: impl FnOnce(Configuration) -> Result<Configuration, EngineError>,
    ) -> Result<Digest, EngineError> {
        if name.is_some_and(|name| name.digest().is_some()) {
            return Err(EngineError::Invalid("refusing to create a tag with a digest reference".into()));
        }
        let base = self.images().image(&container.manifest)?;
        let comment = commit.message.clone();
        let now = Timestamp::now().to_string();
        let mut config = base.config.clone();
        config.config = execution(container, base.config.config);
        config.created = Some(now.clone());
        config.author = commit.author.clone();
        config.history.push(History {
            created: Some(now),
            author: commit.author,
            created_by: container.config.command.join(" "),
            comment: commit.message,
            empty_layer: false,
        });
        let config = change(config)?;
        let lease = self.images().lease()?;
        // Until the image is there: docker's events are in this order.
        let _still = if commit.pause { self.hold_still(container)? } else { None };
        let upper = container.directory.join("upper");
        let layer = lease.copy_layer_of(&upper)?;
        let layers = [base.layers, vec![layer]].concat();
        let image = lease.write_image(config, &layers)?;
        self.record_image(&lease, &image, name.map(std::slice::from_ref).unwrap_or_default())?;
        let (id, name) = (image.id.to_string(), name.map(Reference::familiar).unwrap_or_default());
        let labels = &image.config.config.labels;
        self.note_image(labels, "create", &id, &id);
        if !name.is_empty() {
            self.note_image(labels, "tag", &id, &name);
        }
        self.note(container, "commit", &[("comment", &comment), ("imageID", &id), ("imageRef", &name)]);
        Ok(image.id)
    }
}

/// How containers of an image made of this one run.
fn execution(container: &Container, base: Execution) -> Execution {
    let config = &container.config;
    let some = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    let anonymous = config.mounts.iter().filter(|mount| mount.is_volume() && !mount.named);
    let mut volumes = base.volumes;
    volumes.0.extend(anonymous.map(|mount| mount.destination.clone()));
    Execution {
        user: config.user.clone(),
        exposed_ports: Set(config.exposed.iter().map(ToString::to_string).collect()),
        env: config.env.clone(),
        entrypoint: some(&config.entrypoint),
        cmd: some(&config.command),
        volumes,
        working_dir: match config.working_directory.as_str() {
            "/" if base.working_dir.is_empty() => String::new(),
            directory => directory.to_owned(),
        },
        labels: config.labels.iter().cloned().collect(),
        stop_signal: config.stop_signal.clone().unwrap_or_default(),
        stop_timeout: config.stop_timeout.map(i64::from),
        ..Execution { volumes: Set::default(), ..base }
    }
}

/// What layers, topmost first, have at a path.
fn look_up(layers: &[Root], path: &Path) -> Result<Option<Stat>, EngineError> {
    for layer in layers {
        match layer.stat(path) {
            Ok(stat) if layer::is_whiteout(&stat) => return Ok(None),
            Ok(stat) => return Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Below something that is no directory here, so nothing further down counts.
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

fn is_same_directory(a: &Stat, b: &Stat) -> bool {
    let time = |stat: &Stat| Duration::new(stat.st_mtime as u64, stat.st_mtime_nsec as u32);
    FileType::from_raw_mode(a.st_mode).is_dir()
        && a.st_mode == b.st_mode
        && a.st_size == b.st_size
        && time(a) == time(b)
}

fn shown(path: &Path) -> String {
    format!("/{}", path.to_string_lossy())
}
