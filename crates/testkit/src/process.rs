//! A command that runs: its output as it comes, its input, its end. No wait is longer than patience.

use std::{
    fmt, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
    pty::{OpenptFlags, grantpt, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{Outcome, PATIENCE};

/// A started command. Killed when dropped before its end.
#[derive(Debug)]
pub struct Process {
    command: String,
    place: PathBuf,
    child: Child,
    pidfd: OwnedFd,
    status: Option<ExitStatus>,
    /// Output and errors, or the one terminal.
    outputs: Vec<Output>,
    input: Option<OwnedFd>,
    /// How much of the first output was waited for.
    heard: usize,
}

#[derive(Debug)]
struct Output {
    source: Option<OwnedFd>,
    seen: Vec<u8>,
}

impl Process {
    /// Starts `command` with its outputs, and its input if nothing else was chosen for it, in our hands.
    pub(crate) fn spawn(mut command: Command, place: &Path) -> io::Result<Process> {
        let text = describe(&command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let outputs = vec![
            Output::new(child.stdout.take().expect("piped").into()),
            Output::new(child.stderr.take().expect("piped").into()),
        ];
        let input = child.stdin.take().map(OwnedFd::from);
        Process::new(text, place, child, outputs, input)
    }

    /// Starts `command` on a terminal of this size.
    pub(crate) fn spawn_on_terminal(
        mut command: Command,
        columns: u16,
        rows: u16,
        place: &Path,
    ) -> io::Result<Process> {
        let text = describe(&command);
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 })?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let open = || -> io::Result<Stdio> {
            let name = Path::new(name.to_str().map_err(io::Error::other)?);
            Ok(std::fs::File::options().read(true).write(true).open(name)?.into())
        };
        let child = command.stdin(open()?).stdout(open()?).stderr(open()?).spawn()?;
        drop(command);
        let input = Some(master.try_clone()?);
        Process::new(text, place, child, vec![Output::new(master)], input)
    }

    fn new(
        command: String,
        place: &Path,
        child: Child,
        outputs: Vec<Output>,
        input: Option<OwnedFd>,
    ) -> io::Result<Process> {
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Process { command, place: place.to_owned(), child, pidfd, status: None, outputs, input, heard: 0 })
    }

    /// What the command has said on standard output, or on its terminal, so far.
    pub fn said(&self) -> String {
        self.outputs[0].text()
    }

    /// Waits until the command says `text`, after what was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> &mut Process {
        let find = |process: &Process| process.outputs[0].find(text, process.heard);
        let ended = |process: &Process| process.outputs[0].source.is_none();
        self.pump(PATIENCE, |process| find(process).is_some() || ended(process));
        match find(self) {
            Some(end) => self.heard = end,
            None => panic!("waited in vain for {text:?}\n{}", self.so_far()),
        }
        self
    }

    /// Whether the command has said `text` by now, after what was waited for before.
    pub fn hears(&mut self, text: &str) -> bool {
        self.collect(Duration::ZERO);
        self.outputs[0].find(text, self.heard).is_some()
    }

    /// Waits until the command has said `text` on its standard error.
    #[track_caller]
    pub fn wait_for_error(&mut self, text: &str) -> &mut Process {
        let find = |process: &Process| process.outputs[1].find(text, 0);
        self.pump(PATIENCE, |process| find(process).is_some() || process.outputs[1].source.is_none());
        assert!(find(self).is_some(), "waited in vain for {text:?}\n{}", self.so_far());
        self
    }

    /// Gives the command something to read.
    #[track_caller]
    pub fn write(&mut self, text: &str) -> &mut Process {
        let input = self.input.as_ref().expect("a command that reads");
        let mut left = text.as_bytes();
        while !left.is_empty() {
            left = &left[rustix::io::write(input, left).expect("the command reads")..];
        }
        self
    }

    /// Ends what the command reads.
    pub fn close_input(&mut self) -> &mut Process {
        self.input = None;
        self
    }

    /// Changes the size of the command's terminal, and tells the command.
    pub fn resize(&mut self, columns: u16, rows: u16) -> &mut Process {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = self.outputs[0].source.as_ref().expect("the terminal is open");
        tcsetwinsize(terminal, size).expect("a terminal");
        self.signal(Signal::WINCH)
    }

    /// Sends a signal. A command that has ended needs none.
    pub fn signal(&mut self, signal: Signal) -> &mut Process {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => self,
            Err(error) => panic!("cannot signal: {error}\n{}", self.so_far()),
        }
    }

    /// Kills the command, and nothing but the command, once `delay` has passed or it has ended.
    #[must_use = "nobody looked at how it went"]
    pub fn kill_after(mut self, delay: Duration) -> Outcome {
        self.pump(delay, |process| process.status.is_some());
        self.signal(Signal::KILL);
        self.finish()
    }

    /// Waits for the end of the command and of its output.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn finish(self) -> Outcome {
        self.try_finish().unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Process::finish`], with an error instead of a panic.
    pub(crate) fn try_finish(mut self) -> Result<Outcome, String> {
        let silent = |process: &Process| process.outputs.iter().all(|output| output.source.is_none());
        if !self.pump(PATIENCE, |process| process.status.is_some() && silent(process)) {
            let why = match self.status {
                None => "it does not end",
                Some(_) => "it has ended, and somebody keeps its output open",
            };
            return Err(format!("{why}\n{}", self.so_far()));
        }
        Ok(self.so_far())
    }

    /// Collects what happens until `done` or until `patience` ends; whether it is done.
    fn pump(&mut self, patience: Duration, done: impl Fn(&Process) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if done(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.collect(left);
        }
    }

    /// Waits for something to happen, and takes it in.
    fn collect(&mut self, patience: Duration) {
        let ready: Vec<bool> = {
            let waiting = self.status.is_none().then_some(self.pidfd.as_fd());
            let sources = self.outputs.iter().filter_map(|output| output.source.as_ref().map(AsFd::as_fd));
            let mut polled: Vec<_> = waiting
                .into_iter()
                .chain(sources)
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            let timeout = Timespec::try_from(patience).expect("less than an eternity");
            match poll(&mut polled, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
            polled.iter().map(|polled| !polled.revents().is_empty()).collect()
        };
        let mut ready = ready.into_iter();
        if self.status.is_none() && ready.next() == Some(true) {
            self.status = Some(self.child.wait().expect("our own child"));
        }
        for output in self.outputs.iter_mut().filter(|output| output.source.is_some()) {
            if ready.next() == Some(true) {
                output.read();
            }
        }
    }

    fn so_far(&self) -> Outcome {
        let code = |status: ExitStatus| status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Outcome {
            command: self.command.clone(),
            place: self.place.display().to_string(),
            code: self.status.and_then(code).unwrap_or(-1),
            stdout: self.outputs[0].text(),
            stderr: self.outputs.get(1).map(Output::text).unwrap_or_default(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            // It may just have ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Output {
    fn new(source: OwnedFd) -> Output {
        Output { source: Some(source), seen: Vec::new() }
    }

    fn read(&mut self) {
        let Some(source) = &self.source else { return };
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(source, &mut buffer) {
            // A terminal nobody else has open any more gives EIO.
            Ok(0) | Err(Errno::IO) => self.source = None,
            Ok(length) => self.seen.extend_from_slice(&buffer[..length]),
            Err(Errno::INTR) => {}
            Err(error) => panic!("reading a command's output: {error}"),
        }
    }

    /// Where the first `text` from `start` on ends.
    fn find(&self, text: &str, start: usize) -> Option<usize> {
        let mut windows = self.seen[start..].windows(text.len());
        windows.position(|window| window == text.as_bytes()).map(|at| start + at + text.len())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

/// The command line as one would type it.
fn describe(command: &Command) -> String {
    struct Words<'a>(&'a Command);
    impl fmt::Display for Words<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let name = Path::new(self.0.get_program()).file_name().unwrap_or_default();
            write!(f, "{}", name.to_string_lossy())?;
            for argument in self.0.get_args() {
                match argument.to_string_lossy() {
                    plain
                        if plain.bytes().all(|b| b.is_ascii_graphic() && !br#""'$;&|<>()"#.contains(&b)) =>
                    {
                        write!(f, " {plain}")?
                    }
                    odd => write!(f, " '{odd}'")?,
                }
            }
            Ok(())
        }
    }
    Words(command).to_string()
}
