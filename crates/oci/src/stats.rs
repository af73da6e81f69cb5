//! What a container uses, and what becomes of it, as other engines read it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde_json::{Value, json};

use crate::{Container, OciError, error::Context};

/// What the container uses at this moment, as an event.
pub fn stats(container: &Container) -> Result<Value, OciError> {
    let stats = container.cgroup()?.stats()?;
    // Without a limit there is a very large one, to those who know only version 1.
    let limit = stats.memory_limit.unwrap_or(i64::MAX as u64);
    Ok(event(
        container,
        "stats",
        json!({
            "cpu": { "usage": { "total": u64::try_from(stats.cpu.as_nanos()).unwrap_or(u64::MAX) } },
            "memory": { "usage": { "usage": stats.memory, "limit": limit } },
            "pids": { "current": stats.processes },
            "blkio": { "ioServiceBytesRecursive": [
                { "op": "Read", "value": stats.read },
                { "op": "Write", "value": stats.written },
            ] },
        }),
    ))
}

fn event(container: &Container, kind: &str, data: Value) -> Value {
    let id = &container.record().id;
    if data.is_null() {
        json!({ "type": kind, "id": id })
    } else {
        json!({ "type": kind, "id": id, "data": data })
    }
}

/// What happens to a container until it ends: what it uses at intervals, and when a process is killed for want of memory.
#[derive(Debug)]
pub struct Events<'a> {
    container: &'a Container,
    process: OwnedFd,
    interval: Duration,
    oom_killed: bool,
}

impl<'a> Events<'a> {
    pub fn of(container: &'a Container, interval: Duration) -> Result<Events<'a>, OciError> {
        let process = container.process()?.ok_or(OciError::NotRunning)?;
        let oom_killed = container.cgroup()?.oom_killed();
        Ok(Events { container, process, interval, oom_killed })
    }

    /// Waits for the next interval to pass; the events there are by then. `None` once the container has ended.
    pub fn wait(&mut self) -> Result<Option<Vec<Value>>, OciError> {
        if self.has_ended().context("watching the container")? {
            return Ok(None);
        }
        let mut events = vec![stats(self.container)?];
        let oom_killed = self.container.cgroup()?.oom_killed();
        if oom_killed && !self.oom_killed {
            events.push(event(self.container, "oom", Value::Null));
        }
        self.oom_killed = oom_killed;
        Ok(Some(events))
    }

    fn has_ended(&self) -> io::Result<bool> {
        let interval = Timespec::try_from(self.interval).map_err(io::Error::other)?;
        match poll(&mut [PollFd::from_borrowed_fd(self.process.as_fd(), PollFlags::IN)], Some(&interval)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
