//! Removing from the cache: what is chosen, in which order, and how it goes.

use std::{collections::HashSet, fs, io, path::Path};

use engine::{Engine, EngineError};
use jiff::Timestamp;
use types::Digest;

use super::{
    Cache,
    filter::Filters,
    hold,
    usage::{Entry, Kind, Precision, Usage, files, look, usage},
};
use crate::scratch;

/// What is to be removed.
#[derive(Debug, Clone, Default)]
pub struct Pruning {
    /// Also what tells why steps were not cached, and records whose layers images need, which give nothing back.
    pub all: bool,
    pub filters: Filters,
    pub limits: Limits,
}

/// Where removing ends, in bytes. Without any limit everything is removed that is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The cache may always have as much.
    pub reserved: u64,
    /// It is to have no more, unless it is 0.
    pub max_used: u64,
    /// As much of the disk is to be free.
    pub min_free: u64,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    pub entries: Vec<Entry>,
    /// The disk space it gave back.
    pub bytes: u64,
}

/// Removes what is meant of the engine's cache, what was used longest ago first, but nothing that a build is at; and what
/// interrupted builds left there. Layers go with the last that needs them.
pub fn prune(engine: &Engine, pruning: &Pruning) -> Result<Pruned, EngineError> {
    let mut usage = usage(engine)?;
    let available = available(&engine.cache());
    let chosen = choose(&mut usage, pruning, &[], available, Timestamp::now());
    let pruned = remove(engine, usage, &chosen)?;
    engine.note_pruned("builder", pruned.bytes);
    Ok(pruned)
}

/// What [`prune`] would remove if images and containers needed this much of the store, and what each gives back, in bytes, once
/// those before it are gone.
pub fn plan(
    engine: &Engine,
    pruning: &Pruning,
    needed: HashSet<Digest>,
) -> Result<Vec<(Entry, u64)>, EngineError> {
    let mut usage = look(engine, Precision::Measured, needed)?;
    let mut layers = usage.layers.clone();
    let chosen = choose(&mut usage, pruning, &[], available(&engine.cache()), Timestamp::now());
    let with_bytes = |place: usize| {
        let entry = usage.entries[place].clone();
        let bytes = entry.own + layers.let_go(&entry);
        (entry, bytes)
    };
    Ok(chosen.into_iter().map(with_bytes).collect())
}

/// Which entries go, by their places in `usage`, besides those that are `gone` already. The layers of `usage` are without
/// them then.
pub(super) fn choose(
    usage: &mut Usage,
    pruning: &Pruning,
    gone: &[usize],
    available: u64,
    now: Timestamp,
) -> Vec<usize> {
    let gone_own: u64 = gone.iter().map(|place| usage.entries[*place].own).sum();
    let mut total = usage.private() - gone_own;
    let keep = pruning.limits.keep(total, available);
    let mut chosen = Vec::new();
    for (place, entry) in usage.entries.iter().enumerate() {
        if keep.is_some_and(|keep| total <= keep) {
            break;
        }
        let is_meant = pruning.filters.select(entry, now);
        let is_spared = gone.contains(&place)
            || entry.in_use
            || !pruning.all && (entry.shared || matches!(entry.kind, Kind::Trace | Kind::Build));
        if is_meant && !is_spared {
            total -= entry.own + usage.layers.let_go(entry);
            chosen.push(place);
        }
    }
    chosen
}

impl Limits {
    /// What a cache of `total` bytes may keep on a disk that has `available`; `None` if there is no limit to removing.
    fn keep(&self, total: u64, available: u64) -> Option<u64> {
        let Limits { reserved, max_used, min_free } = *self;
        if *self == Limits::default() {
            return None;
        }
        let mut keep = if max_used > 0 { Some(max_used) } else { None };
        let missing = min_free.saturating_sub(available);
        if missing > 0 {
            let shrunk = total.saturating_sub(missing);
            keep = Some(keep.map_or(shrunk, |keep| keep.min(shrunk)));
        }
        Some(match keep {
            Some(keep) => keep.max(reserved),
            // Only what is free matters, and enough is; or only what is reserved.
            None if min_free > 0 => u64::MAX,
            None => reserved,
        })
    }
}

/// Removes these entries of `usage`, and what is left over of builds that were killed.
pub(super) fn remove(engine: &Engine, usage: Usage, chosen: &[usize]) -> Result<Pruned, EngineError> {
    let cache = Cache::new(engine.cache());
    let failed = |source| EngineError::File { path: engine.cache(), source };
    let mut pruned = Pruned::default();
    for (place, entry) in usage.entries.into_iter().enumerate() {
        if chosen.contains(&place) && entry.remove(&cache).map_err(failed)? {
            pruned.bytes += entry.own;
            pruned.entries.push(entry);
        }
    }
    pruned.bytes += sweep(engine, &cache)?;
    pruned.bytes += engine.collect()?.bytes;
    Ok(pruned)
}

impl Entry {
    /// Removes its files; false if somebody has begun to use it.
    fn remove(&self, cache: &Cache) -> io::Result<bool> {
        match self.kind {
            Kind::Step | Kind::Context | Kind::Trace => present(fs::remove_file(&self.path)).map(|_| true),
            Kind::Mount | Kind::Git | Kind::Download | Kind::Build => {
                let Some(Some(_lock)) = present(hold::lock(&self.path))? else { return Ok(false) };
                // Out of everyone's sight first: half of it is of no use to anybody.
                let trash = scratch::Scratch::new(&cache.scratch_path())?;
                trash.take(&self.path)?;
                Ok(true)
            }
        }
    }
}

/// Removes what interrupted builds left; what it took, in bytes.
fn sweep(engine: &Engine, cache: &Cache) -> Result<u64, EngineError> {
    let mut measure = engine::usage::Measure::default();
    let mut bytes = 0;
    let before = measure.tree(&cache.scratch_path())?;
    let failed = |source| EngineError::File { path: engine.cache(), source };
    present(scratch::sweep(&cache.scratch_path())).map_err(failed)?;
    let after = engine::usage::Measure::default().tree(&cache.scratch_path())?;
    bytes += before.saturating_sub(after);
    for directory in ["steps", "contexts", "traces", "turns"] {
        for path in files(&engine.cache().join(directory))? {
            if is_of_running_build(directory, &path) {
                let space = measure.tree(&path)?;
                // Whoever was to give it its name, or to take the turn, begins again.
                if hold::remove(&path).map_err(failed)? {
                    bytes += space;
                }
            }
        }
    }
    Ok(bytes)
}

/// Whether a file is there only while a build is at it: one that has not its name yet, or a turn.
fn is_of_running_build(directory: &str, path: &Path) -> bool {
    directory == "turns" || path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// What the file system has left for the cache, in bytes.
pub(super) fn available(cache: &Path) -> u64 {
    rustix::fs::statvfs(cache).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize)
}

/// `None` for what is not there any more.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::usage::tests::{cache, entry};

    /// The ids of what goes of three steps and a trace, at the time 1000.
    fn gone(pruning: &Pruning, available: u64) -> String {
        let (shared, own) = (Digest::of(b"shared"), Digest::of(b"own"));
        let needed = Entry { keeps: vec![shared], shared: true, ..entry("a", Kind::Step, 1, 100) };
        let large = Entry { keeps: vec![own], ..entry("b", Kind::Step, 1, 200) };
        let at_work = Entry { in_use: true, ..entry("c", Kind::Mount, 100, 300) };
        let trace = entry("d", Kind::Trace, 5, 400);
        let last = entry("e", Kind::Mount, 50, 500);
        let entries = vec![needed, large, at_work, trace, last];
        let mut usage = cache(entries, &[(shared, 5000), (own, 1000)], &[shared]);
        let now = Timestamp::from_second(1000).expect("in range");
        let chosen = choose(&mut usage, pruning, &[], available, now);
        chosen.into_iter().map(|place| usage.entries[place].id.as_str()).collect()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_in_use_stays() {
        let all = Pruning { all: true, ..Pruning::default() };
        assert_eq!(gone(&Pruning::default(), 0), "be");
        assert_eq!(gone(&all, 0), "abde");
        let filters = Filters::parse([("until", "13m")]).expect("filters");
        assert_eq!(gone(&Pruning { filters, ..all.clone() }, 0), "ab");
        let filters = Filters::parse([("type", "exec.cachemount")]).expect("filters");
        assert_eq!(gone(&Pruning { filters, ..all }, 0), "e");
    }

    #[test]
    fn removing_ends_where_the_limits_are_met() {
        // Only the cache takes 1157 bytes.
        let limited = |reserved, max_used, min_free, available| {
            let limits = Limits { reserved, max_used, min_free };
            gone(&Pruning { all: true, limits, ..Pruning::default() }, available)
        };
        assert_eq!(limited(2000, 0, 0, 0), "");
        assert_eq!(limited(1156, 0, 0, 0), "a");
        assert_eq!(limited(1155, 0, 0, 0), "ab");
        assert_eq!(limited(0, 1157, 0, 0), "");
        assert_eq!(limited(0, 150, 0, 0), "abd");
        assert_eq!(limited(0, 149, 0, 0), "abde");
        assert_eq!(limited(155, 150, 0, 0), "ab");
        assert_eq!(limited(0, 0, 100, 100), "");
        assert_eq!(limited(0, 0, 101, 100), "a");
        assert_eq!(limited(0, 0, 200, 100), "ab");
        assert_eq!(limited(2000, 0, 200, 100), "");
    }
}
