//! What the cache consists of, how much disk that takes, and how much removing it would give back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use engine::{Engine, EngineError, usage::Measure};
use jiff::Timestamp;
use types::Digest;

use super::{Kept, hold};

/// The whole cache, at one moment.
#[derive(Debug)]
pub struct Usage {
    /// What was used longest ago comes first. Of what was used by one build, what was made last comes first: nothing is
    /// left that stands on what is gone.
    pub entries: Vec<Entry>,
    /// What all of it takes, in bytes on the disk: entries, the directories they are in, what builds at work have there.
    pub size: u64,
    pub(super) layers: Layers,
}

/// Something that can be removed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub kind: Kind,
    pub description: String,
    pub created: Timestamp,
    pub last_used: Timestamp,
    /// How often it was made or served.
    pub uses: u64,
    /// A build is at it just now.
    pub in_use: bool,
    /// An image, or another entry, needs the same layer: removing the entry does not give that back.
    pub shared: bool,
    /// What it takes, in bytes on the disk.
    pub size: u64,
    /// What it takes besides its layer.
    pub(super) own: u64,
    /// What has to stay in the store for it.
    pub(super) keeps: Vec<Digest>,
    pub(super) path: PathBuf,
}

/// What an entry is, in BuildKit's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The result of a step.
    Step,
    /// What `RUN --mount=type=cache` mounts.
    Mount,
    /// A git repository.
    Git,
    /// A file that ADD has downloaded.
    Download,
    /// The digests of a context's files.
    Context,
    /// What tells why a step was not cached.
    Trace,
    /// The record of a build.
    Build,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::Step, Kind::Mount, Kind::Git, Kind::Download, Kind::Context, Kind::Trace, Kind::Build];

    /// BuildKit's name for it, in filters and listings.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Step => "regular",
            Kind::Mount => "exec.cachemount",
            Kind::Git => "source.git.checkout",
            Kind::Download => "source.http",
            Kind::Context => "source.local",
            Kind::Trace | Kind::Build => "internal",
        }
    }

    /// Whether it goes on changing after it was made.
    pub fn is_mutable(self) -> bool {
        self != Kind::Step
    }

    /// Its directory below the cache's.
    fn directory(self) -> &'static str {
        match self {
            Kind::Step => super::STEPS,
            Kind::Mount => "mounts",
            Kind::Git => "git",
            Kind::Download => "downloads",
            Kind::Context => "contexts",
            Kind::Trace => "traces",
            Kind::Build => crate::builds::DIRECTORY,
        }
    }

    fn description(self, path: &Path) -> String {
        let told = match self {
            Kind::Mount | Kind::Git | Kind::Download => fs::read_to_string(path.join(ABOUT)).ok(),
            Kind::Step | Kind::Context | Kind::Trace | Kind::Build => None,
        };
        told.map(|text| text.trim_end().to_owned()).unwrap_or_else(|| {
            match self {
                Kind::Step => "",
                Kind::Mount => "cached mount",
                Kind::Git => "git repository",
                Kind::Download => "downloaded file",
                Kind::Context => "digests of a build context",
                Kind::Trace => "inputs of the last build",
                Kind::Build => "record of a build",
            }
            .to_owned()
        })
    }
}

/// How closely disk space is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// Layers count with the sizes of their files, as recorded when they were made.
    Estimated,
    /// Layers are measured, as `du` does.
    Measured,
}

/// Looks at everything in the engine's cache. Takes as long as `du`; what builds add or remove meanwhile may be counted or
/// not.
pub fn usage(engine: &Engine) -> Result<Usage, EngineError> {
    look(engine, Precision::Measured, engine.needed_by_images()?)
}

/// The same of a cache that images and containers need this much of.
pub(super) fn look(
    engine: &Engine,
    precision: Precision,
    needed: HashSet<Digest>,
) -> Result<Usage, EngineError> {
    let cache = engine.cache();
    let mut measure = Measure::default();
    let mut entries = Vec::new();
    for kind in Kind::ALL {
        for path in files(&cache.join(kind.directory()))? {
            entries.extend(Entry::read(kind, &path, &mut measure)?);
        }
    }
    entries.sort_by_key(|entry| (entry.last_used, std::cmp::Reverse(entry.created)));
    let store = engine.images();
    let mut layers = Layers { needed, ..Layers::default() };
    let claimed = store.in_use()?;
    for entry in &mut entries {
        let bases = store.bases(&entry.keeps)?;
        entry.keeps.extend(bases);
    }
    for digest in entries.iter().flat_map(|entry| &entry.keeps) {
        *layers.users.entry(*digest).or_default() += 1;
        if !layers.space.contains_key(digest) {
            let space = match precision {
                Precision::Estimated => store.content_size(digest)?,
                Precision::Measured => store.space(digest)?,
            };
            layers.space.insert(*digest, space);
        }
    }
    for entry in &mut entries {
        entry.size = entry.own + entry.keeps.iter().map(|digest| layers.space[digest]).sum::<u64>();
        entry.shared = entry.keeps.iter().any(|digest| layers.space[digest] > 0 && layers.is_shared(digest));
        entry.in_use |= entry.keeps.iter().any(|digest| claimed.contains(digest));
    }
    let own: u64 = entries.iter().map(|entry| entry.own).sum();
    let size = own + measure.tree(&cache)? + layers.private();
    Ok(Usage { entries, size, layers })
}

impl Usage {
    /// What only the cache takes of what its entries stand for, and themselves.
    pub fn private(&self) -> u64 {
        self.entries.iter().map(|entry| entry.own).sum::<u64>() + self.layers.private()
    }

    /// What images need as well.
    pub fn shared(&self) -> u64 {
        let needed = self.layers.space.iter().filter(|(digest, _)| self.layers.needed.contains(digest));
        needed.map(|(_, space)| space).sum()
    }

    /// What removing all entries would give back of which no build is at work.
    pub fn reclaimable(&self) -> u64 {
        let mut layers = self.layers.clone();
        let idle = self.entries.iter().filter(|entry| !entry.in_use);
        idle.map(|entry| entry.own + layers.let_go(entry)).sum()
    }
}

impl Entry {
    /// The entry at `path`; `None` for what is none, or has just been removed.
    fn read(kind: Kind, path: &Path, measure: &mut Measure) -> Result<Option<Entry>, EngineError> {
        let Some(name) =
            path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'))
        else {
            return Ok(None);
        };
        let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(None) };
        let mut entry = Entry {
            id: name[..name.floor_char_boundary(ID_LENGTH)].to_owned(),
            kind,
            description: String::new(),
            created: born(&metadata),
            last_used: modified(&metadata),
            uses: 1,
            in_use: false,
            shared: false,
            size: 0,
            own: measure.tree(path)?,
            keeps: Vec::new(),
            path: path.to_owned(),
        };
        match kind {
            Kind::Step => {
                let Ok(text) = fs::read(path) else { return Ok(None) };
                entry.uses += text.iter().rev().take_while(|byte| **byte == b'\n').count() as u64;
                // One that is damaged keeps nothing, and can be removed.
                if let Ok(kept) = serde_json::from_slice::<Kept>(&text) {
                    entry.description = kept.title;
                    // A plain layer goes by one digest as a layer and as a blob.
                    entry.keeps = kept.keeps.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
                    entry.created = kept.record.created.parse().unwrap_or(entry.created);
                }
            }
            Kind::Mount | Kind::Git | Kind::Download | Kind::Build => {
                entry.description = kind.description(path);
                entry.in_use = hold::is_in_use(path);
            }
            Kind::Context | Kind::Trace => entry.description = kind.description(path),
        }
        Ok(Some(entry))
    }
}

/// The layers and blobs that entries stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    /// In bytes, of all that any entry keeps.
    space: BTreeMap<Digest, u64>,
    /// How many entries keep it.
    users: HashMap<Digest, usize>,
    /// By images and containers.
    needed: HashSet<Digest>,
}

impl Layers {
    /// Takes one user away from all that `entry` keeps; what that frees, in bytes.
    pub fn let_go(&mut self, entry: &Entry) -> u64 {
        let mut freed = 0;
        for digest in &entry.keeps {
            let users = self.users.entry(*digest).or_default();
            *users = users.saturating_sub(1);
            if *users == 0 && !self.needed.contains(digest) {
                freed += self.space.remove(digest).unwrap_or(0);
            }
        }
        freed
    }

    fn is_shared(&self, digest: &Digest) -> bool {
        self.needed.contains(digest) || self.users.get(digest).is_some_and(|users| *users > 1)
    }

    fn private(&self) -> u64 {
        let only = self.space.iter().filter(|(digest, _)| !self.needed.contains(digest));
        only.map(|(_, space)| space).sum()
    }
}

/// What is in a directory; nothing, if there is no such directory.
pub(super) fn files(directory: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let read = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| EngineError::File { path: directory.to_owned(), source }),
    }
}

fn modified(metadata: &Metadata) -> Timestamp {
    let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Timestamp::from_nanosecond(nanoseconds).unwrap_or_default()
}

/// When a file was made, as far as its file system knows.
fn born(metadata: &Metadata) -> Timestamp {
    let born = metadata.created().ok().and_then(|time| Timestamp::try_from(time).ok());
    born.unwrap_or_else(|| modified(metadata))
}

/// Beside what is mounted or downloaded: a line on what it is.
const ABOUT: &str = "about";

/// As many digits of a key tell entries apart; BuildKit's ids are as long.
const ID_LENGTH: usize = 25;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry that takes `own` bytes and was used at `last_used`, seconds since 1970.
    pub fn entry(id: &str, kind: Kind, own: u64, last_used: i64) -> Entry {
        let last_used = Timestamp::from_second(last_used).expect("in range");
        Entry {
            id: id.to_owned(),
            kind,
            description: String::new(),
            created: last_used,
            last_used,
            uses: 1,
            in_use: false,
            shared: false,
            size: own,
            own,
            keeps: Vec::new(),
            path: PathBuf::from(id),
        }
    }

    /// A cache of these entries, whose layers take so many bytes and of which images need some.
    pub fn cache(entries: Vec<Entry>, layers: &[(Digest, u64)], needed: &[Digest]) -> Usage {
        let mut users: HashMap<Digest, usize> = HashMap::new();
        entries
            .iter()
            .flat_map(|entry| &entry.keeps)
            .for_each(|digest| *users.entry(*digest).or_default() += 1);
        let needed = needed.iter().copied().collect();
        Usage { entries, size: 0, layers: Layers { space: layers.iter().copied().collect(), users, needed } }
    }

    #[test]
    fn what_entries_share_counts_once_and_what_images_need_does_not() {
        let (one, two, three) = (Digest::of(b"1"), Digest::of(b"2"), Digest::of(b"3"));
        let step = |id, keeps: &[Digest]| Entry { keeps: keeps.to_vec(), ..entry(id, Kind::Step, 1, 0) };
        let entries = vec![step("a", &[one]), step("b", &[one, two]), step("c", &[three])];
        let mut usage = cache(entries, &[(one, 10), (two, 100), (three, 1000)], &[three]);
        assert_eq!(usage.private(), 113);
        assert_eq!(usage.shared(), 1000);
        assert_eq!(usage.reclaimable(), 113);
        usage.entries[0].in_use = true;
        assert_eq!(usage.reclaimable(), 102);
    }
}
