//! Starting processes and becoming other programs: clone3(2), execve(2), close_range(2).

use std::{
    ffi::{CStr, CString, c_char},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::Path,
    process::ExitStatus,
    ptr,
};

use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

/// Namespaces a process may be given of its own, see namespaces(7). Combines with `|`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Namespaces(u64);

impl Namespaces {
    pub const NONE: Namespaces = Namespaces(0);
    pub const MOUNT: Namespaces = Namespaces(libc::CLONE_NEWNS as u64);
    pub const PID: Namespaces = Namespaces(libc::CLONE_NEWPID as u64);
    pub const NETWORK: Namespaces = Namespaces(libc::CLONE_NEWNET as u64);
    pub const IPC: Namespaces = Namespaces(libc::CLONE_NEWIPC as u64);
    pub const UTS: Namespaces = Namespaces(libc::CLONE_NEWUTS as u64);
    pub const CGROUP: Namespaces = Namespaces(libc::CLONE_NEWCGROUP as u64);
    pub const USER: Namespaces = Namespaces(libc::CLONE_NEWUSER as u64);
    /// Cannot be given to a child at birth: see [`unshare`], which gives it to the children that follow.
    pub const TIME: Namespaces = Namespaces(libc::CLONE_NEWTIME as u64);

    pub fn contains(self, other: Namespaces) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn without(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Namespaces {
    type Output = Namespaces;

    fn bitor(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0 | other.0)
    }
}

/// Which of the two processes [`fork`] returned in.
#[derive(Debug)]
pub enum Fork {
    Child,
    Parent(Child),
}

/// A child process and the descriptor that stands for it, see pidfd_open(2).
#[derive(Debug)]
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

impl Child {
    /// Waits until the child has ended and collects it; its exit code, as [`exit_code`] has it.
    ///
    /// Fails with `ECHILD` if it was collected already.
    pub fn wait(&self) -> io::Result<u8> {
        let ended = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()))?;
        let (_, status) = ended.expect("without NOHANG it waits");
        Ok(exit_code(status))
    }
}

/// What a shell says of a process that ended so: its code, or 128 and the number of the signal that killed it.
pub fn exit_code(status: WaitStatus) -> u8 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128 + signal.unwrap_or_default() as u8,
    }
}

/// Makes a child in `namespaces` of its own and, where given, in the v2 cgroup `cgroup` refers to. See
/// clone3(2).
///
/// Fails with `EDEADLK` if the process has other threads: the child would hold the locks they held.
pub fn fork(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    clone(namespaces.0, libc::SIGCHLD, cgroup)
}

/// Makes a process that is a child of the caller's parent. Otherwise as [`fork`].
pub fn fork_sibling(namespaces: Namespaces) -> io::Result<Fork> {
    // The signal its parent gets is the caller's own; clone3 insists that none is named.
    clone(namespaces.0 | libc::CLONE_PARENT as u64, 0, None)
}

fn clone(flags: u64, exit_signal: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    if has_other_threads()? {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    let mut pidfd: i32 = -1;
    let mut flags = flags | libc::CLONE_PIDFD as u64;
    if cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    // SAFETY: all-zero is a valid clone_args: every field is an integer that means "not used" when 0.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.pidfd = ptr::addr_of_mut!(pidfd) as u64;
    arguments.exit_signal = exit_signal as u64;
    arguments.cgroup = cgroup.map_or(0, |fd| fd.as_raw_fd() as u64);
    // SAFETY: `arguments` lives through the call and its size is its own. Without CLONE_VM the child has
    // memory of its own, and with one thread no lock is held in it.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, ptr::addr_of_mut!(arguments), size_of::<libc::clone_args>())
    };
    match check(result)? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Child {
            pid: Pid::from_raw(pid as i32).expect("clone3 gives the parent a positive pid"),
            // SAFETY: clone3 succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// Gives the calling process `namespaces` of its own. See unshare(2).
pub fn unshare(namespaces: Namespaces) -> io::Result<()> {
    // SAFETY: takes an integer and touches no memory of ours; namespace flags do not unshare descriptors.
    check(unsafe { libc::unshare(namespaces.0 as i32) }.into()).map(drop)
}

/// Gives the calling thread a root and a working directory of its own, as joining a mount namespace takes. See unshare(2).
pub fn unshare_directories() -> io::Result<()> {
    // SAFETY: takes an integer and touches no memory of ours; CLONE_FS does not unshare descriptors.
    check(unsafe { libc::unshare(libc::CLONE_FS) }.into()).map(drop)
}

/// Does something as this user and group of file systems, whatever else the calling thread may do staying as it is. Where
/// owners are mapped, the host's root may be nobody and can make no files. See setfsuid(2).
///
/// Fails with `EPERM` without CAP_SETUID and CAP_SETGID.
pub fn with_file_system_ids<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> io::Result<T> {
    let capabilities = rustix::thread::capabilities(None)?;
    let before = set_file_system_ids(uid, gid)?;
    // Leaving root takes away effective capabilities over files.
    let done = rustix::thread::set_capabilities(None, capabilities).map(|()| work());
    set_file_system_ids(before.0, before.1)?;
    rustix::thread::set_capabilities(None, capabilities)?;
    Ok(done?)
}

/// Sets the calling thread's user and group of file systems, and returns those it had.
fn set_file_system_ids(uid: u32, gid: u32) -> io::Result<(u32, u32)> {
    // SAFETY: both take an integer and touch no memory. The number that no user has changes nothing and tells what is.
    let (before, now) = unsafe {
        let (gid_before, uid_before) = (libc::setfsgid(gid), libc::setfsuid(uid));
        ((uid_before, gid_before), (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX)))
    };
    let numbers = |(uid, gid): (i32, i32)| (uid.cast_unsigned(), gid.cast_unsigned());
    if numbers(now) == (uid, gid) {
        Ok(numbers(before))
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

/// A program's arguments or environment, laid out as execve(2) wants it.
#[derive(Debug)]
pub struct Strings {
    strings: Vec<CString>,
}

impl Strings {
    /// Fails with `InvalidInput` if one of `items` holds a NUL byte.
    pub fn new<S: AsRef<[u8]>>(items: impl IntoIterator<Item = S>) -> io::Result<Strings> {
        let strings = items.into_iter().map(|s| CString::new(s.as_ref())).collect::<Result<_, _>>()?;
        Ok(Strings { strings })
    }

    /// The same without the item at `index`, if there is one.
    pub fn without(mut self, index: usize) -> Strings {
        if index < self.strings.len() {
            self.strings.remove(index);
        }
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.strings.iter().map(CString::as_c_str)
    }

    fn pointers(&self) -> Vec<*const c_char> {
        self.strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    }
}

/// Becomes the program at `path`; returns only on failure. See execve(2).
pub fn exec(path: &CStr, arguments: &Strings, environment: &Strings) -> io::Error {
    let (arguments, environment) = (arguments.pointers(), environment.pointers());
    // SAFETY: both arrays end with a null pointer and outlive the call, as do the strings they point to.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program `file` refers to; returns only on failure. See execveat(2).
pub fn exec_file(file: BorrowedFd<'_>, arguments: &Strings, environment: &Strings) -> io::Error {
    let (arguments, environment) = (arguments.pointers(), environment.pointers());
    // SAFETY: as in `exec`; the empty path is a valid string and the descriptor is open while borrowed.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Gives the calling thread a new session keyring of this name. Where the kernel has no keyrings there is nothing to
/// do. See keyctl(2).
pub fn join_session_keyring(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the kernel reads the name, which lives through the call.
    let joined =
        check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) });
    match joined {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        other => other.map(drop),
    }
}

/// Sends signal `number` to the process `pidfd` stands for. See pidfd_send_signal(2).
pub fn signal(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: passes two integers and a null siginfo, which the kernel then fills in by itself.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// How the process that `pidfd` stands for has ended, as [`exit_code`] has it, for others than its parent; `None` until its
/// parent has collected it, which makes a pidfd hang up. See PIDFD_GET_INFO in ioctl_pidfd(2).
///
/// Fails with `ENOTTY` or `EINVAL` before Linux 6.15.
pub fn exit_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request's number has the structure's size, and `info` lives through the call.
    check(unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) }.into())?;
    let is_told = info.mask & PIDFD_INFO_EXIT != 0;
    let status = ExitStatus::from_raw(info.exit_code);
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(is_told.then_some(code as u8))
}

/// The kernel's struct pidfd_info in its first version, of which only some fields are of interest.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// Marks every descriptor from `first` on to be closed by the next exec. See close_range(2).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed now, so no owner loses its descriptor.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// The number of the process that `pidfd` stands for, as our /proc has it.
pub fn number_of(pidfd: BorrowedFd<'_>) -> io::Result<i32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// When the kernel made process `pid`, in clock ticks since boot: tells it from a later one of that number. See
/// proc_pid_stat(5), field 22.
pub fn start_of(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, field 2, may hold anything, but it ends at the last parenthesis.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let ticks = fields.split(' ').nth(19).and_then(|field| field.parse().ok());
    ticks.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The id of this boot: no process survives it.
pub fn boot() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// Whether the process has more threads than this one.
fn has_other_threads() -> io::Result<bool> {
    // Each thread is a directory, and a directory's link count is 2 plus its subdirectories.
    match rustix::fs::stat(Path::new("/proc/self/task")) {
        Ok(stat) => Ok(stat.st_nlink > 3),
        Err(rustix::io::Errno::NOENT) => Ok(false), // a root without /proc
        Err(error) => Err(error.into()),
    }
}

/// The result of a system call, or the error it left in errno.
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Linux 5.7; the libc crate has it as a signed 32-bit number that it does not fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `_IOWR(0xFF, 11, struct pidfd_info)`
const PIDFD_GET_INFO: u32 = 3 << 30 | (size_of::<PidfdInfo>() as u32) << 16 | 0xFF << 8 | 11;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::process::PidfdFlags;

    use super::*;

    #[test]
    fn a_process_with_threads_refuses_to_fork() {
        std::thread::scope(|scope| {
            let (release, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || wait.recv().ok());
            let error = fork(Namespaces::NONE, None).err().and_then(|e| e.raw_os_error());
            drop(release);
            assert_eq!(error, Some(libc::EDEADLK));
        });
    }

    #[test]
    fn how_a_process_ended_is_known_once_it_is_collected() {
        for (script, expected) in [("exit 7", 7), ("kill -9 $$", 137)] {
            let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().expect("spawned");
            let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
            let pidfd = pidfd.expect("opened");
            match exit_of(pidfd.as_fd()) {
                Ok(code) => assert_eq!(code, None),
                Err(error) => {
                    eprintln!("skipped: this kernel does not tell: {error}");
                    return child.wait().map(drop).expect("collected");
                }
            }
            child.wait().expect("collected");
            assert_eq!(exit_of(pidfd.as_fd()).expect("told"), Some(expected));
        }
    }
}
