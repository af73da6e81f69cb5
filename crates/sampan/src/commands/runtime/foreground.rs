//! What a runtime does while a process of a container has the caller's terminal or streams.

use std::{io, os::fd::AsFd};

use oci::Started;
use rustix::termios::{Winsize, tcsetwinsize};
use sys::signals::Signals;

use crate::terminal::{self, Conversation, Raw};

/// Gives the process's terminal, if it has one, the size of the caller's.
pub fn fit(process: &Started) -> io::Result<()> {
    if let (Some(master), Some(size)) = (&process.terminal, terminal::size()) {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(master, size)?;
    }
    Ok(())
}

/// Passes keys, output and signals on until the process has ended; its exit code. Signals are to be collected from before
/// it runs: whoever sees what it says may send one at once.
pub fn hold(process: &Started, signals: &Signals) -> io::Result<u8> {
    let raw = if process.terminal.is_some() { Raw::enter()? } else { None };
    let pidfd = process.child.pidfd.as_fd();
    let conversation = Conversation {
        ended: pidfd,
        input: process.terminal.as_ref().map(|master| master.try_clone()).transpose()?,
        input_ended: &|| Ok(()),
        terminal: process.terminal.as_ref(),
        print: process.terminal.is_some(),
        // One that has just ended wants no signal any more.
        forward: Some(&|number| drop(sys::process::signal(pidfd, number))),
        resized: None,
        detach: None,
    };
    let parting = conversation.hold(signals);
    drop(raw);
    parting?;
    process.child.wait()
}
