#!/usr/bin/env python3
"""Writes the tables beside this file: the numbers of all system calls, by name, for each ABI.

usage: generate.py DIRECTORY-OF-LINUX-RAW-SYS [DIRECTORY-OF-X86-HEADERS]

The source is the crate linux-raw-sys, whose constants bindgen made from the kernel's exported headers of all
architectures. The version of the kernel is read from it and written into each table. With a directory that has
asm/unistd_*.h of x86 its tables are checked: what the headers name must have the same number.
"""

import pathlib
import re
import sys

TABLES = {"x86_64": "unistd_64.h", "x32": "unistd_x32.h", "x86": "unistd_32.h", "aarch64": None, "arm": None}
X32_BIT = 0x4000_0000


def main(crate, headers=None):
    here = pathlib.Path(__file__).parent
    for abi, header in TABLES.items():
        text = (crate / "src" / abi / "general.rs").read_text()
        constants = re.findall(r"const __(?:ARM_)?NR_(_?[a-z]\w*): u32 = (\d+)", text)
        numbers = {name: int(number) & ~X32_BIT for name, number in constants}
        for marker in ("syscalls", "arch_specific_syscall", "compat_syscall_end"):
            numbers.pop(marker, None)
        version = [re.search(rf"LINUX_VERSION_{part}: u32 = (\d+)", text)[1] for part in ("MAJOR", "PATCHLEVEL")]
        if headers and header:
            check(abi, numbers, (headers / "asm" / header).read_text())
        (here / f"{abi}.rs").write_text(table(abi, ".".join(version), numbers))


def check(abi, numbers, header):
    named = re.findall(r"#define __NR_(\w+) \(?(?:__X32_SYSCALL_BIT \+ )?(\d+)\)?", header)
    assert len(named) > 300, abi
    for name, number in named:
        assert numbers.get(name) == int(number), (abi, name, number, numbers.get(name))
    print(f"{abi}: {len(numbers)} calls, {len(named)} of them as in the installed header")


def table(abi, version, numbers):
    bit = " without their common bit" if abi == "x32" else ""
    lines = [
        f"//! The numbers of the system calls of {abi}{bit}, as of Linux {version}.",
        "//!",
        "//! Made by generate.py from the constants of linux-raw-sys.",
        "",
        "use super::{Entry, entry};",
        "",
        f"pub static TABLE: [Entry; {len(numbers)}] = [",
        *(f'    entry("{name}", {number}),' for name, number in sorted(numbers.items())),
        "];",
    ]
    return "\n".join(lines) + "\n"


main(*map(pathlib.Path, sys.argv[1:]))
