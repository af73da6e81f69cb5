//! Filters for system calls, made from the profiles of the runtime specification.
//!
//! Knows the numbers of system calls of each ABI and writes classic BPF by itself. Knows nothing of containers
//! but the profile that is theirs by default.
//!
//! A call's way through a filter: by ABI, then through a binary tree over the number, then, where a rule asks
//! for it, through tests of the arguments. Neighbouring numbers with one verdict share a leaf.

mod abi;
mod assembler;
mod conditions;
mod default;
mod numbers;
mod rules;
#[cfg(test)]
mod tests;

use std::{io, os::fd::OwnedFd};

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSyscall};
use sys::seccomp::{Flags, Instruction};

use abi::Abi;
use assembler::{Assembler, Label};
pub use default::default_profile;

/// A profile compiled for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: Flags,
    /// Whether some calls are for another process to decide about.
    notifies: bool,
}

/// Why a profile is no filter.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    #[error("{call} has no argument {index}: there are 0 to 5")]
    Argument { call: String, index: usize },
    #[error("SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyOfAll,
    #[error("SCMP_ACT_NOTIFY cannot be used for the {0} syscall")]
    NotifyOf(&'static str),
    #[error("the filter has {0} instructions; the kernel takes 4096")]
    TooLong(usize),
}

impl Filter {
    /// Puts the calling thread under the filter for good. Takes no_new_privs or CAP_SYS_ADMIN. What comes back is for
    /// whoever is to be notified of calls, if the profile has such.
    pub fn install(&self) -> io::Result<Option<OwnedFd>> {
        match self.notifies {
            true => sys::seccomp::install_with_listener(&self.program, self.flags).map(Some),
            false => sys::seccomp::install(&self.program, self.flags).map(|()| None),
        }
    }

    /// The number of instructions.
    pub fn length(&self) -> usize {
        self.program.len()
    }
}

/// Compiles `profile` for the ABIs of this machine that it names, or for the native one if it names none. Calls
/// of the others end the process.
///
/// Names that an ABI does not have are passed over. Where the profile refuses what it does not name, numbers
/// beyond the newest call it does name are answered with ENOSYS, as by a kernel that does not have them: the C
/// library then falls back on older calls, which it does not after EPERM. A rule without conditions decides
/// whatever others say about that call; else the first one that fits does.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    let named = profile.architectures().as_deref().unwrap_or_default();
    let is_named = |abi: &&Abi| {
        named.contains(&abi.architecture())
            || (abi.is_native() && (named.is_empty() || named.contains(&NATIVE)))
    };
    let abis: Vec<Abi> = Abi::of_this_machine().iter().filter(is_named).copied().collect();
    let program = assemble(profile, &abis)?;
    Ok(Filter { program, flags: flags(profile), notifies: notifies(profile)? })
}

/// Whether the profile has another process decide about calls. Not about those that a start still takes under it: it would
/// wait for an answer of somebody who does not know of it yet.
fn notifies(profile: &LinuxSeccomp) -> Result<bool, SeccompError> {
    if profile.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(SeccompError::NotifyOfAll);
    }
    let is_notified = |rule: &&LinuxSyscall| rule.action() == LinuxSeccompAction::ScmpActNotify;
    let mut notified =
        profile.syscalls().iter().flatten().filter(is_notified).flat_map(LinuxSyscall::names).peekable();
    let any = notified.peek().is_some();
    let needed = notified.find_map(|name| NEEDED.into_iter().find(|needed| needed == name));
    needed.map_or(Ok(any), |needed| Err(SeccompError::NotifyOf(needed)))
}

fn assemble(profile: &LinuxSeccomp, abis: &[Abi]) -> Result<Vec<Instruction>, SeccompError> {
    let rules = rules::read(profile)?;
    let mut assembler = Assembler::default();
    let mut dispatch = assembler.verdict(KILL_PROCESS);
    for value in architectures(abis) {
        let tree = |assembler: &mut Assembler, abi| match abis.contains(&abi) {
            true => rules.emit(assembler, abi),
            false => assembler.verdict(KILL_PROCESS),
        };
        let block = match value {
            abi::AUDIT_ARCH_X86_64 => {
                let x32 = tree(&mut assembler, Abi::X32);
                let x86_64 = tree(&mut assembler, Abi::X86_64);
                assembler.if_at_least(abi::X32_BIT, x32, x86_64)
            }
            abi::AUDIT_ARCH_I386 => tree(&mut assembler, Abi::X86),
            abi::AUDIT_ARCH_AARCH64 => tree(&mut assembler, Abi::Aarch64),
            _ => tree(&mut assembler, Abi::Arm),
        };
        let block = assembler.load(NUMBER, block);
        dispatch = assembler.if_equal(value, block, dispatch);
    }
    assembler.load(ARCHITECTURE, dispatch);
    let program = assembler.finish();
    if program.len() > LONGEST { Err(SeccompError::TooLong(program.len())) } else { Ok(program) }
}

/// What the kernel calls the architectures of `abis`, the native one last: it is tested first.
fn architectures(abis: &[Abi]) -> Vec<u32> {
    let mut architectures: Vec<u32> = abis.iter().rev().map(|abi| abi.audit_architecture()).collect();
    architectures.dedup();
    architectures
}

fn flags(profile: &LinuxSeccomp) -> Flags {
    use LinuxSeccompFilterFlag::*;
    let Some(flags) = profile.flags() else {
        // As the other runtimes: without it, kernels before 5.16 make every process under a filter slower.
        return Flags::ALLOW_SPECULATION;
    };
    flags.iter().fold(Flags::NONE, |all, flag| {
        all | match flag {
            SeccompFilterFlagLog => Flags::LOG,
            // There is one thread, and a listener cannot be had for several.
            SeccompFilterFlagTsync => Flags::NONE,
            SeccompFilterFlagSpecAllow => Flags::ALLOW_SPECULATION,
            SeccompFilterFlagWaitKillableRecv => Flags::WAIT_KILLABLE,
        }
    })
}

/// Calls that a start takes while the filter is there already, and nobody has been given its listener yet.
const NEEDED: [&str; 2] = ["sendmsg", "write"];

const NATIVE: Arch = Arch::ScmpArchNative;
/// The most instructions that a filter may have (BPF_MAXINSNS).
const LONGEST: usize = 4096;

// From linux/seccomp.h: what a program returns, and where in `struct seccomp_data` it reads.
const KILL_PROCESS: u32 = 0x8000_0000;
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
