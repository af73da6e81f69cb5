//! Installing system call filters: seccomp(2).

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use crate::process::check;

/// One instruction of classic BPF, laid out as the kernel takes it (`struct sock_filter`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Instruction {
    pub code: u16,
    /// How many instructions a conditional jump skips if its test holds.
    pub if_true: u8,
    /// How many instructions a conditional jump skips if its test fails.
    pub if_false: u8,
    pub value: u32,
}

/// How a filter is installed. Combines with `|`. See seccomp(2).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags(libc::c_ulong);

impl Flags {
    pub const NONE: Flags = Flags(0);
    /// The process's other threads get the filter too, or nobody does.
    pub const ALL_THREADS: Flags = Flags(libc::SECCOMP_FILTER_FLAG_TSYNC);
    /// Refusals are logged, if the administrator wants that.
    pub const LOG: Flags = Flags(libc::SECCOMP_FILTER_FLAG_LOG);
    /// The filter does not turn on the mitigation of speculative store bypass.
    pub const ALLOW_SPECULATION: Flags = Flags(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);

    /// A process that waits for the answer to a notification can only be killed. Linux 5.19.
    pub const WAIT_KILLABLE: Flags = Flags(libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);

    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// Puts the calling thread, and all it will become or start, under `program` for good. See seccomp(2).
///
/// Fails with `EACCES` without no_new_privs or CAP_SYS_ADMIN, and with `EINVAL` for a program the kernel
/// does not take.
pub fn install(program: &[Instruction], flags: Flags) -> io::Result<()> {
    match load(program, flags.0)? {
        0 => Ok(()),
        // With ALL_THREADS the kernel names the thread that already has a filter of its own.
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// As [`install`], and returns the descriptor through which the calls that the program notifies of are answered. See
/// seccomp_unotify(2).
pub fn install_with_listener(program: &[Instruction], flags: Flags) -> io::Result<OwnedFd> {
    let listener = load(program, flags.0 | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with that flag the result is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as i32) })
}

fn load(program: &[Instruction], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let length = program.len().try_into().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program =
        libc::sock_fprog { len: length, filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    // SAFETY: `program` describes a live slice of instructions laid out like sock_filter, which the kernel
    // copies and never writes to.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
