//! What a container is doing, found out rather than remembered.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use jiff::Timestamp;
use runtime::cgroup::Cgroup;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::Signal,
};

use crate::{
    connection::{release_claims, withdraw},
    control,
    hooks::Hooked,
    journal,
    order::Order,
    pause, policy,
    record::{Ended, Lock, Record, Started},
    volumes::VolumeUse,
};

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Created,
    Running(Started),
    /// Its processes stand still until somebody lets them go on.
    Paused(Started),
    /// Has ended and is about to be started again.
    Restarting(Ended),
    Exited(Ended),
}

impl Status {
    /// docker's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running(_) => "running",
            Status::Paused(_) => "paused",
            Status::Restarting(_) => "restarting",
            // One whose start failed has not been anything else yet.
            Status::Exited(ended) if ended.started.is_none() => "created",
            Status::Exited(_) => "exited",
        }
    }

    /// Whether somebody is at work on it. One that is paused or about to be started again runs, too.
    pub fn is_running(&self) -> bool {
        matches!(self, Status::Running(_) | Status::Paused(_) | Status::Restarting(_))
    }

    /// The process that it has.
    pub fn started(&self) -> Option<&Started> {
        match self {
            Status::Running(started) | Status::Paused(started) => Some(started),
            Status::Created | Status::Restarting(_) | Status::Exited(_) => None,
        }
    }
}

/// What the container in the directory `bundle` is doing now.
///
/// If its monitor was killed, or the machine rebooted, what is left of the container is ended and taken back
/// first. Waits only for processes that have been killed.
///
/// A listing asks this of every container. For one that runs it takes eight system calls.
pub fn status(bundle: &Path) -> io::Result<Status> {
    if !Order::exists(bundle)? {
        return Ok(match Record::read(bundle)? {
            None => Status::Created,
            Some(Record::Exited(ended)) => Status::Exited(ended),
            Some(Record::Restarting(ended)) => Status::Exited(Ended { lost: true, ..ended }),
            // The order is settled after the end is recorded: this was read between the two, or is from before a
            // crash that took back the newer record.
            Some(Record::Running(started)) => Status::Exited(lost(Some(started))),
        });
    }
    if let Some(lock) = Lock::try_take(bundle)? {
        return take_back(bundle, &lock);
    }
    // Somebody is in charge: of a process that runs, or of one that is about to.
    Ok(match Record::read(bundle)? {
        None => Status::Created,
        Some(Record::Running(started)) if pause::is_paused(bundle)? => Status::Paused(started),
        Some(Record::Running(started)) => Status::Running(started),
        Some(Record::Restarting(ended)) => Status::Restarting(ended),
        Some(Record::Exited(ended)) => Status::Exited(ended),
    })
}

/// The cgroup of the container in the directory `bundle`; `None` if nobody is at work on it.
pub fn cgroup(bundle: &Path) -> io::Result<Option<Cgroup>> {
    Order::load(bundle)?.as_ref().map(cgroup_of).transpose()
}

fn cgroup_of(order: &Order) -> io::Result<Cgroup> {
    Ok(Cgroup::open(&order.layout()?, &order.cgroup_parent, &order.id.to_string()))
}

/// Takes back what a lost monitor left, if one did, as the holder of the lock. On a full disk all of it is taken back
/// without being written down, and the order stays.
pub fn take_back(bundle: &Path, _lock: &Lock) -> io::Result<Status> {
    // Between the first look and the lock, the monitor may have come to its proper end.
    let Some(order) = Order::load(bundle)? else {
        return match Record::read(bundle)? {
            Some(Record::Exited(ended)) => Ok(Status::Exited(ended)),
            Some(Record::Restarting(ended)) => Ok(Status::Exited(Ended { lost: true, ..ended })),
            Some(Record::Running(started)) => Ok(Status::Exited(lost(Some(started)))),
            None => Ok(Status::Created),
        };
    };
    let cgroup = cgroup_of(&order)?;
    // On v1, what is frozen does not die.
    cgroup.thaw()?;
    let mut published = Vec::new();
    let record = Record::read(bundle)?;
    // That of a container that is about to be started again was written when all was over.
    let has_hooks = !matches!(record, Some(Record::Restarting(_)));
    let ended = match record {
        Some(Record::Exited(ended)) => ended,
        Some(Record::Restarting(ended)) => Ended { lost: true, ..ended },
        Some(Record::Running(started)) => {
            if let Some(process) = started.process()? {
                end(&process)?;
            }
            published.clone_from(&started.publish);
            lost(Some(started))
        }
        None => lost(None),
    };
    cgroup.kill()?;
    cgroup.remove().map_err(io::Error::other)?;
    if let Some(network) = &order.network {
        withdraw(network, &published)?;
    }
    release_claims(&order);
    order.volumes.iter().try_for_each(VolumeUse::end)?;
    // Nobody listens there any more, and on a full disk the record can have its place.
    control::sweep(bundle);
    match Record::Exited(ended.clone()).write(bundle) {
        // It has ended all the same: who only looks is told, and whoever looks when there is room writes it down.
        Err(error) if policy::has_no_room(&error) => return Ok(Status::Exited(ended)),
        written => written?,
    }
    if has_hooks
        && let Some(hooked) =
            runtime::bundle::load(bundle).ok().and_then(|spec| Hooked::of(&spec, order.id, bundle))
    {
        // What goes wrong there concerns nobody who is here by chance.
        let _ = hooked.stop();
    }
    journal::note_end(bundle, &ended);
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
    let restarts = started.as_ref().map_or(0, |started| started.restarts);
    Ended {
        // As if the process had been killed, which it was.
        code: 128 + Signal::KILL.as_raw() as u8,
        started: started.map(|started| started.at),
        finished: Timestamp::now(),
        oom_killed: false,
        error: Some("the container's monitor was lost".to_owned()),
        restarts,
        lost: true,
    }
}
