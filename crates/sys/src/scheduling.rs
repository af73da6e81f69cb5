//! When and as what the kernel runs a process: sched_setattr(2), ioprio_set(2), personality(2), set_mempolicy(2).

use std::{io, ptr};

use crate::process::check;

/// How a thread gets its time, by the kernel's numbers (the first version of `struct sched_attr`, but for its size).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Scheduling {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds, of deadline scheduling.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// Has the calling thread scheduled so. See sched_setattr(2).
pub fn set_scheduling(scheduling: Scheduling) -> io::Result<()> {
    let Scheduling { policy, flags, nice, priority, runtime, deadline, period } = scheduling;
    let size = size_of::<Attributes>() as u32;
    let attributes = Attributes { size, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: the structure is the first version of sched_attr, as its size says, and lives through the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the calling thread's class and priority (0 to 7) of disk access. See ioprio_set(2).
pub fn set_io_priority(class: u32, priority: u32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    const IOPRIO_CLASS_SHIFT: u32 = 13;
    let value = class << IOPRIO_CLASS_SHIFT | priority;
    // SAFETY: takes three integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) }).map(drop)
}

/// Has the kernel pretend to be of a domain, such as 32-bit Linux. See personality(2).
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: takes an integer.
    check(unsafe { libc::personality(domain.into()) }.into()).map(drop)
}

/// Sets where the calling thread's memory is taken from: a mode with its flags, and the nodes it is about. See
/// set_mempolicy(2).
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    let (mask, bits) = match nodes.is_empty() {
        true => (ptr::null(), 0),
        // The kernel looks at one bit less than it is told of.
        false => (nodes.as_ptr(), nodes.len() * u64::BITS as usize + 1),
    };
    // SAFETY: the kernel reads as many bits as there are in `nodes`, which lives through the call.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}
