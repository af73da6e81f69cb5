//! Ranges of user numbers, and files that appear to be of other users.

use std::{fs, path::Path};

use super::{Finding, storage::existing};

pub fn examine(root: &Path) -> Vec<Finding> {
    match sys::rootless::is_rootless() {
        // Their containers share the user's own namespace.
        true => vec![ranges()],
        false => vec![ranges(), mapped_owners(root)],
    }
}

/// The ranges in subuid(5) and subgid(5): other programs' users are given numbers from there.
fn ranges() -> Finding {
    let lines = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(Range::parse).collect::<Vec<_>>()
    };
    let (users, groups) = (lines("/etc/subuid"), lines("/etc/subgid"));
    if let Some((a, b)) = overlap(&users).or_else(|| overlap(&groups)) {
        let text = format!("{} and {} have numbers in common", a.owner, b.owner);
        return Finding::warn(
            "ranges",
            text,
            "give each user of /etc/subuid and /etc/subgid a range of its own",
        );
    }
    match users.len() {
        0 => Finding::ok("ranges", "none in /etc/subuid: all numbers are free for containers"),
        count => Finding::ok("ranges", format!("{count} in /etc/subuid, apart from each other")),
    }
}

/// A line of subuid(5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    owner: String,
    first: u64,
    count: u64,
}

impl Range {
    fn parse(line: &str) -> Option<Range> {
        let mut fields = line.split(':');
        let owner = fields.next()?.to_owned();
        Some(Range { owner, first: fields.next()?.parse().ok()?, count: fields.next()?.trim().parse().ok()? })
    }

    fn overlaps(&self, other: &Range) -> bool {
        self.first < other.first.saturating_add(other.count)
            && other.first < self.first.saturating_add(self.count)
    }
}

/// Two owners who have a number in common.
fn overlap(ranges: &[Range]) -> Option<(&Range, &Range)> {
    let pairs = ranges.iter().enumerate().flat_map(|(at, a)| ranges[at + 1..].iter().map(move |b| (a, b)));
    pairs.into_iter().find(|(a, b)| a.owner != b.owner && a.overlaps(b))
}

/// Whether the file system that layers lie on can show files as another's, which spares copying them.
fn mapped_owners(root: &Path) -> Finding {
    match runtime::maps_owners(existing(root)) {
        Ok(()) => Finding::ok("mapped owners", "layers and volumes can be shown as other users'"),
        Err(error) => Finding::warn(
            "mapped owners",
            format!("not on the file system of {}: {error}", root.display()),
            "`--userns=auto` takes ext4, xfs, btrfs or another file system with idmapped mounts",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &str, expected: Option<(&str, &str)>) {
        let ranges: Vec<Range> = lines.lines().filter_map(Range::parse).collect();
        let found = overlap(&ranges).map(|(a, b)| (a.owner.as_str(), b.owner.as_str()));
        assert_eq!(found, expected, "{lines}");
    }

    #[test]
    fn ranges_of_two_users_are_to_be_apart() {
        check("", None);
        check("a:100000:65536\nb:165536:65536\n", None);
        check("a:100000:65536\nb:165535:65536\n", Some(("a", "b")));
        check("a:100000:65536\na:100000:65536\n", None);
        check("a:100000\nb:nonsense:1\n# comment\n", None);
        check("a:0:18446744073709551615\nb:18446744073709551615:1\n", None);
    }
}
