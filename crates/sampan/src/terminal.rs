//! The user's side of an interactive container: a terminal in raw mode, its size, its keys, its signals.

use std::{
    io::{self, IsTerminal, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use monitor::TerminalSize;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    io::Errno,
    process::Signal,
    termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
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
    /// What else to do when the user's input ends.
    pub input_ended: &'a dyn Fn() -> io::Result<()>,
    /// The process's terminal, if it has one.
    pub terminal: Option<&'a OwnedFd>,
    /// Whether this process has to print what comes from the terminal.
    pub print: bool,
    /// What to do with a signal the user sends. If there is nothing, it ends the conversation.
    pub forward: Option<&'a dyn Fn(i32)>,
    /// What else to do when the user's terminal, and so the process's, has another size.
    pub resized: Option<&'a dyn Fn(Winsize)>,
    /// Keys that end the conversation.
    pub detach: Option<DetachKeys>,
}

/// How a conversation came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// With the process.
    Ended,
    /// The user pressed the keys for it.
    Detached,
    Signalled(i32),
}

impl Conversation<'_> {
    /// Carries it on until the process has ended. `signals` are collected already: see [`signals`].
    pub fn hold(mut self, signals: &Signals) -> io::Result<Parting> {
        let stdin = rustix::stdio::stdin();
        let mut prints = self.print;
        // Typed, and not taken yet: a process that does not read keeps nobody from pressing keys.
        let mut typed = Vec::new();
        if let Some(input) = &self.input {
            rustix::fs::fcntl_setfl(input, OFlags::NONBLOCK)?;
        }
        loop {
            let mut sources = vec![
                PollFd::from_borrowed_fd(self.ended, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            let terminal_at = self.terminal.filter(|_| prints).map(|terminal| {
                sources.push(PollFd::new(terminal, PollFlags::IN));
                sources.len() - 1
            });
            let input_at = self.input.as_ref().map(|input| {
                sources.push(match typed.is_empty() {
                    true => PollFd::from_borrowed_fd(stdin, PollFlags::IN),
                    false => PollFd::new(input, PollFlags::OUT),
                });
                sources.len() - 1
            });
            match poll(&mut sources, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let is_ready = |at: usize| !sources[at].revents().is_empty();
            let (ended, signalled) = (is_ready(0), is_ready(1));
            let (said, input) = (terminal_at.is_some_and(is_ready), input_at.is_some_and(is_ready));
            if signalled && let Some(number) = self.pass_signals_on(signals)? {
                return Ok(Parting::Signalled(number));
            }
            if said && let Some(terminal) = self.terminal {
                if copy(terminal.as_fd(), rustix::stdio::stdout())? > 0 {
                    continue;
                }
                // Nobody has the terminal open any more; it would be ready for ever.
                prints = false;
            }
            if ended {
                return Ok(Parting::Ended);
            }
            if input {
                let more = match typed.is_empty() {
                    true => match self.read_keys(&mut typed) {
                        Keys::Some => true,
                        Keys::NoMore => false,
                        Keys::Detach => {
                            self.pass_keys_on(&mut typed);
                            return Ok(Parting::Detached);
                        }
                    },
                    false => true,
                };
                if !more || !self.pass_keys_on(&mut typed) {
                    self.input = None;
                    (self.input_ended)()?;
                }
            }
        }
    }

    /// Reads what the user typed.
    fn read_keys(&mut self, typed: &mut Vec<u8>) -> Keys {
        let mut buffer = [0; 16 * 1024];
        let keys = match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => return Keys::NoMore,
            Ok(n) => &buffer[..n],
            Err(Errno::INTR | Errno::AGAIN) => return Keys::Some,
            // A terminal that is gone, or an input that was closed to begin with.
            Err(_) => return Keys::NoMore,
        };
        let Some(detach) = &mut self.detach else {
            typed.extend_from_slice(keys);
            return Keys::Some;
        };
        if detach.pass(keys, typed) { Keys::Detach } else { Keys::Some }
    }

    /// Gives the process as much of what was typed as it takes; whether it still takes anything.
    fn pass_keys_on(&self, typed: &mut Vec<u8>) -> bool {
        let Some(input) = &self.input else { return false };
        while !typed.is_empty() {
            match rustix::io::write(input, typed) {
                Ok(count) => drop(typed.drain(..count)),
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Does what signals ask for; one that is nobody else's to handle is returned.
    fn pass_signals_on(&self, signals: &Signals) -> io::Result<Option<i32>> {
        while let Some(number) = signals.next()? {
            if number != Signal::WINCH.as_raw() {
                let Some(forward) = self.forward else { return Ok(Some(number)) };
                forward(number);
            } else if let (Some(terminal), Ok(size)) = (self.terminal, tcgetwinsize(rustix::stdio::stdout()))
            {
                tcsetwinsize(terminal, size)?;
                self.resized.iter().for_each(|resized| resized(size));
            }
        }
        Ok(None)
    }
}

enum Keys {
    Some,
    NoMore,
    Detach,
}

/// The keys that take the user out of a container and leave it running. While they come one after another, they are
/// held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them were pressed just now.
    pressed: usize,
}

impl DetachKeys {
    /// Reads docker's way to write them, such as `ctrl-p,ctrl-q`, `a,b` or `DEL`.
    pub fn parse(text: &str) -> Result<DetachKeys, InvalidKeys> {
        let key = |name: &str| match name.as_bytes() {
            [key] => Some(*key),
            b"DEL" => Some(DELETE),
            [
                b'c',
                b't',
                b'r',
                b'l',
                b'-',
                key @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_'),
            ] => Some(key & 0x1f),
            _ => None,
        };
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        keys.map(|keys| DetachKeys { keys, pressed: 0 }).ok_or_else(|| InvalidKeys(text.to_owned()))
    }

    /// Adds to `through` what is not to be held back of `typed`; whether the keys were pressed.
    fn pass(&mut self, typed: &[u8], through: &mut Vec<u8>) -> bool {
        for key in typed {
            if *key == self.keys[self.pressed] {
                self.pressed += 1;
                if self.pressed == self.keys.len() {
                    self.pressed = 0;
                    return true;
                }
            } else {
                through.extend_from_slice(&self.keys[..self.pressed]);
                through.push(*key);
                self.pressed = 0;
            }
        }
        false
    }
}

impl Default for DetachKeys {
    fn default() -> DetachKeys {
        DetachKeys { keys: vec![CTRL_P, CTRL_Q], pressed: 0 }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("Invalid detach keys ({0}) provided")]
pub struct InvalidKeys(String);

const CTRL_P: u8 = 16;
const CTRL_Q: u8 = 17;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &str, typed: &[&str], expected: &str, detached: bool) {
        let mut keys = DetachKeys::parse(keys).expect("valid keys");
        let mut through = Vec::new();
        let pressed = typed.iter().any(|typed| keys.pass(typed.as_bytes(), &mut through));
        assert_eq!((String::from_utf8_lossy(&through).as_ref(), pressed), (expected, detached), "{typed:?}");
    }

    #[test]
    fn detach_keys_are_held_back_until_it_is_clear_what_they_mean() {
        check("ctrl-p,ctrl-q", &["ls\r"], "ls\r", false);
        check("ctrl-p,ctrl-q", &["ls\x10\x11rm"], "ls", true);
        check("ctrl-p,ctrl-q", &["ls\x10", "\x11"], "ls", true);
        check("ctrl-p,ctrl-q", &["\x10"], "", false);
        check("ctrl-p,ctrl-q", &["\x10", "x\x11"], "\x10x\x11", false);
        // As docker has it, a key that does not fit is not looked at again as a first one.
        check("a,b,c", &["ab", "abc"], "ababc", false);
        check("x", &["yx"], "y", true);
    }

    #[test]
    fn detach_keys_are_read_as_docker_reads_them() {
        let keys =
            |text: &str| DetachKeys::parse(text).map(|keys| keys.keys).map_err(|error| error.to_string());
        assert_eq!(keys("ctrl-p,ctrl-q").as_deref(), Ok(&[16, 17][..]));
        assert_eq!(
            keys("ctrl-@,ctrl-[,ctrl-\\,ctrl-_,DEL,Z").as_deref(),
            Ok(&[0, 27, 28, 31, 127, b'Z'][..])
        );
        assert_eq!(keys("ctrl-P"), Err("Invalid detach keys (ctrl-P) provided".to_owned()));
        assert_eq!(keys("shift-a"), Err("Invalid detach keys (shift-a) provided".to_owned()));
        assert_eq!(keys(""), Err("Invalid detach keys () provided".to_owned()));
    }
}
