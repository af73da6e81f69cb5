//! Handing a terminal to whoever listens for it.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// Connects to the stream socket at `path` and sends `text` with the descriptor attached.
pub fn send(path: &Path, text: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let socket = UnixStream::connect(path)?;
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent =
        rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(text)], &mut ancillary, SendFlags::NOSIGNAL)?;
    // The descriptor goes with the first byte; the rest may have to follow.
    io::Write::write_all(&mut &socket, &text[sent..])
}

/// What the message says that brings a terminal.
pub const TERMINAL: &[u8] = b"/dev/ptmx";
