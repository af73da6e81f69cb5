//! Loading BPF programs and attaching them to cgroups: bpf(2).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use crate::process::check;

/// One instruction of BPF, laid out as the kernel takes it (`struct bpf_insn`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Instruction {
    pub code: u8,
    /// The destination register in the lower half, the source register in the upper.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

/// Loads a program that decides which devices the processes of a cgroup may use (BPF_PROG_TYPE_CGROUP_DEVICE).
///
/// Fails with `EINVAL` or `EACCES` if the kernel's verifier does not accept it.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let attributes = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: `attributes` is a prefix of bpf_attr as BPF_PROG_LOAD reads it; what it points to lives through
    // the call and is only read. On success the result is a new descriptor that nobody else owns.
    unsafe {
        let fd =
            check(libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<Load>()))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Puts the v2 cgroup whose directory `cgroup` is under a device program, in addition to those above it and to
/// those that the cgroups below it may get.
pub fn attach_device_program(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: `attributes` is a prefix of bpf_attr as BPF_PROG_ATTACH reads it and holds no pointer.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<Attach>())
    })
    .map(drop)
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD is given; the kernel takes the rest as zero.
#[derive(Default)]
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

/// The part of `union bpf_attr` that BPF_PROG_ATTACH is given.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

// From linux/bpf.h; the libc crate has none of them.
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
