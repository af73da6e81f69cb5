//! The user namespace that all processes of one engine of an ordinary user share. See user_namespaces(7).
//!
//! In it the user is root, and may do to what belongs to it what root may do to the machine. It lives as long as a process in it,
//! so each of them, command or monitor, says that it is there:
//!
//! ```text
//!   <directory>/<pid>     when the kernel made the process, as proc_pid_stat(5) has it
//! ```
//!
//! A command joins the first of them that still lives, whoever that is, and makes a new namespace if none does.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::DirBuilderExt},
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::DumpableBehavior,
    thread::{Gid, LinkNameSpaceType, Uid, move_into_link_name_space},
};

use crate::process::{Fork, Namespaces, fork, start_of, unshare};

/// How a process came to be root of a user namespace.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered {
    /// Others are there already.
    Joined,
    /// It is new, with the user's subordinate numbers for all users but root.
    WithUsers,
    /// It is new, and has no users but root, for this reason.
    WithRootOnly(String),
}

/// Whether this process is root in a user namespace, not the machine's root.
pub fn is_rootless() -> bool {
    static ROOTLESS: OnceLock<bool> = OnceLock::new();
    *ROOTLESS.get_or_init(|| {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        !map.is_empty() && !map.split_whitespace().eq(["0", "0", "4294967295"])
    })
}

/// Makes the calling process root in the user namespace of those that are listed in `directory`, or in a new one, with a mount
/// namespace that belongs to it. The working directory stays the same.
///
/// Fails with `EPERM`, `ENOSPC` or `EUSERS` where the machine lets ordinary users have none, and with `EINVAL` if the process has
/// other threads.
pub fn enter(directory: &Path) -> io::Result<Entered> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // One at a time looks, so that not two make what all are to share. The kernel lets go of the lock if its holder is killed.
    let lock = File::open(directory)?;
    rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
    let working_directory = std::env::current_dir()?;
    let entered = match join_any(directory)? {
        true => Entered::Joined,
        false => make()?,
    };
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    // Others are to find us in /proc.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    std::env::set_current_dir(working_directory)?;
    register(directory)?;
    Ok(entered)
}

/// Says in `directory` that this process is in the user namespace.
pub fn register(directory: &Path) -> io::Result<()> {
    let pid = std::process::id();
    fs::write(directory.join(pid.to_string()), start_of(pid.cast_signed())?.to_string())
}

/// Joins the namespaces of a process in the list that still lives; whether there is one. Those that do not are struck off.
fn join_any(directory: &Path) -> io::Result<bool> {
    let mut found = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let namespace = |name: &str| File::open(format!("/proc/{pid}/ns/{name}"));
        let opened = namespace("user").and_then(|users| Ok((users, namespace("mnt")?)));
        let told = fs::read_to_string(entry.path()).unwrap_or_default();
        // Asked last: what is open is then known to be that process's.
        match (opened, start_of(pid)) {
            (Ok(namespaces), Ok(start)) if start.to_string() == told => found = Some(namespaces),
            // One that stays is found to be gone again.
            _ => drop(fs::remove_file(entry.path())),
        }
    }
    let Some((users, mounts)) = found else { return Ok(false) };
    move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
    Ok(true)
}

/// Makes new namespaces for this process.
fn make() -> io::Result<Entered> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let ranges = Ranges::of(uid);
    let (go, wait) = {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        (File::from(write), File::from(read))
    };
    let own = std::process::id();
    let ranges = match ranges {
        Err(why) => {
            unshare(Namespaces::USER | Namespaces::MOUNT)?;
            return map_root_only(uid, gid).map(|()| Entered::WithRootOnly(why));
        }
        Ok(ranges) => ranges,
    };
    // Only somebody outside can give us users, with the privileges of two programs that know whose they are.
    match fork(Namespaces::NONE, None)? {
        Fork::Child => {
            drop(go);
            let told = io::Read::read(&mut &wait, &mut [0]);
            let mapped = matches!(told, Ok(1))
                && map("newuidmap", own, uid, &ranges.users)
                && map("newgidmap", own, gid, &ranges.groups);
            std::process::exit(i32::from(!mapped))
        }
        Fork::Parent(child) => {
            drop(wait);
            let unshared = unshare(Namespaces::USER | Namespaces::MOUNT);
            if unshared.is_ok() {
                io::Write::write_all(&mut &go, b"g")?;
            }
            drop(go);
            let code = child.wait()?;
            unshared?;
            match code {
                0 => Ok(Entered::WithUsers),
                _ => {
                    let why = "newuidmap or newgidmap failed";
                    map_root_only(uid, gid).map(|()| Entered::WithRootOnly(why.to_owned()))
                }
            }
        }
    }
}

/// Has root be `own` and the users after it those of `ranges`, by a program of the package uidmap; whether it did.
fn map(program: &str, process: u32, own: u32, ranges: &[(u32, u32)]) -> bool {
    let mut next = 1;
    let mut arguments = vec![process, 0, own, 1];
    for (first, count) in ranges {
        arguments.extend([next, *first, *count]);
        next += count;
    }
    let done = Command::new(Path::new(BINARIES).join(program))
        .args(arguments.iter().map(u32::to_string))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}

/// Has root be this user, and nobody else anybody: that takes nobody's help.
fn map_root_only(uid: u32, gid: u32) -> io::Result<()> {
    let write = |name: &str, text: &str| match fs::write(format!("/proc/self/{name}"), text) {
        // What a program has mapped before another one failed stays so.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && name != "setgroups" => Ok(()),
        written => written,
    };
    write("uid_map", &format!("0 {uid} 1\n"))?;
    write("setgroups", "deny")?;
    write("gid_map", &format!("0 {gid} 1\n"))
}

/// The subordinate numbers of a user: the first, and how many.
struct Ranges {
    users: Vec<(u32, u32)>,
    groups: Vec<(u32, u32)>,
}

impl Ranges {
    /// What /etc/subuid and /etc/subgid give to the user; or why that is of no use.
    fn of(uid: u32) -> Result<Ranges, String> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let name = name_of(uid, &read("/etc/passwd")).ok_or_else(|| format!("user {uid} has no name"))?;
        let ranges = |path: &str| match parse(&read(path), &name, uid) {
            ranges if ranges.is_empty() => Err(format!("{path} gives no numbers to user {name}")),
            ranges => Ok(ranges),
        };
        let ranges = Ranges { users: ranges("/etc/subuid")?, groups: ranges("/etc/subgid")? };
        match ["newuidmap", "newgidmap"].iter().find(|program| !Path::new(BINARIES).join(program).exists()) {
            Some(missing) => Err(format!("there is no {BINARIES}/{missing} (package uidmap)")),
            None => Ok(ranges),
        }
    }
}

/// The name of a user in the text of /etc/passwd.
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|fields| fields.get(2).is_some_and(|number| *number == uid.to_string()))?;
    Some(user[0].to_owned())
}

/// The ranges of a user in the text of /etc/subuid. See subuid(5).
fn parse(text: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        match fields.as_slice() {
            [owner, first, count] if *owner == name || *owner == uid.to_string() => {
                Some((first.parse().ok()?, count.parse().ok()?))
            }
            _ => None,
        }
    };
    text.lines().filter_map(range).filter(|(_, count)| *count > 0).collect()
}

/// Where the programs are that may map users: by their full path, for nobody is to choose others.
const BINARIES: &str = "/usr/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_numbers_are_found_by_name_and_number() {
        let text = "other:1:2\nme:100000:65536\n1000:5:6\nme:x:1\nme:9:0\n";
        assert_eq!(parse(text, "me", 1000), [(100_000, 65536), (5, 6)]);
        assert_eq!(parse(text, "nobody", 7), []);
        let passwd = "root:x:0:0::/:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(name_of(1000, passwd).as_deref(), Some("me"));
        assert_eq!(name_of(7, passwd), None);
    }
}
