//! Signals as data: blocked, then read from a descriptor like everything else. See signalfd(2).

use std::{
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
    ptr,
};

use crate::process::check;

/// Receives signals that would otherwise interrupt the process. They stay blocked until it ends.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals with these numbers and collects them instead.
    pub fn collect(numbers: &[i32]) -> io::Result<Signals> {
        let set = set_of(numbers);
        // SAFETY: `set` is initialised and outlives the calls; no old mask is asked for.
        unsafe {
            check(libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()).into())?;
            let fd = check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
            Ok(Signals(OwnedFd::from_raw_fd(fd as i32)))
        }
    }

    /// The next signal that has come, if any.
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut record) {
            Ok(n) if n == record.len() => {
                let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
                Ok(Some(number as i32))
            }
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Has the kernel end this process, and the program that it becomes, when the last writer of `pipe` has closed it, and already
/// when one writes. See O_ASYNC in fcntl(2): what the process gets is SIGIO.
pub fn end_with_the_writers_of(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let own = std::process::id().cast_signed();
    // SAFETY: passes integers, and the descriptor is open while borrowed.
    check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETOWN, own) }.into())?;
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::from_bits_retain(libc::O_ASYNC as u32))?)
}

/// Gives every signal its default disposition and unblocks all: nothing of the caller's is inherited.
pub fn reset() -> io::Result<()> {
    // As the kernel has it: SIG_DFL, no flags, no restorer, an empty mask.
    let default = [0_u64; 4];
    for number in 1..=64 {
        // Not by the C library, which refuses the two signals it keeps, and has them ignored in what it spawns.
        // SAFETY: the kernel reads no more than `default` and writes nothing. KILL and STOP are refused, and
        // cannot be anything else anyway.
        unsafe {
            let none = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), none, size_of::<u64>())
        };
    }
    let none = set_of(&[]);
    // SAFETY: `none` is initialised and outlives the call.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()) }.into()).map(drop)
}

/// Has what `command` starts take all signals, whichever of them this process has blocked.
pub fn unblock_in(command: &mut Command) -> &mut Command {
    let none = set_of(&[]);
    let unblock =
        // SAFETY: `none` is initialised and outlives the call.
        move || check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()) }.into()).map(drop);
    // SAFETY: between fork and exec this makes one system call, and takes no lock and no memory.
    unsafe { command.pre_exec(unblock) }
}

/// Ends the process the way signal `number` would have, so that its parent sees that signal.
pub fn die_of(number: i32) -> ! {
    let _ = reset(); // a disposition that stays as it was leaves us the exit below
    // SAFETY: raise takes an integer; the default disposition is in place.
    unsafe { libc::raise(number) };
    std::process::exit(128 + number)
}

fn set_of(numbers: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; sigaddset only refuses numbers that are no signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for number in numbers {
            libc::sigaddset(set.as_mut_ptr(), *number);
        }
        set.assume_init()
    }
}
