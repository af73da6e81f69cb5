//! A wish that a build end, from whoever has it: a user, or a step that failed.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::event::{EventfdFlags, eventfd};

/// Not wished for at first; once it is, it stays so. As a descriptor it is readable then, so that a wait ends.
#[derive(Debug)]
pub struct Stop {
    set: AtomicBool,
    event: OwnedFd,
}

impl Stop {
    pub fn new() -> io::Result<Stop> {
        Ok(Stop { set: AtomicBool::new(false), event: eventfd(0, EventfdFlags::CLOEXEC)? })
    }

    pub fn set(&self) {
        self.set.store(true, Ordering::Release);
        // It fails only if it has been set 2^64 times.
        rustix::io::write(&self.event, &1u64.to_ne_bytes()).ok();
    }

    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
