//! The ways to call a kernel: each has numbers of its own, and a filter must know all that the machine has.

use oci_spec::runtime::Arch;

use super::numbers::{self, Entry};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abi {
    X86_64,
    /// 32-bit pointers in 64-bit mode; for the kernel a part of x86_64, with a bit set in the number.
    X32,
    /// What the kernel calls i386.
    X86,
    Aarch64,
    Arm,
}

impl Abi {
    /// Those that a process on this machine can use, the native one first.
    pub fn of_this_machine() -> &'static [Abi] {
        if cfg!(target_arch = "aarch64") {
            &[Abi::Aarch64, Abi::Arm]
        } else {
            &[Abi::X86_64, Abi::X32, Abi::X86]
        }
    }

    pub fn is_native(self) -> bool {
        self == Abi::of_this_machine()[0]
    }

    /// The name in the runtime specification.
    pub fn architecture(self) -> Arch {
        match self {
            Abi::X86_64 => Arch::ScmpArchX86_64,
            Abi::X32 => Arch::ScmpArchX32,
            Abi::X86 => Arch::ScmpArchX86,
            Abi::Aarch64 => Arch::ScmpArchAarch64,
            Abi::Arm => Arch::ScmpArchArm,
        }
    }

    /// What a filter is told, from linux/audit.h.
    pub fn audit_architecture(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => AUDIT_ARCH_X86_64,
            Abi::X86 => AUDIT_ARCH_I386,
            Abi::Aarch64 => AUDIT_ARCH_AARCH64,
            Abi::Arm => AUDIT_ARCH_ARM,
        }
    }

    /// The numbers of the calls `names`, as a filter is told them. Names that the ABI does not have are passed
    /// over.
    pub fn numbers<'a>(self, names: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = u32> {
        numbers::look_up(self.table(), names).map(move |number| number + self.first())
    }

    /// The number that numbers begin with.
    pub fn first(self) -> u32 {
        if self == Abi::X32 { X32_BIT } else { 0 }
    }

    /// Where a block of numbers begins that is no part of the growing list: x32's variants of older calls, arm's
    /// private calls.
    pub fn side_block(self) -> u32 {
        match self {
            Abi::X32 => X32_BIT + 512,
            Abi::Arm => 0x0f_0000,
            _ => u32::MAX,
        }
    }

    /// Whether arguments are 64 bits wide. If not, their upper half says nothing.
    pub fn is_64_bit(self) -> bool {
        matches!(self, Abi::X86_64 | Abi::Aarch64)
    }

    fn table(self) -> &'static [Entry] {
        match self {
            Abi::X86_64 => &numbers::X86_64,
            Abi::X32 => &numbers::X32,
            Abi::X86 => &numbers::X86,
            Abi::Aarch64 => &numbers::AARCH64,
            Abi::Arm => &numbers::ARM,
        }
    }
}

pub const X32_BIT: u32 = 0x4000_0000;
pub const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
pub const AUDIT_ARCH_I386: u32 = 0x4000_0003;
pub const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;
pub const AUDIT_ARCH_ARM: u32 = 0x4000_0028;
