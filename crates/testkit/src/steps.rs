//! Commands that are killed before a step of theirs: any system call by which something on the disk or in the kernel changes.
//!
//! The command is traced (ptrace(2)), with all processes that come of it. The steps of one role are counted: of the command
//! itself, of the monitor, or of what becomes the container's first process. Before the one that is asked for, its process is
//! killed; the others go on. So every instant is reached at which it makes a difference to be killed, and each of them once.

use std::{
    collections::{HashMap, HashSet},
    ffi::c_void,
    fs::{self, File},
    io::Write,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace::{self, Event, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::{PATIENCE, Sandbox};

/// Whose steps are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The process that the user started.
    Command,
    Monitor,
    /// A child of the monitor, until it executes the container's program.
    Init,
    /// Programs of containers, and others that nobody kills here.
    Other,
}

/// How far a command came.
#[derive(Debug)]
pub enum Walked {
    /// Its process was killed before this call, which would have been that step.
    Killed { before: String },
    /// It has ended, with this code, after so many steps.
    Ended { code: i32, steps: usize, errors: String },
}

impl Sandbox {
    /// Runs a command of the program, and kills the first process that has this role before it takes this step; the first
    /// is 1. Returns when the command has ended.
    pub fn kill_before(&self, role: Role, step: usize, arguments: &[&str]) -> Walked {
        let command = self.command(arguments);
        let mut traced = self.shell("read -r go; exec \"$@\"");
        traced.arg("sh").arg(command.get_program()).args(command.get_args());
        let errors = self.directory().join("errors");
        traced.stdin(Stdio::piped()).stdout(Stdio::null());
        traced.stderr(File::create(&errors).expect("a file in the sandbox"));
        let walked = self.within(|| Tracer::start(traced, role)).walk(step);
        walked.unwrap_or_else(|(code, steps)| Walked::Ended {
            code,
            steps,
            errors: fs::read_to_string(errors).unwrap_or_default(),
        })
    }
}

/// The processes that come of a command. Lives in one thread: the kernel knows the tracer by that.
struct Tracer {
    leader: Pid,
    /// Whose steps are counted, if still anybody's.
    counted: Option<Role>,
    tasks: HashMap<Pid, Task>,
    /// Those that stopped for the first time before it was told whose they are.
    early: HashSet<Pid>,
    /// Kills the command when patience ends, unless this is dropped before.
    _watchdog: Sender<()>,
}

/// A thread that is traced.
#[derive(Clone, Copy)]
struct Task {
    process: Pid,
    role: Role,
    /// It is in a system call, and stops next at its end.
    is_inside: bool,
}

impl Tracer {
    /// Starts a shell that becomes the command once a line comes in.
    #[expect(clippy::zombie_processes, reason = "who traces it waits for it")]
    fn start(mut shell: Command, counted: Role) -> Tracer {
        let mut child = shell.spawn().expect("a shell");
        let leader = Pid::from_raw(child.id().cast_signed());
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(leader, options).expect("root may trace");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(b"\n").expect("the shell reads");
        ptrace::interrupt(leader).expect("it waits for the line, or has it");
        // Not a command yet: the shell's own steps are not counted.
        let task = Task { process: leader, role: Role::Other, is_inside: false };
        Tracer {
            leader,
            counted: Some(counted),
            tasks: HashMap::from([(leader, task)]),
            early: HashSet::new(),
            _watchdog: watchdog(leader),
        }
    }

    /// How the command was killed, or else its exit code and how many steps there were.
    fn walk(mut self, step: usize) -> Result<Walked, (i32, usize)> {
        let mut steps = 0;
        loop {
            let status = self.wait().expect("the command has not ended");
            match status {
                WaitStatus::Exited(pid, code) if pid == self.leader => {
                    self.let_go();
                    return Err((code, steps));
                }
                WaitStatus::Signaled(pid, signal, _) if pid == self.leader => {
                    self.let_go();
                    return Err((128 + signal as i32, steps));
                }
                WaitStatus::PtraceSyscall(pid) => {
                    let Some(task) = self.tasks.get_mut(&pid) else { continue };
                    task.is_inside = !task.is_inside;
                    let (is_entry, process) =
                        (task.is_inside && self.counted == Some(task.role), task.process);
                    if is_entry && let Some(call) = change(pid) {
                        steps += 1;
                        if steps == step {
                            kill(process, Signal::SIGKILL).expect("it is stopped");
                            self.wait_for_the_end(process);
                            return Ok(Walked::Killed { before: call });
                        }
                    }
                    self.go_on(pid, None);
                }
                status => self.pass(status),
            }
        }
    }

    /// Lets whoever has stopped go on.
    fn pass(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::PtraceEvent(pid, _, EXECUTED) => self.executed(pid),
            WaitStatus::PtraceEvent(pid, _, event) => {
                if MADE_ANOTHER.contains(&event) {
                    self.adopt(pid);
                } else if !self.tasks.contains_key(&pid) {
                    self.early.insert(pid);
                    return;
                }
                self.go_on(pid, None);
            }
            WaitStatus::PtraceSyscall(pid) => self.go_on(pid, None),
            WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal)),
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => drop(self.tasks.remove(&pid)),
            _ => {}
        }
    }

    /// A new thread is of its maker's role; a new process of the monitor is to be a container's first.
    fn adopt(&mut self, parent: Pid) {
        // It may have been killed since it stopped.
        let Ok(child) = ptrace::getevent(parent) else { return };
        let child = Pid::from_raw(child as i32);
        let Some(of_parent) = self.tasks.get(&parent).copied() else { return };
        let process = process_of(child).unwrap_or(child);
        let role = match of_parent.role {
            role if process == of_parent.process => role,
            Role::Monitor => Role::Init,
            _ => Role::Other,
        };
        self.tasks.insert(child, Task { process, role, is_inside: false });
        if self.early.remove(&child) {
            self.go_on(child, None);
        }
    }

    fn executed(&mut self, pid: Pid) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = line.split(|byte| *byte == 0).next().unwrap_or_default();
        // Its other threads are no more.
        self.tasks.retain(|_, task| task.process != pid);
        let role = match (pid == self.leader, name) {
            (true, _) => Role::Command,
            (false, b"sampan-monitor") => Role::Monitor,
            _ => {
                let _ = ptrace::detach(pid, None);
                return;
            }
        };
        self.tasks.insert(pid, Task { process: pid, role, is_inside: true });
        self.go_on(pid, None);
    }

    /// Lets a stopped thread run to its next stop. One that has been killed meanwhile stops no more.
    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        let is_counted = self.tasks.get(&pid).is_some_and(|task| self.counted == Some(task.role));
        let _ = if is_counted { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    }

    /// Waits until the killed process is no more, and the command has ended.
    fn wait_for_the_end(mut self, killed: Pid) {
        self.counted = None;
        let mut awaited = HashSet::from([killed, self.leader]);
        while !awaited.is_empty() {
            let Ok(status) = self.wait() else { break };
            if let WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) = status {
                awaited.remove(&pid);
            }
            self.pass(status);
        }
        self.let_go();
    }

    /// Traces nobody any more. What was started in the background runs on.
    fn let_go(&mut self) {
        self.tasks.remove(&self.leader);
        self.tasks.retain(|pid, _| ptrace::interrupt(*pid).is_ok());
        while !self.tasks.is_empty() {
            let Ok(status) = self.wait() else { break };
            let Some(pid) = status.pid() else { continue };
            if let WaitStatus::PtraceEvent(_, _, event) = status
                && MADE_ANOTHER.contains(&event)
            {
                self.adopt(pid);
            }
            let signal = if let WaitStatus::Stopped(_, signal) = status { Some(signal) } else { None };
            let _ = ptrace::detach(pid, signal);
            self.tasks.remove(&pid);
        }
        for pid in self.early.drain() {
            let _ = ptrace::detach(pid, None);
        }
    }

    /// The next thing that happens to one of ours. Other threads' children are not looked at: they have their own to wait
    /// for them.
    fn wait(&self) -> nix::Result<WaitStatus> {
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Err(Errno::EINTR) => {}
                status => return status,
            }
        }
    }
}

/// Kills a process when patience ends, unless the result is dropped before.
fn watchdog(process: Pid) -> Sender<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("the command hangs, and is killed");
            let _ = kill(process, Signal::SIGKILL);
        }
    });
    sender
}

/// The process that a thread is of.
fn process_of(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let id = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    id.trim().parse().ok().map(Pid::from_raw)
}

/// The system call that a thread is about to make, if by it something on the disk or in the kernel may change that does not
/// go with the process.
fn change(pid: Pid) -> Option<String> {
    let registers = ptrace::getregs(pid).ok()?;
    let number = registers.orig_rax.cast_signed();
    let opens_to_make = |flags: u64| flags as i32 & (libc::O_CREAT | libc::O_TRUNC) != 0;
    let name = match number {
        libc::SYS_open if opens_to_make(registers.rsi) => "open",
        libc::SYS_openat if opens_to_make(registers.rdx) => "openat",
        // struct open_how begins with the flags.
        libc::SYS_openat2
            if ptrace::read(pid, registers.rdx as *mut c_void)
                .is_ok_and(|flags| opens_to_make(flags as u64)) =>
        {
            "openat2"
        }
        number => CHANGES.iter().find(|(known, _)| *known == number)?.1,
    };
    let place = |register: u64| {
        let descriptor = fs::read_link(format!("/proc/{pid}/fd/{register}")).unwrap_or_default();
        descriptor.display().to_string()
    };
    Some(match name {
        "write" | "pwrite64" | "writev" | "ftruncate" | "fdatasync" | "fsync" | "sendmsg" | "sendto" => {
            format!("{name} to {}", place(registers.rdi))
        }
        name => name.to_owned(),
    })
}

const EXECUTED: i32 = Event::PTRACE_EVENT_EXEC as i32;
const MADE_ANOTHER: [i32; 3] =
    [Event::PTRACE_EVENT_CLONE as i32, Event::PTRACE_EVENT_FORK as i32, Event::PTRACE_EVENT_VFORK as i32];
/// Calls by which something may change.
const CHANGES: &[(i64, &str)] = &[
    (libc::SYS_write, "write"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_pwritev, "pwritev"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_sendfile, "sendfile"),
    (libc::SYS_copy_file_range, "copy_file_range"),
    (libc::SYS_splice, "splice"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_link, "link"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_symlink, "symlink"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_mknod, "mknod"),
    (libc::SYS_mknodat, "mknodat"),
    (libc::SYS_truncate, "truncate"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_fallocate, "fallocate"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_syncfs, "syncfs"),
    (libc::SYS_chmod, "chmod"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_chown, "chown"),
    (libc::SYS_fchown, "fchown"),
    (libc::SYS_lchown, "lchown"),
    (libc::SYS_fchownat, "fchownat"),
    (libc::SYS_utimensat, "utimensat"),
    (libc::SYS_setxattr, "setxattr"),
    (libc::SYS_lsetxattr, "lsetxattr"),
    (libc::SYS_fsetxattr, "fsetxattr"),
    (libc::SYS_removexattr, "removexattr"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_fsmount, "fsmount"),
    (libc::SYS_open_tree, "open_tree"),
    (libc::SYS_mount_setattr, "mount_setattr"),
    (libc::SYS_pivot_root, "pivot_root"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_fork, "fork"),
    (libc::SYS_vfork, "vfork"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_bind, "bind"),
    (libc::SYS_bpf, "bpf"),
    (libc::SYS_kill, "kill"),
    (libc::SYS_tgkill, "tgkill"),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal"),
];
