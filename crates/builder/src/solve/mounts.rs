//! What RUN has mounted: found first, since the files are part of the step's key, and prepared if the process is to run.

mod files;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::container::{SecretContent, StepMount, StepSource};
use image::Layer;
use rustix::fs::FileType;
use types::{Bytes, Digest};

use super::{Given, Solver, chain};
use crate::{
    BuildError,
    cache::mounts::{Fresh, MountDirectory},
    context::{Context, ContextError, Tree},
    diagnostic::Problem,
    graph::{CacheMount, Mount, MountKind, Operation, Origin, Run},
    input::Opened,
    run_settings::Secret,
    scratch::Scratch,
    stack::{NewDirectory, Stack},
};

/// Why something could not be mounted for a process.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("secret {0}: not found")]
    NoSecret(String),
    #[error("secret {0} too big. max size 500KB")]
    LargeSecret(String),
    #[error("cannot read the secret {id}")]
    Secret { id: String, source: io::Error },
    #[error("unset ssh forward key {0}")]
    NoAgent(String),
    #[error("cannot prepare the mount on {target}")]
    Prepare { target: String, source: io::Error },
}

/// The files that one mount shows.
pub struct Found {
    place: Place,
    /// `None` for all of a state, which its layers are known by.
    tree: Option<Tree>,
}

enum Place {
    Context,
    Named(Arc<Opened>),
    State { layers: Vec<Layer>, context: Option<Context> },
}

impl Found {
    /// What a key has of it.
    pub fn known_by(&self) -> BTreeMap<String, Digest> {
        match (&self.tree, &self.place) {
            (Some(tree), _) => tree.files().collect(),
            (None, Place::State { layers, .. }) => [("/".to_owned(), chain(layers))].into(),
            (None, Place::Context | Place::Named(_)) => BTreeMap::new(),
        }
    }
}

/// Mounts that are ready, and what has to stay until the process has ended.
#[derive(Default)]
pub struct Ready {
    pub mounts: Vec<StepMount>,
    /// `NAME=value`.
    pub secrets: Vec<String>,
    /// A layer with mount points that the image lacks, if it lacks any.
    pub points: Option<PathBuf>,
    _caches: Vec<MountDirectory>,
}

impl Ready {
    /// All that is secret about it.
    pub fn secret_values(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.mounts.iter().filter_map(|mount| match &mount.source {
            StepSource::Secret { content, .. } => Some(content.0.as_slice()),
            _ => None,
        });
        let variable = |variable: &'_ String| variable.split_once('=').map_or(0, |(name, _)| name.len() + 1);
        files.chain(self.secrets.iter().map(move |text| &text.as_bytes()[variable(text)..]))
    }
}

impl Solver<'_, '_> {
    /// Finds the files that the mounts of `run` show; for each mount, if it shows any.
    pub(super) fn find_mounts(
        &self,
        run: &Run,
        operation: &Operation,
        given: &Given,
    ) -> Result<Vec<Option<Found>>, BuildError> {
        let find = |mount: &Mount| {
            let Some((origin, source)) = mount.takes() else { return Ok(None) };
            self.find_mount(origin, source, operation, given).map(Some)
        };
        run.mounts.iter().map(find).collect()
    }

    fn find_mount(
        &self,
        origin: Origin,
        source: &str,
        operation: &Operation,
        given: &Given,
    ) -> Result<Found, BuildError> {
        let missing = |error: ContextError| {
            let mut problem = Problem::new(error.to_string(), operation.span.clone());
            if let Some(help) = error.help() {
                problem = problem.helped(help);
            }
            BuildError::Context { error, diagnostic: self.diagnostic(problem) }
        };
        let mut place = match origin {
            Origin::Context => Place::Context,
            Origin::Named(number) => Place::Named(self.named.open(number)?),
            Origin::State(id) => {
                Place::State { layers: given.from.get(&id).cloned().unwrap_or_default(), context: None }
            }
        };
        let tree = match &mut place {
            Place::Context => Some(self.context.find(source).map_err(missing)?),
            Place::Named(named) => Some(named.context.find(source).map_err(missing)?),
            Place::State { .. } if source == "/" => None,
            Place::State { layers, context } => {
                let opened = self.open_state(layers)?;
                let tree = opened.find(source).map_err(missing)?;
                opened.save_index().map_err(BuildError::Cache)?;
                *context = Some(opened);
                Some(tree)
            }
        };
        Ok(Found { place, tree })
    }

    /// Prepares the mounts of `run`, whose files are `found`, in a directory of their own.
    pub(super) fn prepare_mounts(
        &self,
        run: &Run,
        operation: &Operation,
        found: &[Option<Found>],
        lower: &[PathBuf],
        scratch: &Scratch,
    ) -> Result<Ready, BuildError> {
        let failed = |error: MountError| {
            let problem = Problem::new(error.to_string(), operation.span.clone());
            BuildError::Mount { diagnostic: self.diagnostic(problem), error: Box::new(error) }
        };
        let mut ready = Ready::default();
        let mut caches: BTreeMap<Digest, PathBuf> = BTreeMap::new();
        for (mount, found) in run.mounts.iter().zip(found) {
            let wrong = |source| failed(MountError::Prepare { target: mount.target.clone(), source });
            let source = match (&mount.kind, found) {
                (MountKind::Files { .. }, Some(found)) => self.files_source(found, scratch, &wrong)?,
                (MountKind::Files { .. }, None) => continue,
                (MountKind::Cache(cache), _) => {
                    let key = cache_key(cache, found.as_ref());
                    let path = match caches.get(&key) {
                        Some(path) => path.clone(),
                        None => {
                            let Some(directory) =
                                self.cache_directory(&key, cache, found.as_ref(), &mount.target, &wrong)?
                            else {
                                return Err(BuildError::Canceled);
                            };
                            let path = directory.files.clone();
                            ready._caches.push(directory);
                            caches.insert(key, path.clone());
                            path
                        }
                    };
                    let below = if cache.from.is_some() { "/" } else { &cache.source };
                    StepSource::Host { path, below: PathBuf::from(below.trim_start_matches('/')) }
                }
                (MountKind::Memory { size }, _) => StepSource::Memory { size: size.map(Bytes) },
                (MountKind::Secret { id, required, access }, _) => {
                    match self.secret(id, *required).map_err(failed)? {
                        Some(content) => StepSource::Secret { content, access: *access },
                        None => continue,
                    }
                }
                (MountKind::Agent { id, required, access }, _) => match self.run.agents.get(id) {
                    Some(socket) => StepSource::Agent { socket: socket.clone(), access: *access },
                    None if *required => return Err(failed(MountError::NoAgent(id.clone()))),
                    None => continue,
                },
                (MountKind::Script { name, content }, _) => {
                    let path = scratch.unique("script").map_err(wrong)?;
                    let file = path.join(name);
                    fs::write(&file, content).map_err(wrong)?;
                    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).map_err(wrong)?;
                    StepSource::Host { path, below: PathBuf::new() }
                }
            };
            let (target, read_only) = (mount.target.clone(), mount.read_only);
            ready.mounts.push(StepMount { target, read_only, source });
        }
        for variable in &run.secrets {
            if let Some(SecretContent(value)) =
                self.secret(&variable.id, variable.required).map_err(failed)?
            {
                ready.secrets.push(format!("{}={}", variable.name, String::from_utf8_lossy(&value)));
            }
        }
        ready.points = self.mount_points(&ready.mounts, lower, scratch).map_err(BuildError::Cache)?;
        Ok(ready)
    }

    /// What shows the files of a bind mount: a copy of those of a context, or a state's layers.
    fn files_source(
        &self,
        found: &Found,
        scratch: &Scratch,
        wrong: &dyn Fn(io::Error) -> BuildError,
    ) -> Result<StepSource, BuildError> {
        let (layers, tree) = match (&found.place, &found.tree) {
            (Place::State { layers, .. }, tree) => (layers, tree),
            (Place::Context, Some(tree)) => return files::copied(self.context, tree, scratch).map_err(wrong),
            (Place::Named(named), Some(tree)) => {
                return files::copied(&named.context, tree, scratch).map_err(wrong);
            }
            (Place::Context | Place::Named(_), None) => return Err(wrong(io::ErrorKind::NotFound.into())),
        };
        let mut lower = self.directories(layers)?;
        if lower.is_empty() {
            lower.push(scratch.unique("nothing").map_err(wrong)?);
        }
        let (upper, work) = (scratch.unique("upper").map_err(wrong)?, scratch.unique("work").map_err(wrong)?);
        let below = tree.as_ref().map(|tree| tree.path.clone()).unwrap_or_default();
        Ok(StepSource::Layers { lower, upper, work, below })
    }

    /// The directory of a cache, locked as it is to be shared; `None` if nobody wants it any more.
    fn cache_directory(
        &self,
        key: &Digest,
        cache: &CacheMount,
        found: Option<&Found>,
        target: &str,
        wrong: &dyn Fn(io::Error) -> BuildError,
    ) -> Result<Option<MountDirectory>, BuildError> {
        // All of a state is walked only now that it is needed.
        let mut whole = None;
        let origin: Option<(&Context, &Tree)> = match found {
            None => None,
            Some(Found { place: Place::State { layers, .. }, tree: None }) => {
                let context = self.open_state(layers)?;
                let tree = context.find("/").map_err(|error| wrong(io::Error::other(error)))?;
                let (context, tree) = &*whole.insert((context, tree));
                Some((context, tree))
            }
            Some(Found { place, tree: Some(tree) }) => match place {
                Place::Context => Some((self.context, tree)),
                Place::Named(named) => Some((&named.context, tree)),
                Place::State { context, .. } => context.as_ref().map(|context| (context, tree)),
            },
            Some(Found { tree: None, .. }) => None,
        };
        let fill = |path: &Path| -> io::Result<()> {
            match origin {
                Some((context, tree)) => files::copy(context, tree, path)?,
                None => fs::create_dir(path)?,
            }
            if let Some(mode) = cache.mode.or(origin.is_none().then_some(0o755)) {
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            }
            match (cache.uid, cache.gid) {
                (None, None) => Ok(()),
                (uid, gid) => chown(path, Some(uid.unwrap_or(0)), Some(gid.unwrap_or(0))),
            }
        };
        let about = match cache.id == target {
            true => format!("cached mount {target}"),
            false => format!("cached mount {target} with id {:?}", cache.id),
        };
        let fresh = Fresh { fill: &fill, about: &about };
        self.cache.mount(key, cache.sharing, &fresh, self.stop).map_err(wrong)
    }

    /// The secret called `id`; `None` if there is none and it is not required.
    fn secret(&self, id: &str, required: bool) -> Result<Option<SecretContent>, MountError> {
        let content = match self.run.secrets.get(id) {
            None if required => return Err(MountError::NoSecret(id.to_owned())),
            None => return Ok(None),
            Some(Secret::Content(content)) => content.clone(),
            Some(Secret::File(path)) => {
                let read = fs::read(path);
                SecretContent(read.map_err(|source| MountError::Secret { id: id.to_owned(), source })?)
            }
        };
        match content.0.len() > LARGEST_SECRET {
            true => Err(MountError::LargeSecret(id.to_owned())),
            false => Ok(Some(content)),
        }
    }

    /// A layer that has the mount points the layers of `lower` lack, if they lack any. Made there, they are in nobody's
    /// layer afterwards, which is what BuildKit achieves by removing those it made.
    fn mount_points(
        &self,
        mounts: &[StepMount],
        lower: &[PathBuf],
        scratch: &Scratch,
    ) -> io::Result<Option<PathBuf>> {
        if mounts.is_empty() {
            return Ok(None);
        }
        let date = self.date.seconds();
        let points = scratch.directory("points")?;
        let stack = Stack::open(std::iter::once(points.as_path()).chain(lower.iter().map(PathBuf::as_path)))?;
        stack.adopt_root(date)?;
        let new = NewDirectory { owner: Default::default(), mode: 0o755, time: date };
        let mut made: BTreeSet<PathBuf> = BTreeSet::new();
        for StepMount { target, source, .. } in mounts {
            // One that leads nowhere is for the engine to tell of.
            let Ok(resolved) = stack.resolve(Path::new(target), true) else { continue };
            if resolved.stat.is_some() {
                continue;
            }
            let parent = resolved.path.parent().unwrap_or(Path::new("")).to_owned();
            match is_directory(source) {
                true => stack.make_directory(&resolved.path, new)?,
                false => {
                    stack.make_directory(&parent, new)?;
                    fs::write(points.join(&resolved.path), "")?;
                }
            }
            made.insert(parent);
        }
        made.iter().try_for_each(|parent| stack.restore_times(parent, date))?;
        Ok((!made.is_empty()).then_some(points))
    }
}

/// Whether what is mounted is a directory.
fn is_directory(source: &StepSource) -> bool {
    let is_directory = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    match source {
        StepSource::Host { path, below } => is_directory(&path.join(below)),
        StepSource::Layers { lower, below, .. } => {
            let below = below.strip_prefix("/").unwrap_or(below);
            let stack = Stack::open(lower.iter().map(PathBuf::as_path));
            let found = stack.and_then(|stack| stack.resolve(below, true));
            found.is_ok_and(|found| found.kind() == Some(FileType::Directory))
        }
        StepSource::Memory { .. } => true,
        StepSource::Secret { .. } | StepSource::Agent { .. } => false,
    }
}

/// What one cache is told from others by.
fn cache_key(cache: &CacheMount, found: Option<&Found>) -> Digest {
    let CacheMount { id, from: _, source, sharing: _, uid, gid, mode } = cache;
    let origin = found.map(|found| (source, found.known_by()));
    let key = serde_json::to_vec(&(id, origin, uid, gid, mode));
    Digest::of(&key.expect("strings, numbers and digests are serializable"))
}

/// In bytes; as docker has it.
const LARGEST_SECRET: usize = 500 << 10;
