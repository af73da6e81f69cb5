//! The profile a container gets if nobody says otherwise.
//!
//! It allows what programs need and the kernel guards by itself, and refuses the rest with EPERM. What belongs to
//! a capability is allowed to those who have it. Never allowed: keyrings, userfaultfd, io_uring, what no program
//! of the last years calls, and two families of sockets. Beside the capabilities this is the second lock on the
//! doors that were found open again and again.

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};

use super::abi::Abi;

/// The profile for processes that have at most `capabilities`.
pub fn default_profile(capabilities: Option<&Capabilities>) -> LinuxSeccomp {
    let has = |capability| capabilities.is_some_and(|all| all.contains(&capability));
    let mut names: Vec<&str> = ALWAYS.split_ascii_whitespace().collect();
    for (owners, calls) in WITH_CAPABILITY {
        if owners.iter().any(|capability| has(*capability)) {
            names.extend(calls.split_ascii_whitespace());
        }
    }
    let mut syscalls = vec![allow(names, None)];
    syscalls.extend(PERSONALITIES.map(|persona| allow(vec!["personality"], Some(bits(ALL_BITS, persona)))));
    syscalls.extend(SOCKET_FAMILIES.map(|(mask, family)| allow(vec!["socket"], Some(bits(mask, family)))));
    syscalls.push(allow(vec!["socketcall"], Some(not_equal(SYS_SOCKET))));
    if !has(Capability::SysAdmin) {
        syscalls.push(allow(vec!["clone"], Some(bits(CLONE_NEW_NAMESPACES, 0))));
        // Its flags are in memory, where a filter cannot look. The C library goes on with clone.
        let refusal = LinuxSyscallBuilder::default().names(["clone3".to_owned()]).errno_ret(ENOSYS);
        syscalls.push(build(refusal.action(LinuxSeccompAction::ScmpActErrno)));
    }
    let architectures: Vec<Arch> = Abi::of_this_machine().iter().map(|abi| abi.architecture()).collect();
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(EPERM)
        .architectures(architectures)
        .flags([LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow])
        .syscalls(syscalls)
        .build()
        .expect("every required field is set")
}

fn allow(names: Vec<&str>, condition: Option<LinuxSeccompArg>) -> LinuxSyscall {
    let names: Vec<String> = names.into_iter().map(String::from).collect();
    let rule = LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    build(match condition {
        Some(condition) => rule.args([condition]),
        None => rule,
    })
}

fn build(rule: LinuxSyscallBuilder) -> LinuxSyscall {
    rule.build().expect("names and action are set")
}

/// The first argument, masked, is `value`. The mask has 32 bits, which is all that the kernel looks at in an
/// argument of type int: compared in full, a bit beyond would get any value past the test.
fn bits(mask: u32, value: u32) -> LinuxSeccompArg {
    let condition =
        LinuxSeccompArgBuilder::default().index(0_usize).op(LinuxSeccompOperator::ScmpCmpMaskedEq);
    condition.value(mask).value_two(value).build().expect("index, operator and value are set")
}

fn not_equal(value: u32) -> LinuxSeccompArg {
    let condition = LinuxSeccompArgBuilder::default().index(0_usize).op(LinuxSeccompOperator::ScmpCmpNe);
    condition.value(value).build().expect("index, operator and value are set")
}

/// Linux as it is or as a 32-bit machine, each also with a version number of 2.6, and the question for the current
/// one. None that weakens the process, as running without address randomisation would.
const PERSONALITIES: [u32; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// All families but AF_ALG (38) and AF_VSOCK (40), as masks and the values under them.
const SOCKET_FAMILIES: [(u32, u32); 7] =
    [(!31, 0), (!3, 32), (!1, 36), (ALL_BITS, 39), (ALL_BITS, 41), (!1, 42), (!3, 44)];

/// socketcall(2) makes a socket of a family that is in memory, where a filter cannot look: that one of its calls is
/// refused. 32-bit programs have a system call of its own for it since Linux 4.3.
const SYS_SOCKET: u32 = 1;

/// CLONE_NEW* of mount, cgroup, UTS, IPC, user, PID and network namespaces.
const CLONE_NEW_NAMESPACES: u32 = 0x7e02_0000;

const ALL_BITS: u32 = u32::MAX;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Calls that any of some capabilities allows.
const WITH_CAPABILITY: [(&[Capability], &str); 14] = [
    (&[Capability::DacReadSearch], "open_by_handle_at"),
    (
        &[Capability::SysAdmin],
        "clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie mount mount_setattr \
         move_mount open_tree open_tree_attr pivot_root quotactl quotactl_fd setdomainname sethostname setns \
         statmount swapoff swapon umount umount2 unshare",
    ),
    (&[Capability::SysAdmin, Capability::Bpf], "bpf"),
    (&[Capability::SysAdmin, Capability::Perfmon], "perf_event_open"),
    (&[Capability::SysAdmin, Capability::Syslog], "syslog"),
    (&[Capability::SysBoot], "kexec_file_load kexec_load reboot"),
    (&[Capability::SysChroot], "chroot"),
    (&[Capability::SysModule], "delete_module finit_module init_module"),
    (&[Capability::SysNice], "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (&[Capability::SysPacct], "acct"),
    (&[Capability::SysPtrace], "kcmp pidfd_getfd process_madvise"),
    (&[Capability::SysRawio], "ioperm iopl"),
    (&[Capability::SysTime], "clock_settime clock_settime64 settimeofday stime"),
    (&[Capability::SysTtyConfig], "vhangup"),
];

/// Calls for everybody, of all ABIs.
const ALWAYS: &str = "\
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64 arm_sync_file_range \
    bind breakpoint brk cacheflush cachestat capget capset chdir chmod chown chown32 clock_adjtime \
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep \
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create \
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd \
    eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate \
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync \
    fgetxattr file_getattr file_setattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 \
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv \
    futex_wake futimesat get_robust_list get_thread_area get_tls getcpu getcwd getdents getdents64 getegid \
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp \
    getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage \
    getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch \
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents \
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr \
    listxattrat llistxattr lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules lsm_set_self_attr \
    lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod \
    mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open \
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl \
    msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat \
    openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll \
    ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev \
    pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readdir readlink readlinkat \
    readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename \
    renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area \
    set_tid_address set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 \
    setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid \
    setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget \
    shutdown sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend \
    socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range \
    sync_file_range2 syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime \
    timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 \
    timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat \
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";
