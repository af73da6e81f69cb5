//! The user's side of an interactive container: a terminal in raw mode, its size, its keys, its signals.

use std::{
    io::{self, IsTerminal, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use monitor::TerminalSize;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::Signal,
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};
use sys::signals::Signals;

/// The size of the terminal on standard output, if it is one.
pub fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(TerminalSize { columns: size.ws_col, rows: size.ws_row })
}

/// Standard input in raw mode: every key goes to the container. Put back when dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Puts standard input into raw mode, if it is a terminal.
    pub fn enter() -> io::Result<Option<Raw>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Some(Raw { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Asks on the terminal for a line that is not shown while it is typed; `None` if the user would rather not.
///
/// Keys are read one by one, Ctrl-C among them: as a signal it would end us before the terminal is put back.
pub fn read_secret(prompt: &str) -> io::Result<Option<String>> {
    // Before the question: whoever answers at once is not seen either.
    let raw = Raw::enter()?;
    eprint!("{prompt}");
    let mut typed = Vec::new();
    let answer = loop {
        let mut key = [0];
        if io::stdin().lock().read(&mut key)? == 0 {
            break None;
        }
        match key {
            [b'\r' | b'\n'] => break Some(typed),
            [CTRL_C | CTRL_D] => break None,
            [CTRL_U] => typed.clear(),
            [BACKSPACE | DELETE] => drop(typed.pop()),
            [byte] => typed.push(byte),
        }
    };
    drop(raw);
    eprintln!();
    answer.map(|typed| String::from_utf8(typed).map_err(io::Error::other)).transpose()
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// What goes on between the user and a process in a container until that ends.
pub struct Conversation<'a> {
    /// Readable when the process has ended.
    pub ended: BorrowedFd<'a>,
    /// Where what the user types goes. Closed when the user's input ends.
    pub input: Option<OwnedFd>,
    /// The process's terminal, if it has one.
    pub terminal: Option<&'a OwnedFd>,
    /// Whether this process has to print what comes from the terminal.
    pub print: bool,
    /// What to do with a signal the user sends.
    pub forward: &'a dyn Fn(i32),
}

impl Conversation<'_> {
    /// Carries it on until the process has ended. `signals` are collected already: see [`signals`].
    pub fn hold(mut self, signals: &Signals) -> io::Result<()> {
        let mut reads_input = self.input.is_some();
        let mut prints = self.print;
        loop {
            let stdin = rustix::stdio::stdin();
            let mut sources = vec![
                PollFd::from_borrowed_fd(self.ended, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            let input_at = reads_input.then(|| {
                sources.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
                sources.len() - 1
            });
            let terminal_at = self.terminal.filter(|_| prints).map(|terminal| {
                sources.push(PollFd::new(terminal, PollFlags::IN));
                sources.len() - 1
            });
            match poll(&mut sources, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let is_ready = |at: usize| !sources[at].revents().is_empty();
            let (ended, signalled) = (is_ready(0), is_ready(1));
            let (typed, said) = (input_at.is_some_and(is_ready), terminal_at.is_some_and(is_ready));
            if signalled {
                self.pass_signals_on(signals)?;
            }
            if said && let Some(terminal) = self.terminal {
                if copy(terminal.as_fd(), rustix::stdio::stdout())? > 0 {
                    continue;
                }
                // Nobody has the terminal open any more; it would be ready for ever.
                prints = false;
            }
            if ended {
                return Ok(());
            }
            if typed {
                let target = self.input.as_ref().map(AsFd::as_fd);
                let more = target.is_some_and(|target| matches!(copy(stdin, target), Ok(n) if n > 0));
                if !more {
                    reads_input = false;
                    self.input = None;
                }
            }
        }
    }

    fn pass_signals_on(&self, signals: &Signals) -> io::Result<()> {
        while let Some(number) = signals.next()? {
            if number != Signal::WINCH.as_raw() {
                (self.forward)(number);
            } else if let (Some(terminal), Ok(size)) = (self.terminal, tcgetwinsize(rustix::stdio::stdout()))
            {
                tcsetwinsize(terminal, size)?;
            }
        }
        Ok(())
    }
}

/// Collects the signals that are for the container rather than for this process.
pub fn signals() -> io::Result<Signals> {
    let numbers =
        [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::WINCH];
    Signals::collect(&numbers.map(Signal::as_raw))
}

/// Copies what there is; how much that was.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let n = match rustix::io::read(from, &mut buffer) {
        Ok(n) => n,
        // A terminal whose last user is gone.
        Err(Errno::IO) => return Ok(0),
        Err(Errno::INTR | Errno::AGAIN) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut left = &buffer[..n];
    while !left.is_empty() {
        left = &left[rustix::io::retry_on_intr(|| rustix::io::write(to, left))?..];
    }
    Ok(n)
}
