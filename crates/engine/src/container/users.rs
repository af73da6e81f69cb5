//! Whose numbers a container's users have: the host's own, or a range of them that nobody else has while the container runs.
//!
//! Nothing on disk has a container's range, for layers, volumes and directories of the host are mounted with mapped owners.
//! So a range is like an address: claimed when a container starts, and free again when it has ended.
//!
//! ```text
//!   /run/sampan/users/<first>-<size>     the directory of the container that has it
//! ```
//!
//! All engines of a machine claim in one place, whatever their roots: a user number is one for the whole machine.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use monitor::Lock;
use rustix::fs::{FlockOperation, flock};

use super::status::Container;
use crate::{DEFAULT_RUN, Engine, error::EngineError};

/// Whose numbers a container's users have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// Nothing is said: the host's, or those of the container whose other namespaces it joins.
    #[default]
    Unsaid,
    Host,
    /// A range of its own, in a user namespace of its own. Its size, if that is not the usual one.
    Auto {
        size: Option<u32>,
    },
}

/// No mode of user namespaces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsers {
    #[error("invalid USER mode")]
    Mode,
    #[error("keep-id is not supported: root in a container of an ordinary user is that user outside")]
    KeepId,
    #[error("unknown option of auto: {0}")]
    Option(String),
    #[error("invalid size {0}: a number from 1 to 65536, as many users as the container has")]
    Size(String),
}

/// `host`, `auto`, or `auto:size=NUMBER`; nothing for [`Users::Unsaid`].
impl FromStr for Users {
    type Err = InvalidUsers;

    fn from_str(text: &str) -> Result<Users, InvalidUsers> {
        let (mode, options) = text.split_once(':').map_or((text, None), |(mode, rest)| (mode, Some(rest)));
        match (mode, options) {
            ("", None) => Ok(Users::Unsaid),
            ("host", None) => Ok(Users::Host),
            ("auto", None) => Ok(Users::Auto { size: None }),
            ("auto", Some(option)) => match option.strip_prefix("size=") {
                Some(size) => {
                    let parsed = size.parse().ok().filter(|size| (1..=USUAL_SIZE).contains(size));
                    Ok(Users::Auto { size: Some(parsed.ok_or_else(|| InvalidUsers::Size(size.to_owned()))?) })
                }
                None => Err(InvalidUsers::Option(option.to_owned())),
            },
            ("keep-id", _) => Err(InvalidUsers::KeepId),
            _ => Err(InvalidUsers::Mode),
        }
    }
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Users::Unsaid => Ok(()),
            Users::Host => f.write_str("host"),
            Users::Auto { size: None } => f.write_str("auto"),
            Users::Auto { size: Some(size) } => write!(f, "auto:size={size}"),
        }
    }
}

/// Numbers of the host, of users and of groups alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub first: u32,
    pub size: u32,
}

impl Range {
    /// The number after the last; all fit, for the kernel has no user 4294967295.
    fn end(self) -> u32 {
        self.first + self.size
    }

    fn overlaps(self, other: Range) -> bool {
        self.first < other.end() && other.first < self.end()
    }

    /// What is in both.
    fn and(self, other: Range) -> Option<Range> {
        let (first, end) = (self.first.max(other.first), self.end().min(other.end()));
        (first < end).then(|| Range { first, size: end - first })
    }
}

impl Engine {
    /// Claims a range of `size` numbers, or as many as are usual, for a container that is about to start. With it comes the
    /// file that says so, to be removed when the container has ended.
    pub(super) fn claim_users(
        &self,
        container: &Container,
        size: Option<u32>,
    ) -> Result<(Range, PathBuf), EngineError> {
        let size = size.unwrap_or(USUAL_SIZE);
        let pool = pool()?;
        let claims = Path::new(DEFAULT_RUN).join("users");
        let failed = |source| EngineError::File { path: claims.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&claims).map_err(failed)?;
        // One at a time chooses. The kernel lets go of the lock if the chooser is killed.
        let lock = File::open(&claims).map_err(failed)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
            .map_err(|error| failed(error.into()))?;
        let mut taken = taken(&claims).map_err(failed)?;
        let mut found = free(&pool, &taken, size);
        if found.is_none() {
            taken.retain(|range| is_held(&claims, *range));
            found = free(&pool, &taken, size);
        }
        let range = found.ok_or(EngineError::NoUsers { size })?;
        // Elsewhere first: nobody is to see half of it.
        let (file, aside) = (claims.join(name(range)), claims.join(".claim"));
        fs::write(&aside, container.directory.as_os_str().as_bytes())
            .and_then(|()| fs::rename(&aside, &file))
            .map_err(failed)?;
        Ok((range, file))
    }
}

fn name(range: Range) -> String {
    format!("{}-{}", range.first, range.size)
}

/// The ranges that are claimed.
fn taken(claims: &Path) -> io::Result<Vec<Range>> {
    let range = |name: &str| {
        let (first, size) = name.split_once('-')?;
        Some(Range { first: first.parse().ok()?, size: size.parse().ok()? })
    };
    let mut ranges = Vec::new();
    for entry in fs::read_dir(claims)? {
        ranges.extend(entry?.file_name().to_str().and_then(range));
    }
    Ok(ranges)
}

/// Whether somebody is in charge of the container that has claimed a range. If not, the claim is removed.
fn is_held(claims: &Path, range: Range) -> bool {
    let file = claims.join(name(range));
    let holder = fs::read(&file).unwrap_or_default();
    let holder = Path::new(std::ffi::OsStr::from_bytes(&holder));
    // Its directory, with the lock in it, goes when it is removed.
    let is_held = holder.is_absolute() && holder.exists() && matches!(Lock::try_take(holder), Ok(None));
    if !is_held {
        // One that stays is found to be stale again.
        let _ = fs::remove_file(file);
    }
    is_held
}

/// The first `size` numbers of `pool` that nobody has.
fn free(pool: &[Range], taken: &[Range], size: u32) -> Option<Range> {
    for part in pool {
        let mut first = part.first;
        while part.end().checked_sub(first).is_some_and(|left| left >= size) {
            let range = Range { first, size };
            match taken.iter().filter(|other| range.overlaps(**other)).map(|other| other.end()).max() {
                None => return Some(range),
                Some(end) => first = end,
            }
        }
    }
    None
}

/// The numbers that containers may have: those that /etc/subuid and /etc/subgid give to the user `containers`, or else a great
/// many above those that anybody else has.
fn pool() -> Result<Vec<Range>, EngineError> {
    let read = |path: &str| match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|source| EngineError::File { path: path.into(), source }),
    };
    let (users, groups) = (parse(&read("/etc/subuid")?), parse(&read("/etc/subgid")?));
    if users.is_empty() && groups.is_empty() {
        return Ok(vec![FAR_ABOVE]);
    }
    // A container's users and groups are the same numbers.
    Ok(users.iter().flat_map(|one| groups.iter().filter_map(|other| one.and(*other))).collect())
}

/// The ranges of the user `containers` in the text of /etc/subuid. See subuid(5).
fn parse(text: &str) -> Vec<Range> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let (OWNER, first, size) =
            (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)
        else {
            return None;
        };
        let left = u32::MAX - first;
        Some(Range { first, size: u32::min(size, left) }).filter(|range| range.size > 0)
    };
    text.lines().filter_map(range).collect()
}

/// Whose subordinate numbers are for containers, as podman has it.
const OWNER: &str = "containers";
/// As many numbers as users and groups of images have.
const USUAL_SIZE: u32 = 1 << 16;
/// The upper half of all numbers but for the last 65536. Nobody gives these away: users have smaller ones, and systemd's
/// containers end at 0x6fffffff; see systemd's UIDS-GIDS.
const FAR_ABOVE: Range = Range { first: 1 << 31, size: (1 << 31) - (1 << 16) };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_they_are_read() {
        for text in ["", "host", "auto", "auto:size=1024"] {
            assert_eq!(text.parse::<Users>().map(|users| users.to_string()), Ok(text.to_owned()));
        }
        let refused = |text: &str| text.parse::<Users>().unwrap_err().to_string();
        assert_eq!(refused("nosuch"), "invalid USER mode");
        assert_eq!(refused("host:x"), "invalid USER mode");
        assert_eq!(refused("auto:nosuch=1"), "unknown option of auto: nosuch=1");
        for size in ["0", "65537", "x", ""] {
            assert!(refused(&format!("auto:size={size}")).starts_with("invalid size"), "{size}");
        }
        assert!(refused("keep-id").contains("ordinary user"));
    }

    #[test]
    fn ranges_are_taken_in_order_but_for_those_that_others_have() {
        let range = |first, size| Range { first, size };
        let pool = [range(1000, 100), range(5000, 200)];
        assert_eq!(free(&pool, &[], 100), Some(range(1000, 100)));
        assert_eq!(free(&pool, &[range(1000, 100)], 100), Some(range(5000, 100)));
        assert_eq!(free(&pool, &[range(1010, 10), range(1000, 15)], 50), Some(range(1020, 50)));
        assert_eq!(free(&pool, &[range(900, 110), range(5050, 1)], 100), Some(range(5051, 100)));
        assert_eq!(free(&pool, &[range(5050, 100)], 150), None);
        let last = free(&[FAR_ABOVE], &[range(FAR_ABOVE.first, FAR_ABOVE.size - 65536)], 65536);
        assert_eq!(last.map(Range::end), Some(u32::MAX - 65535));
    }

    #[test]
    fn subordinate_numbers_are_those_of_one_user() {
        let text =
            "root:100000:65536\ncontainers:200000:1000\nx\ncontainers:y:1\ncontainers:4294967290:100\n";
        let (one, other) = (Range { first: 200_000, size: 1000 }, Range { first: 4_294_967_290, size: 5 });
        assert_eq!(parse(text), [one, other]);
        assert_eq!(one.and(Range { first: 200_500, size: 1000 }), Some(Range { first: 200_500, size: 500 }));
        assert_eq!(one.and(other), None);
    }
}
