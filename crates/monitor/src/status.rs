//! What a container is doing, found out rather than remembered.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use jiff::Timestamp;
use runtime::cgroup::{Cgroup, Layout};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::Signal,
};

use crate::{
    connection::{release_claims, withdraw},
    order::Order,
    record::{Ended, Lock, Record, Started},
    volumes::VolumeUse,
};

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Created,
    Running(Started),
    Exited(Ended),
}

impl Status {
    /// docker's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running(_) => "running",
            Status::Exited(_) => "exited",
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self, Status::Running(_))
    }
}

/// What the container in the directory `bundle` is doing now.
///
/// If its monitor was killed, or the machine rebooted, what is left of the container is ended and taken back
/// first. Waits only for processes that have been killed.
pub fn status(bundle: &Path) -> io::Result<Status> {
    let Some(_) = Order::load(bundle)? else {
        return Ok(match Record::read(bundle)? {
            None => Status::Created,
            Some(Record::Exited(ended)) => Status::Exited(ended),
            // The order is settled after the end is recorded: this was read between the two, or is from before a
            // crash that took back the newer record.
            Some(Record::Running(started)) => Status::Exited(lost(Some(started))),
        });
    };
    match Lock::try_take(bundle)? {
        // Somebody is in charge: of a process that runs, or of one that is about to.
        None => Ok(match Record::read(bundle)? {
            None => Status::Created,
            Some(Record::Running(started)) => Status::Running(started),
            Some(Record::Exited(ended)) => Status::Exited(ended),
        }),
        Some(lock) => take_back(bundle, lock),
    }
}

/// Takes back what a lost monitor left, as the holder of the lock.
fn take_back(bundle: &Path, _lock: Lock) -> io::Result<Status> {
    // Between the first look and the lock, the monitor may have come to its proper end.
    let Some(order) = Order::load(bundle)? else {
        return match Record::read(bundle)? {
            Some(Record::Exited(ended)) => Ok(Status::Exited(ended)),
            Some(Record::Running(started)) => Ok(Status::Exited(lost(Some(started)))),
            None => Ok(Status::Created),
        };
    };
    let mut published = Vec::new();
    let ended = match Record::read(bundle)? {
        Some(Record::Exited(ended)) => ended,
        Some(Record::Running(started)) => {
            if let Some(process) = started.process()? {
                end(&process)?;
            }
            published.clone_from(&started.publish);
            lost(Some(started))
        }
        None => lost(None),
    };
    let cgroup =
        Layout::detect().map(|layout| Cgroup::open(&layout, &order.cgroup_parent, &order.id.to_string()))?;
    cgroup.kill()?;
    cgroup.remove().map_err(io::Error::other)?;
    if let Some(network) = &order.network {
        withdraw(network, &published)?;
    }
    release_claims(order.network.as_ref());
    order.volumes.iter().try_for_each(VolumeUse::end)?;
    Record::Exited(ended.clone()).write(bundle)?;
    Order::settle(bundle)?;
    Ok(Status::Exited(ended))
}

/// Kills a process and waits until it is gone.
fn end(process: &OwnedFd) -> io::Result<()> {
    match sys::process::signal(process.as_fd(), Signal::KILL.as_raw()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return Err(error);
        }
        _ => {}
    }
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(process, PollFlags::IN)], None))?;
    Ok(())
}

/// The end of a container that nobody saw.
fn lost(started: Option<Started>) -> Ended {
    Ended {
        // As if the process had been killed, which it was.
        code: 128 + Signal::KILL.as_raw() as u8,
        started: started.map(|started| started.at),
        finished: Timestamp::now(),
        oom_killed: false,
        error: Some("the container's monitor was lost".to_owned()),
    }
}
