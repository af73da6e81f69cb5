//! How the owners of files in a user namespace look to those outside: by other numbers. See user_namespaces(7).

use std::{fs, io};

use super::Owner;

/// Which numbers outside stand for which numbers inside. By default, every number for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners(Option<Maps>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Maps {
    users: Vec<Line>,
    groups: Vec<Line>,
}

/// `count` numbers from `inside` on, which are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    inside: u32,
    outside: u32,
    count: u32,
}

impl Owners {
    /// As the process with this number has them.
    pub fn of_process(pid: i32) -> io::Result<Owners> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        Ok(Owners::parse(&read("uid_map")?, &read("gid_map")?))
    }

    /// A file's extended attribute as it is inside, where capabilities that are for the namespace's root are everybody's. See
    /// "Namespaced file capabilities" in capabilities(7).
    pub fn attribute_inside(&self, name: &[u8], seen: Vec<u8>) -> Vec<u8> {
        match (self.root_for(name), seen.as_slice()) {
            (Some(root), [flags, 0, 0, OF_NAMESPACE, sets @ .., a, b, c, d])
                if sets.len() == SETS && [*a, *b, *c, *d] == root =>
            {
                [&[*flags, 0, 0, OF_EVERYBODY], sets].concat()
            }
            _ => seen,
        }
    }

    /// The reverse of [`Owners::attribute_inside`].
    pub fn attribute_outside(&self, name: &[u8], wanted: Vec<u8>) -> Vec<u8> {
        match (self.root_for(name), wanted.as_slice()) {
            (Some(root), [flags, 0, 0, OF_EVERYBODY, sets @ ..]) if sets.len() == SETS => {
                [&[*flags, 0, 0, OF_NAMESPACE], sets, &root].concat()
            }
            _ => wanted,
        }
    }

    /// The root inside as capabilities name it, if this attribute holds some.
    fn root_for(&self, name: &[u8]) -> Option<[u8; 4]> {
        let _maps = self.0.as_ref().filter(|_| name == b"security.capability")?;
        Some(self.outside(Owner::default()).ok()?.uid.to_le_bytes())
    }

    /// Does something as the root inside, who makes files there when the host's root cannot.
    pub fn as_root<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        match &self.0 {
            None => Ok(work()),
            Some(_) => {
                let Owner { uid, gid } = self.outside(Owner::default())?;
                sys::process::with_file_system_ids(uid, gid, work)
            }
        }
    }

    fn parse(users: &str, groups: &str) -> Owners {
        let maps = Maps { users: lines(users), groups: lines(groups) };
        let same = |lines: &[Line]| lines.iter().all(|line| line.inside == line.outside);
        Owners(Some(maps).filter(|maps| !same(&maps.users) || !same(&maps.groups)))
    }

    /// The owner that a file has inside, which is `seen` outside. Whose number does not exist there is nobody.
    pub fn inside(&self, seen: Owner) -> Owner {
        let Some(Maps { users, groups }) = &self.0 else { return seen };
        let inside = |lines: &[Line], number: u32| {
            let found = lines.iter().find_map(|line| line.lead(number, line.outside, line.inside));
            found.unwrap_or(NOBODY)
        };
        Owner { uid: inside(users, seen.uid), gid: inside(groups, seen.gid) }
    }

    /// The owner to give to a file outside, for it to have `wanted` inside.
    ///
    /// Fails if there is no such number inside.
    pub fn outside(&self, wanted: Owner) -> io::Result<Owner> {
        let Some(Maps { users, groups }) = &self.0 else { return Ok(wanted) };
        let outside = |lines: &[Line], number: u32| {
            let found = lines.iter().find_map(|line| line.lead(number, line.inside, line.outside));
            let why = || format!("{number} is no number of the container's users");
            found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, why()))
        };
        Ok(Owner { uid: outside(users, wanted.uid)?, gid: outside(groups, wanted.gid)? })
    }
}

impl Line {
    fn lead(&self, number: u32, from: u32, to: u32) -> Option<u32> {
        number.checked_sub(from).filter(|nth| *nth < self.count).map(|nth| to + nth)
    }
}

fn lines(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        match (numbers.next()?, numbers.next()?, numbers.next()?) {
            (Ok(inside), Ok(outside), Ok(count)) => Some(Line { inside, outside, count }),
            _ => None,
        }
    };
    text.lines().filter_map(line).collect()
}

/// VFS_CAP_REVISION_2 and _3, the last byte of a little-endian number: the latter ends with the root user it is for.
const OF_EVERYBODY: u8 = 2;
const OF_NAMESPACE: u8 = 3;
/// The bytes of the sets in between.
const SETS: usize = 16;
/// Who owns what belongs to nobody in a namespace: /proc/sys/fs/overflowuid.
const NOBODY: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_the_namespaces_root_are_everybodys_inside() {
        let owners = Owners::parse("0 1000 10\n", "0 1000 10\n");
        let sets = [0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let of = |root: u32| [&[1, 0, 0, 3], &sets[..], &root.to_le_bytes()].concat();
        let name = b"security.capability";
        let everybodys = [&[1, 0, 0, 2], &sets[..]].concat();
        assert_eq!(owners.attribute_inside(name, of(1000)), everybodys);
        assert_eq!(owners.attribute_outside(name, everybodys.clone()), of(1000));
        assert_eq!(owners.attribute_outside(b"user.x", everybodys.clone()), everybodys);
        for other in [of(1001), vec![], vec![1, 0, 0, 3], everybodys] {
            assert_eq!(owners.attribute_inside(name, other.clone()), other);
        }
        assert_eq!(Owners::default().attribute_inside(name, of(1000)), of(1000));
    }

    #[test]
    fn numbers_lead_inside_and_out_again() {
        let owners = Owners::parse("0 1000 10\n", "0 2000 10\n");
        let owner = |uid, gid| Owner { uid, gid };
        assert_eq!(owners.inside(owner(1003, 2009)), owner(3, 9));
        assert_eq!(owners.inside(owner(0, 2010)), owner(NOBODY, NOBODY));
        assert_eq!(owners.outside(owner(3, 9)).expect("both exist"), owner(1003, 2009));
        assert!(owners.outside(owner(10, 0)).is_err());
        let host = Owners::parse("         0          0 4294967295\n", "0 0 4294967295\n");
        assert_eq!(host, Owners::default());
        assert_eq!(host.inside(owner(7, 8)), owner(7, 8));
    }
}
