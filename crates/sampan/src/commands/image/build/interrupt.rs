//! Ctrl-C: the build ends, and takes all that it started with it.

use std::{io, sync::Arc, thread};

use builder::Stop;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::Signal,
};
use sys::signals::{Signals, die_of};

/// What SIGINT, SIGTERM and SIGHUP set. A second one ends the program at once.
///
/// Call it before there are threads: they inherit that these signals are collected here.
pub fn heeded() -> io::Result<Arc<Stop>> {
    let numbers = [Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
    let signals = Signals::collect(&numbers)?;
    let stop = Arc::new(Stop::new()?);
    let set = Arc::clone(&stop);
    thread::Builder::new().name("signals".to_owned()).spawn(move || listen(&signals, &set))?;
    Ok(stop)
}

fn listen(signals: &Signals, stop: &Stop) {
    loop {
        // An interrupted wait is as good as one that ended: what has come is asked for below.
        poll(&mut [PollFd::new(signals, PollFlags::IN)], None).ok();
        match signals.next() {
            Ok(Some(number)) if stop.is_set() => die_of(number),
            Ok(Some(_)) => stop.set(),
            Ok(None) => {}
            // Nothing can be collected any more. Those that come now stay blocked.
            Err(_) => return,
        }
    }
}
