//! A container's user namespace, as the process sees it that starts the container: which of the host's users and groups
//! are which inside. See user_namespaces(7).

use std::{
    fs::{self, File},
    os::fd::{AsFd, BorrowedFd},
};

use rustix::process::Pid;

use crate::failure::{Context, Failure};

/// The user namespace of a process, with its maps.
#[derive(Debug)]
pub(crate) struct Users {
    namespace: File,
    uids: Map,
    gids: Map,
}

impl Users {
    /// That of `process`, whose maps are written.
    pub fn of(process: Pid) -> Result<Users, Failure> {
        let process = format!("/proc/{}", process.as_raw_nonzero());
        let map = |name: &str| fs::read_to_string(format!("{process}/{name}")).map(|text| Map::parse(&text));
        Ok(Users {
            namespace: File::open(format!("{process}/ns/user")).context("the user namespace")?,
            uids: map("uid_map").context("the map of users")?,
            gids: map("gid_map").context("the map of groups")?,
        })
    }

    /// The host's number for a user of the container. What is nobody there stays what it is.
    pub fn uid(&self, inside: u32) -> u32 {
        self.uids.outside(inside).unwrap_or(inside)
    }

    /// The same for a group.
    pub fn gid(&self, inside: u32) -> u32 {
        self.gids.outside(inside).unwrap_or(inside)
    }

    /// The lines of uid_map(5) and gid_map(5) that lead through `uids` and `gids` first, and then from the container's
    /// numbers to the host's.
    pub fn after(&self, uids: &Map, gids: &Map) -> (String, String) {
        (uids.then(&self.uids).lines(), gids.then(&self.gids).lines())
    }
}

impl AsFd for Users {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// Which numbers stand for which others: lines of uid_map(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map(Vec<Line>);

/// `count` numbers from `inside` on, which are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

impl Map {
    /// Every number but the last, which is none, as itself; but `a` and `b` as each other.
    pub fn exchange(a: u32, b: u32) -> Map {
        let (low, high) = (a.min(b), a.max(b));
        let all = [
            (0, 0, low),
            (low, high, 1),
            (low.saturating_add(1), low.saturating_add(1), (high - low).saturating_sub(1)),
            (high, low, u32::from(high != low)),
            (high.saturating_add(1), high.saturating_add(1), (u32::MAX - high).saturating_sub(1)),
        ];
        let lines = all.iter().map(|(inside, outside, count)| Line {
            inside: *inside,
            outside: *outside,
            count: *count,
        });
        Map(lines.filter(|line| line.count > 0).collect())
    }

    /// What the kernel shows in uid_map. Lines that are none are passed over.
    fn parse(text: &str) -> Map {
        let line = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse);
            match (numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count))) => {
                    Some(Line { inside, outside, count })
                }
                _ => None,
            }
        };
        Map(text.lines().filter_map(line).collect())
    }

    fn outside(&self, inside: u32) -> Option<u32> {
        let line = self.0.iter().find(|line| inside.checked_sub(line.inside).is_some_and(|n| n < line.count));
        line.map(|line| line.outside + (inside - line.inside))
    }

    /// What comes of leading every number through this map and then through `next`.
    fn then(&self, next: &Map) -> Map {
        let mut lines = Vec::new();
        for one in &self.0 {
            for other in &next.0 {
                let from = one.outside.max(other.inside);
                let last = |first: u32, count: u32| u64::from(first) + u64::from(count);
                let end = last(one.outside, one.count).min(last(other.inside, other.count));
                if let Some(count) = end.checked_sub(u64::from(from)).filter(|count| *count > 0) {
                    lines.push(Line {
                        inside: one.inside + (from - one.outside),
                        outside: other.outside + (from - other.inside),
                        count: count as u32,
                    });
                }
            }
        }
        Map(lines)
    }

    pub fn lines(&self) -> String {
        let line = |line: &Line| format!("{} {} {}\n", line.inside, line.outside, line.count);
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_change_places_and_the_others_stay() {
        let exchange = |a, b| Map::exchange(a, b).lines();
        assert_eq!(exchange(0, 1000), "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n");
        assert_eq!(exchange(8, 7), "0 0 7\n7 8 1\n8 7 1\n9 9 4294967286\n");
        assert_eq!(exchange(5, 5), "0 0 5\n5 5 1\n6 6 4294967289\n");
    }

    #[test]
    fn numbers_go_through_one_map_and_then_through_another() {
        let range = Map::parse("         0 2147483648      65536\n");
        assert_eq!(
            Map::exchange(0, 1000).then(&range).lines(),
            "0 2147484648 1\n1 2147483649 999\n1000 2147483648 1\n1001 2147484649 64535\n"
        );
        // Who is nobody in the container is nobody at the mount.
        assert_eq!(
            Map::exchange(0, 100_000).then(&range).lines(),
            "1 2147483649 65535\n100000 2147483648 1\n"
        );
        assert_eq!((range.outside(65535), range.outside(65536)), (Some(2_147_549_183), None));
    }
}
