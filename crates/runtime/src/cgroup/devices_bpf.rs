//! Device rules for cgroup v2, which has no files for them: a BPF program on the group decides.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use sys::bpf::{Instruction, attach_device_program, load_device_program};

/// Puts the group whose directory this is under `rules`, of which a later one beats an earlier one.
pub fn limit(directory: &OwnedFd, rules: &[LinuxDeviceCgroup]) -> io::Result<()> {
    let program = load_device_program(&program(rules))?;
    attach_device_program(program.as_fd(), directory.as_fd())
}

/// The rules as a program. The kernel calls it with a `struct bpf_cgroup_dev_ctx` in register 1; it returns
/// whether the access is allowed.
fn program(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    let mut code = vec![
        load(KIND, 0),
        move_register(ACCESS, KIND),
        and(KIND, 0xffff),
        shift_right(ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        code.extend(rule_code(rule));
        if kind(rule).is_none() {
            return code; // nothing reaches the rules before it
        }
    }
    code.extend(verdict(false));
    code
}

/// Tests that all go to the next rule unless this one decides.
fn rule_code(rule: &LinuxDeviceCgroup) -> Vec<Instruction> {
    // As in v1, a rule for all kinds is one for all devices, whatever else it says.
    let Some(kind) = kind(rule) else { return verdict(rule.allow()).to_vec() };
    let mut tests = vec![Test::NotEqual(KIND, kind)];
    for (register, number) in [(MAJOR, rule.major()), (MINOR, rule.minor())] {
        // Device numbers are 32 bits; compared as such.
        tests.extend(
            number.filter(|number| *number >= 0).map(|number| Test::NotEqual(register, number as i32)),
        );
    }
    let access = access(rule);
    if access != ALL_ACCESS {
        // What is allowed must cover all that is wanted; for a refusal any part of it is enough.
        tests.push(if rule.allow() { Test::Beyond(access) } else { Test::Apart(access) });
    }
    let mut left: usize = tests.iter().map(Test::length).sum();
    let mut code = Vec::new();
    for test in tests {
        left -= test.length();
        let next_rule = (left + VERDICT_LENGTH) as i16;
        match test {
            Test::NotEqual(register, value) => code.push(jump_if_not_equal(register, value, next_rule)),
            Test::Beyond(access) => {
                code.push(move_register(SCRATCH, ACCESS));
                code.push(and(SCRATCH, ALL_ACCESS & !access));
                code.push(jump_if_not_equal(SCRATCH, 0, next_rule));
            }
            Test::Apart(access) => {
                code.push(move_register(SCRATCH, ACCESS));
                code.push(and(SCRATCH, access));
                code.push(jump_if_equal(SCRATCH, 0, next_rule));
            }
        }
    }
    code.extend(verdict(rule.allow()));
    code
}

/// A reason to go on with the next rule.
enum Test {
    NotEqual(u8, i32),
    /// Something is wanted that is not in the set.
    Beyond(i32),
    /// Nothing is wanted that is in the set.
    Apart(i32),
}

impl Test {
    fn length(&self) -> usize {
        match self {
            Test::NotEqual(..) => 1,
            Test::Beyond(_) | Test::Apart(_) => 3,
        }
    }
}

/// The kernel's number of the rule's kind of device; `None` for all kinds.
fn kind(rule: &LinuxDeviceCgroup) -> Option<i32> {
    match rule.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(BPF_DEVCG_DEV_BLOCK),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(BPF_DEVCG_DEV_CHAR),
        // Pipes are not asked about, so a rule for them never decides.
        LinuxDeviceType::P => Some(-1),
    }
}

fn access(rule: &LinuxDeviceCgroup) -> i32 {
    match rule.access().as_deref() {
        None | Some("") => ALL_ACCESS,
        Some(letters) => letters.chars().fold(0, |all, letter| {
            all | match letter {
                'm' => BPF_DEVCG_ACC_MKNOD,
                'r' => BPF_DEVCG_ACC_READ,
                'w' => BPF_DEVCG_ACC_WRITE,
                _ => 0,
            }
        }),
    }
}

fn verdict(allow: bool) -> [Instruction; VERDICT_LENGTH] {
    [instruction(BPF_ALU64_MOV_K, RESULT, 0, i32::from(allow)), instruction(BPF_EXIT, 0, 0, 0)]
}

fn load(register: u8, offset: i16) -> Instruction {
    instruction(BPF_LDX_W, register | CONTEXT << 4, offset, 0)
}

fn move_register(to: u8, from: u8) -> Instruction {
    instruction(BPF_ALU64_MOV_X, to | from << 4, 0, 0)
}

fn and(register: u8, mask: i32) -> Instruction {
    instruction(BPF_ALU64_AND_K, register, 0, mask)
}

fn shift_right(register: u8, bits: i32) -> Instruction {
    instruction(BPF_ALU64_RSH_K, register, 0, bits)
}

fn jump_if_equal(register: u8, value: i32, offset: i16) -> Instruction {
    instruction(BPF_JMP32_JEQ_K, register, offset, value)
}

fn jump_if_not_equal(register: u8, value: i32, offset: i16) -> Instruction {
    instruction(BPF_JMP32_JNE_K, register, offset, value)
}

fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

// Registers, and what this program keeps in them.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

const VERDICT_LENGTH: usize = 2;

// From linux/bpf.h.
const BPF_LDX_W: u8 = 0x61;
const BPF_ALU64_AND_K: u8 = 0x57;
const BPF_ALU64_RSH_K: u8 = 0x77;
const BPF_ALU64_MOV_K: u8 = 0xb7;
const BPF_ALU64_MOV_X: u8 = 0xbf;
const BPF_JMP32_JEQ_K: u8 = 0x16;
const BPF_JMP32_JNE_K: u8 = 0x56;
const BPF_EXIT: u8 = 0x95;
const BPF_DEVCG_DEV_BLOCK: i32 = 1;
const BPF_DEVCG_DEV_CHAR: i32 = 2;
const BPF_DEVCG_ACC_MKNOD: i32 = 1;
const BPF_DEVCG_ACC_READ: i32 = 2;
const BPF_DEVCG_ACC_WRITE: i32 = 4;
const ALL_ACCESS: i32 = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

#[cfg(test)]
mod tests {
    use super::super::tests::resources;
    use super::*;

    /// What the rules say about an access, by running the program as the kernel would.
    fn allows(rules: &str, kind: i32, major: u32, minor: u32, access: i32) -> bool {
        let limits = resources(&format!(r#"{{"devices": {rules}}}"#));
        let program = program(limits.devices().as_deref().unwrap());
        let context = [(access as u32) << 16 | kind as u32, major, minor];
        let mut registers = [0u64; 10];
        let mut at = 0;
        loop {
            let Instruction { code, registers: names, offset, immediate } = program[at];
            let (to, from) = ((names & 15) as usize, (names >> 4) as usize);
            at += 1;
            match code {
                BPF_LDX_W => registers[to] = context[offset as usize / 4].into(),
                BPF_ALU64_MOV_X => registers[to] = registers[from],
                BPF_ALU64_MOV_K => registers[to] = immediate as u64,
                BPF_ALU64_AND_K => registers[to] &= immediate as u64,
                BPF_ALU64_RSH_K => registers[to] >>= immediate,
                BPF_JMP32_JEQ_K if registers[to] as i32 == immediate => at += offset as usize,
                BPF_JMP32_JNE_K if registers[to] as i32 != immediate => at += offset as usize,
                BPF_JMP32_JEQ_K | BPF_JMP32_JNE_K => {}
                BPF_EXIT => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const DENY_ALL_BUT_NULL: &str = r#"[
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    ]"#;

    #[test]
    fn what_no_rule_allows_is_refused() {
        let null = |access| allows(DENY_ALL_BUT_NULL, BPF_DEVCG_DEV_CHAR, 1, 3, access);
        assert!(null(BPF_DEVCG_ACC_READ) && null(BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE));
        assert!(!allows(DENY_ALL_BUT_NULL, BPF_DEVCG_DEV_CHAR, 1, 5, BPF_DEVCG_ACC_READ));
        assert!(!allows(DENY_ALL_BUT_NULL, BPF_DEVCG_DEV_BLOCK, 1, 3, BPF_DEVCG_ACC_READ));
        assert!(!allows("[]", BPF_DEVCG_DEV_CHAR, 1, 3, BPF_DEVCG_ACC_READ));
    }

    #[test]
    fn a_rule_for_some_access_covers_no_other() {
        assert!(allows(DENY_ALL_BUT_NULL, BPF_DEVCG_DEV_CHAR, 9, 9, BPF_DEVCG_ACC_MKNOD));
        let both = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ;
        assert!(!allows(DENY_ALL_BUT_NULL, BPF_DEVCG_DEV_CHAR, 9, 9, both));
    }

    #[test]
    fn a_later_rule_beats_an_earlier_one() {
        let rules = r#"[
            {"allow": true},
            {"allow": false, "type": "b", "major": 8, "access": "w"}
        ]"#;
        assert!(allows(rules, BPF_DEVCG_DEV_BLOCK, 8, 0, BPF_DEVCG_ACC_READ));
        assert!(!allows(rules, BPF_DEVCG_DEV_BLOCK, 8, 0, BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE));
        assert!(allows(rules, BPF_DEVCG_DEV_CHAR, 8, 0, ALL_ACCESS));
    }
}
