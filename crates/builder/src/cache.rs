//! What earlier builds made, so that it need not be made again.
//!
//! ```text
//! <cache>/steps/<key>        a step's result, by everything that went into it
//! <cache>/traces/<digest>    what the last finished build of one Dockerfile and context went through, to explain misses
//! <cache>/contexts/<digest>  digests of the files of one context
//! <cache>/builds/<id>/       the record of one build: see [`crate::builds`]
//! <cache>/scratch/<name>/    directories of builds that are running
//! <cache>/turns/<key>        locked by whoever carries a step out just now
//! ```
//!
//! Files appear whole or not at all. One that cannot be read is as good as none: what is lost is time. A record is
//! followed by a newline for each time it served: its length tells how often, its modification time when last.

mod budget;
mod filter;
pub(crate) mod hold;
pub mod mounts;
mod once;
mod prune;
mod usage;

pub mod transport;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use image::{Layer, manifest::Descriptor, store::claims_of};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use types::Digest;

pub use budget::{Budget, InvalidBudget, Space, bound};
pub use filter::{Filters, InvalidFilter};
pub use prune::{Limits, Pruned, Pruning, plan, prune};
pub use usage::{Entry, Kind, Usage, usage};

/// The directory of the cache, as one build uses it.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    /// When all that the build uses was used: one time for all of it, so that a step is never older than what stands on it.
    began: SystemTime,
    /// Whether the build has added anything, or may have.
    has_grown: AtomicBool,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The layer it made; `None` if it changed nothing.
    pub layer: Option<Made>,
    /// When, in RFC 3339.
    pub created: String,
}

/// A record as it is on the disk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    #[serde(flatten)]
    pub record: Record,
    /// The step as progress shows it.
    pub title: String,
    /// What has to stay in the store for it. The engine reads this, and nothing else.
    pub keeps: Vec<Digest>,
}

/// A layer as a record has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    diff_id: Digest,
    blob: Descriptor,
}

impl Made {
    pub fn of(layer: &Layer) -> Made {
        Made { diff_id: layer.diff_id, blob: layer.blob.clone() }
    }

    pub fn layer(&self) -> Layer {
        Layer { diff_id: self.diff_id, blob: self.blob.clone() }
    }
}

/// Everything that went into a step, in the form in which two builds are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The step as progress shows it.
    pub title: String,
    /// The operation with all its settings.
    pub definition: String,
    /// The layers it stands on, lowest first.
    pub below: Vec<Digest>,
    /// They are those of an image, and no step's.
    pub stands_on_base: bool,
    /// The names of the arguments that are declared where it stands.
    pub arguments: Vec<String>,
    /// The date that the user chose for everything that is made, in seconds since 1970.
    pub date: Option<i64>,
    /// The files it takes from the context, for each of its sources.
    pub files: Vec<BTreeMap<String, Digest>>,
    /// When all of them are said to have been modified, in seconds since 1970, if a layer of them can be kept as a
    /// difference. Not part of the key.
    #[serde(default)]
    pub uniform: Option<i64>,
}

/// The inputs of all steps of one build.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// By [`crate::graph::Operation::place`].
    pub steps: BTreeMap<String, Inputs>,
    /// The steps' keys, by which one trace is told from another without reading all of it.
    #[serde(skip)]
    pub keys: BTreeMap<String, Digest>,
}

/// The trace of the build before, read when the first step is not known.
#[derive(Debug)]
pub struct Before<'a> {
    cache: &'a Cache,
    identity: Digest,
    trace: OnceLock<Trace>,
}

impl Before<'_> {
    /// What went into the step at this place.
    pub fn step(&self, place: &str) -> Option<&Inputs> {
        self.trace.get_or_init(|| self.cache.trace(&self.identity)).steps.get(place)
    }
}

impl Inputs {
    /// The key of the step's record: equal if and only if all that can change its result is.
    pub fn key(&self) -> Digest {
        let Inputs { title: _, definition, below, stands_on_base: _, arguments: _, date, files, uniform: _ } =
            self;
        let all = serde_json::to_vec(&(FORMAT, definition, below, date, files));
        Digest::of(&all.expect("strings and digests are serializable"))
    }

    /// Whether the files are all that can be different from `before`, and are told from those by path and digest.
    pub fn is_like(&self, before: &Inputs) -> bool {
        let Inputs { definition, below, date, uniform, .. } = self;
        uniform.is_some()
            && (definition, below, date, uniform)
                == (&before.definition, &before.below, &before.date, &before.uniform)
    }

    /// What is different from `before`, in a few words; `None` if nothing is.
    pub fn difference(&self, before: &Inputs) -> Option<String> {
        if self.definition != before.definition {
            return Some(self.changed_variable(before).unwrap_or_else(|| match self.title == before.title {
                false => "the instruction changed".to_owned(),
                true => "its settings changed".to_owned(),
            }));
        }
        if self.date != before.date {
            return Some("SOURCE_DATE_EPOCH changed".to_owned());
        }
        if self.below != before.below {
            let is_base = self.stands_on_base && before.stands_on_base;
            return Some(if is_base { "base digest moved" } else { "parent changed" }.to_owned());
        }
        let all = |inputs: &Inputs| -> BTreeMap<String, Digest> {
            inputs.files.iter().flatten().map(|(path, digest)| (path.clone(), *digest)).collect()
        };
        let (now, then) = (all(self), all(before));
        let changed = now.iter().filter_map(|(path, digest)| match then.get(path) {
            None => Some(format!("{path} is new")),
            Some(old) if old != digest => Some(format!("{path} changed")),
            Some(_) => None,
        });
        let removed =
            then.keys().filter(|path| !now.contains_key(*path)).map(|path| format!("{path} is gone"));
        let mut all = changed.chain(removed);
        let first = all.next()?;
        Some(match all.count() {
            0 => first,
            more => format!("{first}, and {more} more"),
        })
    }

    /// The first variable that has another value than before: `ARG VERSION 1.2 → 1.3`.
    fn changed_variable(&self, before: &Inputs) -> Option<String> {
        let (now, then) = (self.environment()?, before.environment()?);
        let all: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
        let name = all.into_iter().find(|name| now.get(*name) != then.get(*name))?;
        let kind = if self.arguments.iter().chain(&before.arguments).any(|argument| argument == name) {
            "ARG"
        } else {
            "ENV"
        };
        Some(match (then.get(name), now.get(name)) {
            (Some(then), Some(now)) => format!("{kind} {name} {then} → {now}"),
            (None, Some(now)) => format!("{kind} {name} is new: {now}"),
            _ => format!("{kind} {name} is gone"),
        })
    }

    /// What a process of the step finds in its environment, if it is one that runs a process.
    fn environment(&self) -> Option<BTreeMap<String, String>> {
        let (_, run): (String, Value) = serde_json::from_str(&self.definition).ok()?;
        let variables = run.get("environment")?.as_array()?.iter().filter_map(Value::as_str);
        let pairs = variables.filter_map(|variable| variable.split_once('='));
        Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl Cache {
    pub fn new(directory: PathBuf) -> Cache {
        Cache { directory, began: SystemTime::now(), has_grown: AtomicBool::new(false) }
    }

    pub fn record(&self, key: &Digest) -> Option<Record> {
        read(&self.path(STEPS, key)).map(|kept: Kept| kept.record)
    }

    /// Keeps what the step `title` came to and, with it, its layer, which stands on the layers `below`.
    pub fn keep_record(&self, key: &Digest, title: &str, below: &[Layer], record: &Record) -> io::Result<()> {
        let keeps = record.layer.as_ref().map_or(Vec::new(), |made| {
            let diff_ids = below.iter().map(|layer| layer.diff_id).chain([made.diff_id]);
            claims_of(&made.blob.digest, &diff_ids.collect::<Vec<_>>())
        });
        let path = self.path(STEPS, key);
        write(&path, &Kept { record: record.clone(), title: title.to_owned(), keeps })?;
        self.has_grown.store(true, Ordering::Relaxed);
        fs::File::open(path)?.set_modified(self.began)
    }

    /// Whether the build has added anything that could be too much.
    pub fn has_grown(&self) -> bool {
        self.has_grown.load(Ordering::Relaxed)
    }

    /// Notes that a record served: what was used last is kept longest.
    pub fn used(&self, key: &Digest) {
        let noted = fs::OpenOptions::new().append(true).open(self.path(STEPS, key)).and_then(|mut record| {
            record.write_all(b"\n")?;
            record.set_modified(self.began)
        });
        // It has served all the same. On a full disk it is thought to be a little older than it is.
        drop(noted);
    }

    /// What the last build that `identity` names went through.
    pub fn before(&self, identity: Digest) -> Before<'_> {
        Before { cache: self, identity, trace: OnceLock::new() }
    }

    /// The trace of the last build that `identity` names. Of large contexts it is large.
    fn trace(&self, identity: &Digest) -> Trace {
        let text = fs::read(self.path("traces", identity)).unwrap_or_default();
        let trace = text.splitn(2, |byte| *byte == b'\n').nth(1);
        trace.and_then(|trace| serde_json::from_slice(trace).ok()).unwrap_or_default()
    }

    /// Keeps the trace, after a line with the keys of its steps, unless it is there.
    pub fn keep_trace(&self, identity: &Digest, trace: &Trace) -> io::Result<()> {
        let path = self.path("traces", identity);
        let mut text = serde_json::to_vec(&trace.keys)?;
        text.push(b'\n');
        let mut there = Vec::new();
        let read =
            fs::File::open(&path).and_then(|file| file.take(text.len() as u64).read_to_end(&mut there));
        if read.is_ok() && there == text {
            return Ok(());
        }
        serde_json::to_writer(&mut text, trace)?;
        replace(&path, &text)
    }

    /// Where the digests of the files of the context `identity` names are kept.
    pub fn index_path(&self, identity: &Digest) -> PathBuf {
        self.path("contexts", identity)
    }

    pub fn scratch_path(&self) -> PathBuf {
        self.directory("scratch")
    }

    /// Where everything of one kind is, for one who may add to it.
    pub fn directory(&self, kind: &str) -> PathBuf {
        self.has_grown.store(true, Ordering::Relaxed);
        self.directory.join(kind)
    }

    fn path(&self, kind: &str, key: &Digest) -> PathBuf {
        self.directory.join(kind).join(key.hex())
    }
}

/// Puts `content` at `path`, for readers all at once.
///
/// It is written beside it, under a lock: what is there without one was left by a process that was killed, and is swept.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    loop {
        fs::create_dir_all(directory)?;
        let mut unique = [0; 8];
        getrandom::fill(&mut unique).map_err(io::Error::other)?;
        let aside = directory.join(format!(".{:016x}", u64::from_le_bytes(unique)));
        let mut file = fs::File::create_new(&aside)?;
        let written =
            hold::wait(&file).and_then(|()| file.write_all(content)).and_then(|()| fs::rename(&aside, path));
        match written {
            // It was swept before it was locked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                // The error that matters is the first; a left-over is swept with the cache.
                fs::remove_file(&aside).ok();
                return Err(error);
            }
            Ok(()) => return Ok(()),
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    replace(path, &serde_json::to_vec(value)?)
}

const STEPS: &str = "steps";

/// Part of every key: a change of what keys or operations mean changes it.
const FORMAT: &str = "sampan build 5";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn inputs(definition: &str, files: &[(&str, &str)]) -> Inputs {
        let files = files.iter().map(|(path, content)| (path.to_string(), Digest::of(content.as_bytes())));
        Inputs {
            title: definition.into(),
            definition: definition.into(),
            below: vec![],
            stands_on_base: true,
            arguments: vec!["V".into()],
            date: None,
            files: vec![files.collect()],
            uniform: None,
        }
    }

    #[test]
    fn a_difference_names_the_first_file_and_counts_the_others() {
        let before = inputs("COPY", &[("a", "1"), ("b", "1"), ("c", "1")]);
        for (now, expected) in [
            (inputs("COPY", &[("a", "1"), ("b", "1"), ("c", "1")]), None),
            (inputs("COPY", &[("a", "1"), ("b", "2"), ("c", "1")]), Some("b changed")),
            (inputs("COPY", &[("a", "1"), ("c", "1")]), Some("b is gone")),
            (inputs("COPY", &[("a", "2"), ("b", "2"), ("d", "1")]), Some("a changed, and 3 more")),
            (inputs("RUN", &[("a", "1"), ("b", "1"), ("c", "1")]), Some("the instruction changed")),
        ] {
            assert_eq!(now.difference(&before).as_deref(), expected);
            assert_eq!(now.key() == before.key(), expected.is_none());
        }
    }

    #[test]
    fn a_variable_that_changed_is_named_with_both_values() {
        let run = |environment: &str| inputs(&format!(r#"["run",{{"environment":[{environment}]}}]"#), &[]);
        let difference = |now: &str, then: &str| run(now).difference(&run(then));
        assert_eq!(difference(r#""V=2","E=1""#, r#""V=1","E=1""#).as_deref(), Some("ARG V 1 → 2"));
        assert_eq!(difference(r#""E=2""#, r#""E=1""#).as_deref(), Some("ENV E 1 → 2"));
        assert_eq!(difference(r#""V=2""#, "").as_deref(), Some("ARG V is new: 2"));
        assert_eq!(difference("", r#""V=2""#).as_deref(), Some("ARG V is gone"));
    }

    #[test]
    fn what_lies_below_is_the_base_or_a_step() {
        let on = |below: &[u8], stands_on_base| Inputs {
            below: vec![Digest::of(below)],
            stands_on_base,
            ..inputs("RUN", &[])
        };
        assert_eq!(on(b"1", true).difference(&on(b"2", true)).as_deref(), Some("base digest moved"));
        assert_eq!(on(b"1", false).difference(&on(b"2", false)).as_deref(), Some("parent changed"));
    }

    #[test]
    fn a_damaged_record_is_none() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let cache = Cache::new(directory.path().to_owned());
        let key = Digest::of(b"key");
        let layer = Layer { diff_id: key, blob: Descriptor::new("x", key, 1) };
        let record = Record { layer: Some(Made::of(&layer)), created: "2026-01-01T00:00:00Z".into() };
        assert_eq!(cache.record(&key), None);
        cache.keep_record(&key, "RUN", &[], &record).expect("kept");
        assert_eq!(cache.record(&key), Some(record.clone()));
        (0..3).for_each(|_| cache.used(&key));
        assert_eq!(cache.record(&key), Some(record));
        fs::write(cache.path("steps", &key), b"{\"lay").expect("damaged");
        assert_eq!(cache.record(&key), None);
    }

    #[test]
    fn a_trace_is_written_when_its_keys_change() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let cache = Cache::new(directory.path().to_owned());
        let identity = Digest::of(b"identity");
        let trace = |step: &Inputs| Trace {
            steps: [("a".to_owned(), step.clone())].into(),
            keys: [("a".to_owned(), step.key())].into(),
        };
        let (one, other) = (inputs("RUN", &[("a", "1")]), inputs("RUN", &[("a", "2")]));
        assert_eq!(cache.trace(&identity), Trace::default());
        cache.keep_trace(&identity, &trace(&one)).expect("kept");
        assert_eq!(cache.trace(&identity).steps, trace(&one).steps);
        let written = || fs::metadata(cache.path("traces", &identity)).expect("written").ino();
        let before = written();
        cache.keep_trace(&identity, &trace(&one)).expect("kept");
        assert_eq!(written(), before);
        cache.keep_trace(&identity, &trace(&other)).expect("kept");
        assert_ne!(written(), before);
        assert_eq!(cache.trace(&identity).steps, trace(&other).steps);
    }
    #[test]
    fn files_are_put_in_place_also_while_left_overs_are_swept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("record");
        let sweep = || {
            let entries = fs::read_dir(directory.path()).expect("listed").flatten();
            let aside = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."));
            for entry in aside {
                hold::remove(&entry.path()).expect("removed");
            }
        };
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    sweep();
                }
            });
            for number in 0..500 {
                replace(&path, number.to_string().as_bytes()).expect("replaced");
                assert_eq!(fs::read_to_string(&path).expect("there"), number.to_string());
            }
            is_done.store(true, Ordering::Relaxed);
        });
        fs::write(directory.path().join(".left"), "").expect("left over");
        sweep();
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
    }
}
