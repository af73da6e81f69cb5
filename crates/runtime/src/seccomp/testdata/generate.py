#!/usr/bin/env python3
"""Asks libseccomp what the profiles beside this file say, and writes its answers for the tests to compare with.

Needs libseccomp's Python binding (2.5 or newer). Each PROFILE.json becomes PROFILE.verdicts, whose lines are

    ABI FIRST-LAST VERDICT                   these numbers, with all arguments 0
    ABI NUMBER VERDICT ARGUMENT...           with these six arguments, in hexadecimal

Left out is where the answers differ for a reason: calls that are newer than libseccomp, numbers beyond the newest
call (ENOSYS is ours), and on x86 the two calls that stand for many, socketcall and ipc, into which libseccomp
writes rules of its own. On ABIs with narrow arguments only such values are tried as fit them.
"""

import json
import pathlib
import re
import struct
import tempfile

import seccomp

HERE = pathlib.Path(__file__).parent
ABIS = {
    "x86_64": (seccomp.Arch.X86_64, 0xC000003E),
    "x32": (seccomp.Arch.X32, 0xC000003E),
    "x86": (seccomp.Arch.X86, 0x40000003),
    "aarch64": (seccomp.Arch.AARCH64, 0xC00000B7),
    "arm": (seccomp.Arch.ARM, 0x40000028),
}
X32_BIT = 0x4000_0000
OPERATORS = {
    "SCMP_CMP_NE": seccomp.NE, "SCMP_CMP_LT": seccomp.LT, "SCMP_CMP_LE": seccomp.LE, "SCMP_CMP_EQ": seccomp.EQ,
    "SCMP_CMP_GE": seccomp.GE, "SCMP_CMP_GT": seccomp.GT, "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}
MULTIPLEXERS = {("x86", "socketcall"), ("x86", "ipc")}


def main():
    for path in sorted(HERE.glob("*.json")):
        profile = json.loads(path.read_text())
        lines = [line for abi in ABIS for line in answers(profile, abi)]
        path.with_suffix(".verdicts").write_text("\n".join(lines) + "\n")
        print(path.stem, len(lines))


def answers(profile, abi):
    """What libseccomp says for one ABI, whether the profile names it or not: the rules are the same for all."""
    program = compile_with_libseccomp(profile, abi)
    table = numbers(abi)
    names = {number: name for name, number in table.items()}
    named = [name for rule in profile["syscalls"] for name in rule["names"] if name in table]
    newest = max(table[name] for name in named if table[name] < (512 if abi == "x32" else 0xF0000))
    unsure = {n for n, name in names.items() if unknown(abi, name) or (abi, name) in MULTIPLEXERS}
    bit = X32_BIT if abi == "x32" else 0
    run = []
    for number in range(newest + 2):
        verdict = None if number in unsure or number > newest else interpret(program, abi, number | bit, [0] * 6)
        if run and run[2] == verdict:
            run[1] = number
            continue
        if run and run[2] is not None:
            yield f"{abi} {run[0]}-{run[1]} {run[2]:08x}"
        run = [number, number, verdict]
    for name in sorted(set(named)):
        if table[name] not in unsure:
            for arguments in vectors(profile, abi, name):
                verdict = interpret(program, abi, table[name] | bit, arguments)
                yield f"{abi} {table[name]} {verdict:08x} " + " ".join(f"{a:x}" for a in arguments)


def vectors(profile, abi, name):
    """Arguments on, below and above each border that a rule has for the call."""
    conditions = [a for rule in profile["syscalls"] if name in rule["names"] for a in rule.get("args") or []]
    seen = set()
    for condition in conditions:
        for value in borders(abi, condition):
            # Once with the other arguments as the rules want them, once with them 0.
            for others in (conditions, []):
                arguments = [0] * 6
                for other in others:
                    wanted = other.get("valueTwo") if other["op"] == "SCMP_CMP_MASKED_EQ" else other["value"]
                    arguments[other["index"]] = narrow(abi, wanted or 0)
                arguments[condition["index"]] = value
                if tuple(arguments) not in seen:
                    seen.add(tuple(arguments))
                    yield arguments


def borders(abi, condition):
    values = [condition["value"], condition.get("valueTwo") or 0]
    near = [v + d for v in values for d in (-(1 << 32), -8, -1, 0, 1, 8, 1 << 32)] + [0, (1 << 32) - 1, (1 << 64) - 1]
    bits = [(condition.get("valueTwo") or 0) ^ 1 << b for b in range(0, 64, 5)] if "MASKED" in condition["op"] else []
    # A wide value on a narrow ABI is one that no argument has; libseccomp compares only its half.
    if abi not in ("x86_64", "aarch64") and condition["value"] >> 32:
        return []
    return sorted({narrow(abi, v) for v in near + bits})


def narrow(abi, value):
    return value & ((1 << 64) - 1 if abi in ("x86_64", "aarch64") else (1 << 32) - 1)


def compile_with_libseccomp(profile, abi):
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    if default == seccomp.ALLOW:
        raise SystemExit("a profile that allows by default tests little")
    filter = seccomp.SyscallFilter(default)
    filter.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    arch = ABIS[abi][0]
    if arch != seccomp.Arch.X86_64:
        filter.add_arch(arch)
        filter.remove_arch(seccomp.Arch.X86_64)
    for rule in profile["syscalls"]:
        verdict = action(rule["action"], rule.get("errnoRet"))
        if verdict == default:
            continue
        arguments = [
            seccomp.Arg(a["index"], OPERATORS[a["op"]], a["value"], a.get("valueTwo") or 0)
            if a["op"] == "SCMP_CMP_MASKED_EQ"
            else seccomp.Arg(a["index"], OPERATORS[a["op"]], a["value"])
            for a in rule.get("args") or []
        ]
        indices = [a["index"] for a in rule.get("args") or []]
        sets = [[a] for a in arguments] if len(set(indices)) < len(indices) else [arguments]
        for name in rule["names"]:
            if name in numbers(abi) and not unknown(abi, name):
                for together in sets:
                    filter.add_rule(verdict, name, *together)
    with tempfile.TemporaryFile() as file:
        filter.export_bpf(file)
        file.seek(0)
        return [struct.unpack("<HBBI", part) for part in iter(lambda: file.read(8), b"")]


def action(name, errno):
    return {
        "SCMP_ACT_ALLOW": seccomp.ALLOW, "SCMP_ACT_LOG": seccomp.LOG, "SCMP_ACT_TRAP": seccomp.TRAP,
        "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS,
        "SCMP_ACT_TRACE": seccomp.TRACE(errno or 1), "SCMP_ACT_ERRNO": seccomp.ERRNO(1 if errno is None else errno),
    }[name]


def numbers(abi):
    text = (HERE.parent / "numbers" / f"{abi}.rs").read_text()
    return {name: int(number) for name, number in re.findall(r'entry\("(\w+)", (\d+)\)', text)}


def unknown(abi, name):
    """Whether libseccomp does not know the call by this name and number."""
    try:
        number = seccomp.resolve_syscall(ABIS[abi][0], name)
    except ValueError:
        return True
    return (number & ~X32_BIT if abi == "x32" else number) != numbers(abi)[name]


def interpret(program, abi, number, arguments):
    """Runs a filter as the kernel would."""
    data = struct.pack("<IIQ6Q", number, ABIS[abi][1], 0, *arguments)
    a, at = 0, 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == 0x20:
            a = struct.unpack_from("<I", data, k)[0]
        elif code == 0x54:
            a &= k
        elif code == 0x05:
            at += k
        elif code == 0x06:
            return k
        else:
            test = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: a & k != 0}[code]
            at += if_true if test else if_false


main()
