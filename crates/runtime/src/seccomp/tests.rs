//! Runs compiled filters as the kernel would and compares their verdicts with what libseccomp says (see
//! testdata/generate.py), then lets the kernel run one.

use std::{io, process::Command, thread};

use oci_spec::runtime::{Capabilities, Capability};
use rustix::net::{AddressFamily, SocketType, socket};
use sys::process::{Namespaces, unshare};

use super::*;

const ALL_ABIS: [Abi; 5] = [Abi::X86_64, Abi::X32, Abi::X86, Abi::Aarch64, Abi::Arm];
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

#[test]
fn the_default_profile_says_what_libseccomp_makes_of_it() {
    check_verdicts(include_str!("testdata/default.json"), include_str!("testdata/default.verdicts"));
}

#[test]
fn the_default_profile_with_capabilities_says_what_libseccomp_makes_of_it() {
    check_verdicts(include_str!("testdata/capable.json"), include_str!("testdata/capable.verdicts"));
}

#[test]
fn every_operator_and_action_means_what_it_means_to_libseccomp() {
    check_verdicts(include_str!("testdata/operators.json"), include_str!("testdata/operators.verdicts"));
}

#[test]
fn the_default_profile_is_the_one_that_was_compared() {
    let compared: LinuxSeccomp = serde_json::from_str(include_str!("testdata/default.json")).unwrap();
    assert_eq!(default_profile(None).syscalls(), compared.syscalls());
}

#[test]
fn the_default_profile_is_short() {
    let length = compile(&default_profile(None)).unwrap().length();
    assert!(length <= 260, "{length} instructions: each costs every start of a container time");
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let program = assemble(&default_profile(None), &ALL_ABIS).unwrap();
    for abi in ALL_ABIS {
        let file_setattr = number(abi, "file_setattr");
        assert_eq!(run(&program, abi, file_setattr, [0; 6]), ALLOW, "{abi:?}");
        assert_eq!(run(&program, abi, file_setattr + 1, [0; 6]), ENOSYS, "{abi:?}");
        assert_eq!(run(&program, abi, abi.first() + 511, [0; 6]), ENOSYS, "{abi:?}");
    }
    assert_eq!(run(&program, Abi::Arm, 0x0f_0002, [0; 6]), ALLOW, "cacheflush");
    assert_eq!(run(&program, Abi::Arm, 0x0f_0003, [0; 6]), EPERM, "usr26, which the profile does not name");
}

#[test]
fn a_profile_that_allows_by_default_allows_newer_calls() {
    let profile = profile(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["close"], "action": "SCMP_ACT_ERRNO"}]}"#,
    );
    let program = assemble(&profile, &[Abi::X86_64]).unwrap();
    assert_eq!(run(&program, Abi::X86_64, 3, [0; 6]), EPERM);
    assert_eq!(run(&program, Abi::X86_64, 100_000, [0; 6]), ALLOW);
}

#[test]
fn abis_that_a_profile_does_not_name_end_the_process() {
    let profile = profile(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": []}"#,
    );
    let program = assemble(&profile, &[Abi::X86_64]).unwrap();
    for abi in [Abi::X32, Abi::X86, Abi::Arm] {
        assert_eq!(run(&program, abi, abi.first() + 1, [0; 6]), KILL_PROCESS, "{abi:?}");
    }
}

#[test]
fn clone3_does_not_exist_without_the_capability_to_make_namespaces() {
    let without = assemble(&default_profile(None), &ALL_ABIS).unwrap();
    let capabilities: Capabilities = [Capability::SysAdmin].into_iter().collect();
    let with = assemble(&default_profile(Some(&capabilities)), &ALL_ABIS).unwrap();
    for abi in ALL_ABIS {
        let (clone, clone3) = (number(abi, "clone"), number(abi, "clone3"));
        assert_eq!(run(&without, abi, clone3, [0; 6]), ENOSYS);
        assert_eq!(run(&with, abi, clone3, [0; 6]), ALLOW);
        let new_user_namespace = [0x1000_0000, 0, 0, 0, 0, 0];
        assert_eq!(run(&without, abi, clone, new_user_namespace), EPERM);
        assert_eq!(run(&with, abi, clone, new_user_namespace), ALLOW);
    }
}

/// The kernel takes the family as an int: what is in the upper half of the register is no way around.
#[test]
fn two_socket_families_are_refused_to_everybody_whatever_the_upper_half_says() {
    let everything = [Capability::SysAdmin, Capability::NetAdmin, Capability::NetRaw].into_iter().collect();
    for capabilities in [None, Some(&everything)] {
        let program = assemble(&default_profile(capabilities), &ALL_ABIS).unwrap();
        for abi in ALL_ABIS {
            let socket = number(abi, "socket");
            for family in 0..48 {
                let expected = if family == 38 || family == 40 { EPERM } else { ALLOW };
                for upper in [0, 1 << 32, u64::MAX << 32] {
                    let verdict = run(&program, abi, socket, [upper | family, 0, 0, 0, 0, 0]);
                    assert_eq!(verdict, expected, "{abi:?} family {family} {upper:x}");
                }
            }
            assert_eq!(run(&program, abi, socket, [48, 0, 0, 0, 0, 0]), EPERM);
        }
    }
}

#[test]
fn socketcall_makes_no_sockets_but_does_the_rest() {
    let program = assemble(&default_profile(None), &ALL_ABIS).unwrap();
    let socketcall = number(Abi::X86, "socketcall");
    for call in 0..20 {
        let expected = if call == 1 { EPERM } else { ALLOW };
        assert_eq!(run(&program, Abi::X86, socketcall, [call, 0, 0, 0, 0, 0]), expected, "{call}");
    }
}

#[test]
fn what_nobody_may_call_is_refused_with_every_capability() {
    let capable = profile(include_str!("testdata/capable.json"));
    let program = assemble(&capable, &ALL_ABIS).unwrap();
    for abi in ALL_ABIS {
        for name in NEVER.split(' ') {
            for number in abi.numbers([name]) {
                assert_eq!(run(&program, abi, number, [0; 6]), EPERM, "{abi:?} {name}");
            }
        }
    }
}

#[test]
fn what_belongs_to_a_capability_is_refused_without_it() {
    let program = assemble(&default_profile(None), &ALL_ABIS).unwrap();
    for abi in ALL_ABIS {
        for name in PRIVILEGED.split(' ') {
            for number in abi.numbers([name]) {
                assert_eq!(run(&program, abi, number, [0; 6]), EPERM, "{abi:?} {name}");
            }
        }
    }
}

#[test]
fn a_rule_without_conditions_decides_whatever_the_others_say() {
    let profile = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["close"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["close"], "action": "SCMP_ACT_ALLOW"}
        ]}"#,
    );
    let program = assemble(&profile, &[Abi::X86_64]).unwrap();
    assert_eq!(run(&program, Abi::X86_64, 3, [1, 0, 0, 0, 0, 0]), ALLOW);
}

/// Jumps with a test reach 255 instructions: every other number alone, and each with conditions, is far more.
#[test]
fn a_long_program_jumps_as_far_as_it_must() {
    let rule = |name: &str, value: usize| {
        format!(
            r#"{{"names": ["{name}"], "action": "SCMP_ACT_ALLOW", "args": [
                {{"index": 0, "value": {value}, "op": "SCMP_CMP_EQ"}}, {{"index": 1, "value": {value}, "op": "SCMP_CMP_GT"}}
            ]}}"#
        )
    };
    let names = "read write open close stat fstat lstat poll lseek mmap mprotect munmap brk ioctl pread64 pwrite64 \
        readv writev access pipe select mremap msync mincore madvise shmget shmat shmctl dup dup2 pause nanosleep \
        getitimer alarm setitimer getpid sendfile socket connect accept sendto recvfrom sendmsg recvmsg shutdown bind \
        listen getsockname getpeername socketpair setsockopt getsockopt clone fork vfork execve exit wait4 kill uname";
    let names: Vec<_> = names.split_ascii_whitespace().collect();
    let rules: Vec<_> = names.iter().enumerate().map(|(position, name)| rule(name, position + 1)).collect();
    let profile =
        profile(&format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}]}}"#, rules.join(",")));
    let program = assemble(&profile, &[Abi::X86_64, Abi::X32, Abi::X86]).unwrap();
    assert!(program.len() > 1000, "{}", program.len());
    for abi in [Abi::X86_64, Abi::X86] {
        for (position, name) in names.iter().enumerate() {
            let value = position as u64 + 1;
            for number in abi.numbers([*name]) {
                assert_eq!(run(&program, abi, number, [value, value + 1, 0, 0, 0, 0]), ALLOW, "{name}");
                assert_eq!(run(&program, abi, number, [value, value, 0, 0, 0, 0]), EPERM, "{name}");
                assert_eq!(run(&program, abi, number, [value + 1, value + 1, 0, 0, 0, 0]), EPERM, "{name}");
            }
        }
    }
}

#[test]
fn profiles_that_cannot_be_kept_are_refused() {
    let refused = |json: &str| compile(&profile(json)).unwrap_err().to_string();
    assert_eq!(
        refused(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#
        ),
        "read has no argument 6: there are 0 to 5"
    );
    assert_eq!(
        refused(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#),
        "SCMP_ACT_NOTIFY cannot be used as default action"
    );
    assert_eq!(
        refused(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "write"], "action": "SCMP_ACT_NOTIFY"}]}"#
        ),
        "SCMP_ACT_NOTIFY cannot be used for the write syscall"
    );
}

#[test]
fn a_thread_under_the_default_filter_works_on_and_is_refused_what_it_should_not_do() {
    let filtered = thread::spawn(|| {
        rustix::thread::set_no_new_privs(true).unwrap();
        compile(&default_profile(None)).unwrap().install().unwrap();

        let eperm = io::ErrorKind::PermissionDenied;
        assert_eq!(unshare(Namespaces::NONE).unwrap_err().kind(), eperm);
        let algorithms = AddressFamily::from_raw(38);
        assert_eq!(
            io::Error::from(socket(algorithms, SocketType::SEQPACKET, None).unwrap_err()).kind(),
            eperm
        );
        socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
        assert_eq!(Command::new("sh").args(["-c", "echo works | cat"]).output().unwrap().stdout, b"works\n");
        native_calls_by_number()
    });
    let Some(errors) = filtered.join().unwrap() else {
        return eprintln!("skipped in part: no perl to make system calls with");
    };
    assert_eq!(errors, "1 1 1 1 38");
}

/// What a program gets for calls that the C library has no function for.
fn native_calls_by_number() -> Option<String> {
    let names = ["keyctl", "io_uring_setup", "userfaultfd", "add_key", "clone3"];
    let numbers: Vec<_> = Abi::of_this_machine()[0].numbers(names).map(|number| number.to_string()).collect();
    let script = "print join ' ', map { syscall($_, 0, 0, 0, 0, 0) == -1 ? $! + 0 : 'done' } @ARGV";
    let output = Command::new("perl").args(["-e", script]).args(numbers).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

fn profile(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).unwrap()
}

fn number(abi: Abi, name: &str) -> u32 {
    abi.numbers([name]).next().unwrap()
}

fn check_verdicts(json: &str, verdicts: &str) {
    let program = assemble(&profile(json), &ALL_ABIS).unwrap();
    for line in verdicts.lines() {
        let mut words = line.split(' ');
        let abi = match words.next().unwrap() {
            "x86_64" => Abi::X86_64,
            "x32" => Abi::X32,
            "x86" => Abi::X86,
            "aarch64" => Abi::Aarch64,
            _ => Abi::Arm,
        };
        let numbers = words.next().unwrap();
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let expected = u32::from_str_radix(words.next().unwrap(), 16).unwrap();
        let mut arguments = [0; 6];
        for (argument, word) in arguments.iter_mut().zip(words) {
            *argument = u64::from_str_radix(word, 16).unwrap();
        }
        for number in first.parse().unwrap()..=last.parse::<u32>().unwrap() {
            let verdict = run(&program, abi, number + abi.first(), arguments);
            assert_eq!(verdict, expected, "{verdict:x} instead of {expected:x} for {number} in: {line}");
        }
    }
}

/// What `program` returns for a call.
fn run(program: &[Instruction], abi: Abi, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = vec![number, abi.audit_architecture(), 0, 0];
    data.extend(arguments.iter().flat_map(|argument| [*argument as u32, (*argument >> 32) as u32]));
    let (mut loaded, mut at) = (0, 0);
    loop {
        let Instruction { code, if_true, if_false, value } = program[at];
        at += 1;
        let holds = match code {
            0x20 => {
                loaded = data[value as usize / 4];
                continue;
            }
            0x54 => {
                loaded &= value;
                continue;
            }
            0x05 => {
                at += value as usize;
                continue;
            }
            0x06 => return value,
            0x15 => loaded == value,
            0x25 => loaded > value,
            0x35 => loaded >= value,
            0x45 => loaded & value != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { if_true } else { if_false });
    }
}

const NEVER: &str = "add_key request_key keyctl userfaultfd io_uring_setup io_uring_enter io_uring_register uselib \
    ustat sysfs _sysctl nfsservctl bdflush create_module get_kernel_syms query_module vm86 vm86old afs_syscall \
    tuxcall putpmsg getpmsg vserver security move_pages migrate_pages";

const PRIVILEGED: &str = "mount umount umount2 pivot_root fsopen fsmount fsconfig fspick open_tree open_tree_attr \
    move_mount mount_setattr unshare setns bpf perf_event_open init_module finit_module delete_module kexec_load \
    kexec_file_load reboot swapon swapoff quotactl quotactl_fd acct settimeofday stime clock_settime \
    clock_settime64 ioperm iopl syslog open_by_handle_at lookup_dcookie sethostname setdomainname fanotify_init \
    chroot vhangup kcmp pidfd_getfd process_madvise mbind set_mempolicy get_mempolicy statmount listmount";
