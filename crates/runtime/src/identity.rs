//! Who a process is inside a container: user, groups, home, as the image's own files tell.

use std::{fs::File, io::Read, os::fd::BorrowedFd, path::Path};

use rustix::fs::{FileType, Mode, OFlags};
use sys::root;

use crate::failure::{Context, Failure};

/// A user by numbers, ready to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary one among them.
    pub groups: Vec<u32>,
    pub home: String,
}

impl Identity {
    /// Looks up `user[:group]` in `root`'s /etc/passwd and /etc/group. What consists of digits is a number and
    /// never a name; an empty text is root.
    pub fn look_up(root: BorrowedFd<'_>, user: &str) -> Result<Identity, Failure> {
        let passwd = read(root, "/etc/passwd")?;
        let group = read(root, "/etc/group")?;
        resolve(user, &passwd, &group)
    }

    /// Adds supplementary groups, by name or number.
    pub fn join<'a>(
        &mut self,
        root: BorrowedFd<'_>,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), Failure> {
        let file = read(root, "/etc/group")?;
        for name in names {
            let gid = group_number(name, &file)?;
            if !self.groups.contains(&gid) {
                self.groups.push(gid);
            }
        }
        Ok(())
    }
}

fn resolve(text: &str, passwd: &str, group: &str) -> Result<Identity, Failure> {
    let (user, group_name) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let user = if user.is_empty() { "0" } else { user };
    let mut users = passwd.lines().filter_map(User::parse);
    let entry = match number(user) {
        Some(uid) => users.find(|entry| entry.uid == uid),
        None => users.find(|entry| entry.name == user),
    };
    let uid = match (&entry, number(user)) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) if user.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(Failure::setup("uids and gids must be in range 0-2147483647"));
        }
        (None, None) => {
            return Err(Failure::setup(format_args!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    };
    let gid = match group_name.filter(|name| !name.is_empty()) {
        None => entry.as_ref().map_or(0, |entry| entry.gid),
        Some(name) => group_number(name, group)?,
    };
    let mut supplementary = vec![gid];
    // An explicit group replaces the ones the group file would add, as docker has it.
    if let (Some(entry), None) = (&entry, group_name) {
        let member = groups(group).filter(|g| g.members.split(',').any(|m| m == entry.name)).map(|g| g.gid);
        supplementary.extend(member.filter(|g| *g != gid));
    }
    let home = entry.map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(Identity { uid, gid, groups: supplementary, home: home.to_owned() })
}

/// The number of the group that is called `name` in the group file, or that `name` is.
fn group_number(name: &str, file: &str) -> Result<u32, Failure> {
    let named = || groups(file).find(|group| group.name == name).map(|group| group.gid);
    number(name).or_else(named).ok_or_else(|| {
        Failure::setup(format_args!("unable to find group {name}: no matching entries in group file"))
    })
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<User<'a>> {
        let fields: Vec<&str> = line.trim().split(':').collect();
        match fields.as_slice() {
            [name, _, uid, gid, rest @ ..] => Some(User {
                name,
                uid: number(uid)?,
                gid: number(gid)?,
                home: rest.get(1).copied().unwrap_or_default(),
            }),
            _ => None,
        }
    }
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(file: &str) -> impl Iterator<Item = Group<'_>> {
    file.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Group { name, gid: number(gid)?, members: fields.next().unwrap_or_default() })
    })
}

/// The user or group number that `text` is, if it consists of digits and fits.
fn number(text: &str) -> Option<u32> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // The last value means "no change" to the kernel.
    text.parse().ok().filter(|number| all_digits && *number < u32::MAX)
}

/// Reads a small regular file of the image; one that is missing reads as empty.
fn read(root: BorrowedFd<'_>, path: &str) -> Result<String, Failure> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match root::open(root, Path::new(path), flags, Mode::empty()) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error).context(path),
    };
    let stat = rustix::fs::fstat(&file).context(path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size > MOST_BYTES {
        return Err(Failure::setup(format_args!("{path} in the image is not a file of at most 1 MiB")));
    }
    let mut bytes = Vec::new();
    File::from(file).take(MOST_BYTES as u64).read_to_end(&mut bytes).context(path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const MOST_BYTES: i64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nredis:x:999:1000:redis:/data:/bin/false\n7:x:70:70::/seven:\nbad\n";
    const GROUP: &str = "root:x:0:\nredis:x:1000:\naudio:x:29:redis,other\n";

    fn check(user: &str, expected: &str) {
        let actual = match resolve(user, PASSWD, GROUP) {
            Ok(i) => format!("{}:{} {:?} {}", i.uid, i.gid, i.groups, i.home),
            Err(failure) => failure.to_string(),
        };
        assert_eq!(actual, expected, "{user:?}");
    }

    #[test]
    fn users_and_groups_are_looked_up_as_docker_does() {
        check("", "0:0 [0] /root");
        check("redis", "999:1000 [1000, 29] /data");
        check("999", "999:1000 [1000, 29] /data");
        check("redis:audio", "999:29 [29] /data");
        check("1234", "1234:0 [0] /");
        check("1234:5", "1234:5 [5] /");
        check(":29", "0:29 [29] /root");
    }

    #[test]
    fn digits_are_a_number_and_never_a_name() {
        check("7", "7:0 [0] /");
    }

    #[test]
    fn unknown_names_are_refused_with_dockers_words() {
        check("nobody", "unable to find user nobody: no matching entries in passwd file");
        check("redis:nogroup", "unable to find group nogroup: no matching entries in group file");
        check("4294967295", "uids and gids must be in range 0-2147483647");
        check("-1", "unable to find user -1: no matching entries in passwd file");
    }

    #[test]
    fn files_of_users_that_nobody_would_write_make_nobody_of_whom_they_do_not_speak() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/users");
        let words =
            [":", "\n", "--\n", "0", "-1", "4294967295", "4294967296", "root", "app", "x", ",", "+", "é"];
        testkit::fuzz(&corpus, &words, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let mut parts = text.splitn(3, "--\n").map(|part| part.strip_suffix('\n').unwrap_or(part));
            let mut part = || parts.next().unwrap_or_default();
            let (user, passwd, group) = (part(), part(), part());
            let Ok(identity) = resolve(user, passwd, group) else { return };
            let numbers = [identity.uid, identity.gid].into_iter().chain(identity.groups.iter().copied());
            assert!(numbers.clone().all(|number| number != u32::MAX), "{identity:?}");
            assert!(identity.groups.contains(&identity.gid) && !identity.home.is_empty(), "{identity:?}");
            // Nobody has a number that was not asked for, and that neither file has.
            let said = |number: u32| {
                let digits = |field: &str| field.parse() == Ok(number);
                number == 0 || text.split(|c: char| ":-,".contains(c) || c.is_whitespace()).any(digits)
            };
            assert!(numbers.into_iter().all(said), "{identity:?}");
            if let Some(uid) = number(user) {
                assert_eq!(identity.uid, uid);
            }
        });
    }
}
