//! What a container is doing, found out rather than remembered.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jiff::Timestamp;
use runtime::cgroup::{Cgroup, Layout};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::Signal,
};
use types::ContainerId;

use crate::{
    connection::{release_claims, withdraw},
    control, hold, journal,
    order::{Order, Place},
    policy,
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
pub fn status(bundle: &Path) -> io::Result<Status> {
    status_and_claims(bundle).map(|(status, _)| status)
}

/// The same, and the files that say which addresses and names it has if somebody is in charge of it.
pub fn status_and_claims(bundle: &Path) -> io::Result<(Status, Vec<PathBuf>)> {
    let Some(place) = Order::place(bundle)? else {
        let status = match Record::read(bundle)? {
            None => Status::Created,
            Some(Record::Exited(ended)) => Status::Exited(ended),
            Some(Record::Restarting(ended)) => Status::Exited(Ended { lost: true, ..ended }),
            // The order is settled after the end is recorded: this was read between the two, or is from before a
            // crash that took back the newer record.
            Some(Record::Running(started)) => Status::Exited(lost(Some(started))),
        };
        return Ok((status, Vec::new()));
    };
    if let Some(lock) = Lock::try_take(bundle)? {
        return Ok((take_back(bundle, lock)?, Vec::new()));
    }
    // Somebody is in charge: of a process that runs, or of one that is about to.
    let status = match Record::read(bundle)? {
        None => Status::Created,
        Some(Record::Running(started)) if freezer_of(&place)?.is_frozen()? && !goes_on(bundle, &place)? => {
            Status::Paused(started)
        }
        Some(Record::Running(started)) => Status::Running(started),
        Some(Record::Restarting(ended)) => Status::Restarting(ended),
        Some(Record::Exited(ended)) => Status::Exited(ended),
    };
    Ok((status, place.network.map_or_else(Vec::new, |network| network.claims)))
}

/// Lets a paused container go on if it stood still for somebody who was killed; whether it did.
fn goes_on(bundle: &Path, place: &Place) -> io::Result<bool> {
    if !hold::take_back(bundle)? {
        return Ok(false);
    }
    cgroup_of(place)?.thaw()?;
    journal::note(bundle, "unpause", &[]);
    Ok(true)
}

/// The cgroup of the container in the directory `bundle`; `None` if nobody is at work on it.
pub fn cgroup(bundle: &Path) -> io::Result<Option<Cgroup>> {
    Order::place(bundle)?.as_ref().map(cgroup_of).transpose()
}

fn cgroup_of(place: &Place) -> io::Result<Cgroup> {
    open_cgroup(&place.cgroup_parent, &place.id)
}

/// The cgroup of a container, by which nothing is to be asked but whether it stands still.
fn freezer_of(place: &Place) -> io::Result<Cgroup> {
    static FREEZER: OnceLock<Layout> = OnceLock::new();
    let layout = layout()?;
    let freezer = FREEZER.get_or_init(|| layout.of_the_freezer());
    Ok(Cgroup::open(freezer, &place.cgroup_parent, &place.id.to_string()))
}

fn open_cgroup(parent: &str, id: &ContainerId) -> io::Result<Cgroup> {
    Ok(Cgroup::open(layout()?, parent, &id.to_string()))
}

/// The machine's cgroup trees: asked for each container of a listing, and always the same.
fn layout() -> io::Result<&'static Layout> {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    Ok(match LAYOUT.get() {
        Some(layout) => layout,
        None => {
            let found = Layout::detect()?;
            LAYOUT.get_or_init(|| found)
        }
    })
}

/// Takes back what a lost monitor left, as the holder of the lock.
fn take_back(bundle: &Path, _lock: Lock) -> io::Result<Status> {
    // Between the first look and the lock, the monitor may have come to its proper end.
    let Some(order) = Order::load(bundle)? else {
        return match Record::read(bundle)? {
            Some(Record::Exited(ended)) => Ok(Status::Exited(ended)),
            Some(Record::Restarting(ended)) => Ok(Status::Exited(Ended { lost: true, ..ended })),
            Some(Record::Running(started)) => Ok(Status::Exited(lost(Some(started)))),
            None => Ok(Status::Created),
        };
    };
    let cgroup = open_cgroup(&order.cgroup_parent, &order.id)?;
    // On v1, what is frozen does not die.
    cgroup.thaw()?;
    let mut published = Vec::new();
    let ended = match Record::read(bundle)? {
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
    release_claims(order.network.as_ref());
    order.volumes.iter().try_for_each(VolumeUse::end)?;
    // Nobody listens there any more, and on a full disk the record can have its place.
    control::sweep(bundle);
    match Record::Exited(ended.clone()).write(bundle) {
        // It has ended all the same: who only looks is told, and whoever looks when there is room writes it down.
        Err(error) if policy::has_no_room(&error) => return Ok(Status::Exited(ended)),
        written => written?,
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
