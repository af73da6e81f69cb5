//! One boot of a system: qemu, and a shell in it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Disk, System, nbd};
use crate::Outcome;

/// A machine that runs. Without power once it is dropped.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    /// What its shell reads.
    shell: ChildStdin,
    heard: Receiver<Heard>,
    /// The console's log, and the disk's socket.
    directory: TempDir,
    /// How many scripts were begun.
    scripts: u32,
}

/// Who is in charge of the machine's other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// busybox's init, which starts nothing but the shell.
    Init,
    Systemd,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Exited(i32),
    /// It did not: there is no power any more.
    PowerLost,
}

/// What happens in a machine.
enum Heard {
    /// Its shell, or what it runs, says something.
    Line(String),
    /// Its disk has lost power.
    PowerLost,
    /// It is off.
    Off,
}

impl Machine {
    /// Starts a machine that has nothing but this disk, and waits for its shell.
    #[track_caller]
    pub fn boot(system: &System, disk: &Arc<Disk>, manager: Manager) -> Machine {
        let directory = super::directory();
        let (say, heard) = mpsc::channel();
        let socket = UnixListener::bind(directory.path().join(SOCKET)).expect("nobody else has this name");
        serve(Arc::clone(disk), socket, say.clone());
        let mut qemu = qemu(system, &directory, manager).spawn().unwrap_or_else(|error| {
            panic!("cannot run {QEMU}, which `make setup` installs: {error}");
        });
        let output = qemu.stdout.take().expect("piped");
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if say.send(Heard::Line(line)).is_err() {
                    return;
                }
            }
            // Nobody may be left to hear it.
            let _ = say.send(Heard::Off);
        });
        let shell = qemu.stdin.take().expect("piped");
        let mut machine = Machine { qemu, shell, heard, directory, scripts: 0 };
        let deadline = Instant::now() + BOOT;
        loop {
            match machine.next(deadline) {
                Heard::Line(line) if line == READY => return machine,
                Heard::Line(_) => {}
                Heard::PowerLost => panic!("power was lost during the boot"),
                Heard::Off => panic!("it does not come up\n{}", machine.console()),
            }
        }
    }

    /// Runs a shell script to its end.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn run(&mut self, script: &str) -> Outcome {
        // What it says on its standard error comes later.
        let (code, stdout) = self.collect(&format!("{{ {script}\n}} 2>{ERRORS}"));
        let (_, stderr) = self.collect(&format!("cat {ERRORS}"));
        Outcome { command: script.to_owned(), place: self.console(), code, stdout, stderr }
    }

    /// Runs a shell script that may take so long, and hands on each line it says, on its standard error too.
    #[track_caller]
    pub fn watch(&mut self, script: &str, patience: Duration, mut hear: impl FnMut(&str)) -> Ending {
        self.follow(&format!("{{ {script}\n}} 2>&1"), patience, &mut hear)
    }

    /// Ends the machine as its users do, and waits until it is off.
    #[track_caller]
    pub fn power_off(mut self) {
        self.begin("if [ -d /run/systemd/system ]; then systemctl poweroff; else busybox poweroff; fi");
        let deadline = Instant::now() + BOOT;
        while !matches!(self.next(deadline), Heard::Off) {}
    }

    /// Ends the machine in the middle of whatever it does. What its disk has not flushed may be lost: see
    /// [`Disk::power_up`].
    pub fn cut_power(self) {}

    /// The last that the kernel and the manager have said.
    pub fn console(&self) -> String {
        let log = fs::read(self.directory.path().join(CONSOLE)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log.lines().collect();
        format!(
            "of a machine whose console says\n  {}",
            lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ")
        )
    }

    #[track_caller]
    fn collect(&mut self, script: &str) -> (i32, String) {
        let mut said = String::new();
        match self.follow(script, SCRIPT, &mut |line| said += &format!("{line}\n")) {
            Ending::Exited(code) => (code, said),
            Ending::PowerLost => panic!("power was lost in {script}"),
        }
    }

    /// Runs a shell script, and hands on each line that it says.
    #[track_caller]
    fn follow(&mut self, script: &str, patience: Duration, hear: &mut dyn FnMut(&str)) -> Ending {
        let mark = self.begin(script);
        let deadline = Instant::now() + patience;
        // The mark begins a line, so before it there is an empty one, or the end of one that had none.
        let mut was_empty = false;
        loop {
            match self.next(deadline) {
                Heard::PowerLost => return Ending::PowerLost,
                Heard::Off => panic!("it is off, in {script}\n{}", self.console()),
                Heard::Line(line) => match line.strip_prefix(&mark).and_then(|code| code.parse().ok()) {
                    Some(code) => return Ending::Exited(code),
                    None => {
                        if was_empty {
                            hear("");
                        }
                        was_empty = line.is_empty();
                        if !was_empty {
                            hear(&line);
                        }
                    }
                },
            }
        }
    }

    /// Has the shell run a script; what it says after the script, before the exit code.
    #[track_caller]
    fn begin(&mut self, script: &str) -> String {
        self.scripts += 1;
        let mark = format!("-- end of script {}: ", self.scripts);
        let text = format!("( {script}\n) </dev/null; printf '\\n{mark}%s\\n' $?\n");
        let written = self.shell.write_all(text.as_bytes()).and_then(|()| self.shell.flush());
        written.unwrap_or_else(|error| panic!("it is off: {error}\n{}", self.console()));
        mark
    }

    /// Waits for something to happen.
    #[track_caller]
    fn next(&mut self, deadline: Instant) -> Heard {
        match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Disconnected) => Heard::Off,
            Err(RecvTimeoutError::Timeout) => panic!("it takes too long\n{}", self.console()),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Serves the disk to one machine, and tells when that has lost power.
fn serve(disk: Arc<Disk>, socket: UnixListener, say: Sender<Heard>) {
    thread::spawn(move || {
        let Ok((stream, _)) = socket.accept() else { return };
        match nbd::serve(&disk, &stream) {
            Ok(nbd::End::PowerLost) => {
                // Nobody may be left to hear it. The machine waits for its disk until it is off.
                let _ = say.send(Heard::PowerLost);
                let _ = io::copy(&mut &stream, &mut io::sink());
            }
            Ok(nbd::End::Disconnected) => {}
            // A machine that ends leaves its request alone.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => eprintln!("a machine's disk: {error}"),
        }
    });
}

/// The machine as a command, without a network or anything else that tests have no use for.
fn qemu(system: &System, directory: &TempDir, manager: Manager) -> Command {
    let path = |name: &str| directory.path().join(name).display().to_string();
    // It goes when the test does, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", QEMU, "-nodefaults", "-display", "none", "-no-reboot"]);
    // With a thread per processor, qemu 7.2 sometimes loses a breakpoint that the kernel has in its own code for a moment
    // while it changes that: "Oops: int3". Without a source of random numbers, the first program that wants some waits for
    // minutes.
    command.args(["-accel", "tcg,thread=single", "-cpu", "qemu64,+rdrand", "-smp", "2", "-m", "2G"]);
    command.arg("-kernel").arg(system.kernel()).arg("-initrd").arg(system.initramfs());
    let manager = match manager {
        Manager::Init => "init",
        Manager::Systemd => "systemd",
    };
    // What the kernel does not know is in its first process's environment.
    command.args(["-append", &format!("console=ttyS1 quiet panic=-1 mitigations=off manager={manager}")]);
    command.args(["-chardev", "stdio,id=shell,signal=off", "-serial", "chardev:shell"]);
    command.args(["-serial", &format!("file:{}", path(CONSOLE))]);
    command.args([
        "-blockdev",
        &format!("driver=nbd,node-name=disk,server.type=unix,server.path={}", path(SOCKET)),
    ]);
    command.args(["-device", "virtio-blk-pci,drive=disk,logical_block_size=4096,physical_block_size=4096"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

const QEMU: &str = "qemu-system-x86_64";
const SOCKET: &str = "disk";
const CONSOLE: &str = "console";
/// What the shell says first.
const READY: &str = "ready";
/// Where a script's errors wait, in memory.
const ERRORS: &str = "/run/vm-stderr";

/// How long a machine may take until its shell is ready, and how long a script may take: some twenty times as much as
/// they need.
const BOOT: Duration = Duration::from_secs(600);
const SCRIPT: Duration = Duration::from_secs(180);
/// How much of a console is shown.
const LAST_LINES: usize = 60;
