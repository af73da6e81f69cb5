//! PID 1 for programs that were not written to be it: collects orphans, passes signals on.

use std::os::fd::AsFd;

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Signal, WaitOptions, wait},
};
use sys::{
    process::{Child, Fork, Namespaces, exit_code, fork, signal},
    signals::Signals,
};

use crate::failure::{Context, Failure};

/// Which half of the split process this is.
pub enum Half {
    Program,
    Reaper(Child),
}

/// Splits the calling process in two: one goes on to be the program, the other stays behind as its reaper.
pub fn split() -> Result<Half, Failure> {
    match fork(Namespaces::NONE, None).context("starting the reaper")? {
        Fork::Child => Ok(Half::Program),
        Fork::Parent(child) => Ok(Half::Reaper(child)),
    }
}

/// Collects every child that ends and passes signals on to the program, until that ends; its exit status.
pub fn reap(program: &Child) -> i32 {
    // What ps shows; the name it started with is a descriptor's number. Not worth failing for.
    let _ = rustix::thread::set_name(c"sampan-init");
    let every_signal: Vec<i32> = (1..=64).collect();
    let Ok(signals) = Signals::collect(&every_signal) else { return 255 };
    loop {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == program.pid {
                return i32::from(exit_code(status));
            }
        }
        // Interrupted or not, what follows looks again.
        let _ = poll(&mut [PollFd::new(&signals, PollFlags::IN)], None);
        while let Ok(Some(number)) = signals.next() {
            if number != Signal::CHILD.as_raw() {
                // A program that is gone already is collected in the next round.
                let _ = signal(program.pidfd.as_fd(), number);
            }
        }
    }
}
