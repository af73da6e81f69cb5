//! Keeping the cache within bounds without being asked, by BuildKit's rules.
//!
//! It may have a tenth of the disk in any case, and up to 80 % of it as long as 20 % are free; what was used longest ago
//! goes first. What is made again easily goes sooner.

use std::{
    env,
    fs::{self, File},
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use engine::{Engine, EngineError};
use jiff::Timestamp;
use types::Bytes;

use super::{
    filter::Filters,
    prune::{Limits, Pruning, available, choose, remove},
    usage::{Kind, Precision, look},
};

/// What the cache may take of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// It may always have as much.
    pub reserved: Space,
    /// It is to have no more.
    pub max_used: Space,
    /// As much of the disk is to stay free.
    pub min_free: Space,
}

/// An amount of disk space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Bytes(u64),
    /// Of the whole disk.
    Percent(u64),
}

/// A setting that is no amount of space.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is {value:?}, expected a size such as 20GB, or a share of the disk such as 10%")]
pub struct InvalidBudget {
    variable: &'static str,
    value: String,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { reserved: Space::Percent(10), max_used: Space::Percent(80), min_free: Space::Percent(20) }
    }
}

impl Budget {
    /// The default, but for what `SAMPAN_CACHE_RESERVED_SPACE`, `SAMPAN_CACHE_MAX_USED_SPACE` and
    /// `SAMPAN_CACHE_MIN_FREE_SPACE` say.
    pub fn from_environment() -> Result<Budget, InvalidBudget> {
        let mut budget = Budget::default();
        for (variable, space) in [
            ("SAMPAN_CACHE_RESERVED_SPACE", &mut budget.reserved),
            ("SAMPAN_CACHE_MAX_USED_SPACE", &mut budget.max_used),
            ("SAMPAN_CACHE_MIN_FREE_SPACE", &mut budget.min_free),
        ] {
            if let Some(value) = env::var(variable).ok().filter(|value| !value.is_empty()) {
                *space = Space::parse(&value).ok_or(InvalidBudget { variable, value })?;
            }
        }
        Ok(budget)
    }

    fn limits(&self, disk: u64) -> Limits {
        Limits {
            reserved: self.reserved.of(disk),
            // None at all is as little as possible.
            max_used: self.max_used.of(disk).max(1),
            min_free: self.min_free.of(disk),
        }
    }

    /// What is done in turn, each until its limits are met.
    fn rules(&self, disk: u64) -> Vec<Pruning> {
        let limits = self.limits(disk);
        let easily_made = Limits { max_used: limits.max_used.min(EASILY_MADE), ..Limits::default() };
        let easy = [Kind::Mount, Kind::Git, Kind::Download, Kind::Context];
        let easy = easy.map(|kind| Pruning {
            filters: Filters::of_kind(kind, TWO_DAYS),
            limits: easily_made,
            ..Pruning::default()
        });
        let rest = [
            Pruning { filters: Filters::unused(SIXTY_DAYS), limits, ..Pruning::default() },
            Pruning { limits, ..Pruning::default() },
            Pruning { limits, all: true, ..Pruning::default() },
        ];
        easy.into_iter().chain(rest).collect()
    }
}

impl Space {
    fn parse(text: &str) -> Option<Space> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Space::Percent),
            None => text.parse::<Bytes>().ok().map(|bytes| Space::Bytes(bytes.0)),
        }
    }

    fn of(self, disk: u64) -> u64 {
        match self {
            Space::Bytes(bytes) => bytes,
            Space::Percent(percent) => (u128::from(disk) * u128::from(percent) / 100) as u64,
        }
    }
}

/// Removes what exceeds the budget from the engine's cache; the bytes it gave back. To be called when a build has added to
/// the cache: it does nothing if it has been done within the last minute, and measures only what seems too large.
pub fn bound(engine: &Engine, budget: &Budget) -> Result<u64, EngineError> {
    let cache = engine.cache();
    if !is_due(&cache.join(LAST)).map_err(|source| EngineError::File { path: cache.join(LAST), source })? {
        return Ok(0);
    }
    let rules = budget.rules(size_of_disk(&cache));
    let exceeds = |precision| -> Result<_, EngineError> {
        let mut usage = look(engine, precision, engine.needed_by_images()?)?;
        let mut chosen: Vec<usize> = Vec::new();
        for rule in &rules {
            let more = choose(&mut usage, rule, &chosen, available(&cache), Timestamp::now());
            chosen.extend(more);
        }
        chosen.sort_unstable();
        Ok((usage, chosen))
    };
    if exceeds(Precision::Estimated)?.1.is_empty() {
        return Ok(0);
    }
    let (usage, chosen) = exceeds(Precision::Measured)?;
    Ok(remove(engine, usage, &chosen)?.bytes)
}

/// Whether it is time to look again; from now on it is not for a while.
fn is_due(last: &Path) -> io::Result<bool> {
    let age = fs::metadata(last).and_then(|metadata| metadata.modified());
    let age = age.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    if age.is_some_and(|age| age < PAUSE) {
        return Ok(false);
    }
    File::create(last)?.set_modified(SystemTime::now())?;
    Ok(true)
}

fn size_of_disk(cache: &Path) -> u64 {
    rustix::fs::statvfs(cache).map_or(u64::MAX, |disk| disk.f_blocks * disk.f_frsize)
}

/// Below the cache's directory: its modification time tells when the budget was last looked after.
const LAST: &str = "bounded";

/// So often at most, as BuildKit.
const PAUSE: Duration = Duration::from_mins(1);

/// How much of what is made again easily may be kept although it was not used for two days.
const EASILY_MADE: u64 = 512_000_000;
const TWO_DAYS: Duration = Duration::from_hours(48);
const SIXTY_DAYS: Duration = Duration::from_hours(60 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_size_or_a_share_of_the_disk() {
        for (text, expected) in [
            ("20GB", Some(20 << 30)),
            ("0", Some(0)),
            ("10%", Some(100)),
            ("100%", Some(1000)),
            ("101%", None),
            ("much", None),
            ("%", None),
        ] {
            assert_eq!(Space::parse(text).map(|space| space.of(1000)), expected, "{text}");
        }
    }

    #[test]
    fn looking_after_it_rests_for_a_minute() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let last = directory.path().join(LAST);
        assert!(is_due(&last).expect("first"));
        assert!(!is_due(&last).expect("second"));
        let file = File::open(&last).expect("stamp");
        file.set_modified(SystemTime::now() - 2 * PAUSE).expect("aged");
        assert!(is_due(&last).expect("third"));
    }
}
