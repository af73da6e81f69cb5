//! The processes of a running container, and what they use.

use std::{fs, io, os::unix::fs::MetadataExt, time::Duration};

use runtime::cgroup::{CgroupError, Stats};

use super::status::Container;
use crate::{Engine, error::EngineError};

/// What a container uses, measured at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// Time on processors, of all its processes since it started.
    pub cpu: Duration,
    /// Time that the machine's processors spent on anything at all, or idle, added up.
    pub machine: Duration,
    /// Bytes, without what the kernel would give up at once.
    pub memory: u64,
    /// Its own limit or the machine's memory.
    pub memory_limit: u64,
    pub received: u64,
    pub sent: u64,
    pub read: u64,
    pub written: u64,
    pub processes: u64,
}

impl Sample {
    /// How busy it was since an earlier sample, in percent of one processor.
    pub fn cpu_percent(&self, before: &Sample, processors: usize) -> f64 {
        let own = self.cpu.saturating_sub(before.cpu).as_secs_f64();
        let machine = self.machine.saturating_sub(before.machine).as_secs_f64();
        if machine > 0.0 { own / machine * processors as f64 * 100.0 } else { 0.0 }
    }

    /// How much of the memory it may have it uses, in percent.
    pub fn memory_percent(&self) -> f64 {
        match self.memory_limit {
            0 => 0.0,
            limit => self.memory as f64 / limit as f64 * 100.0,
        }
    }
}

impl Engine {
    /// The processes of a container, as the host numbers them, in order.
    pub fn processes(&self, container: &Container) -> Result<Vec<i32>, EngineError> {
        let not_running = || EngineError::NotRunning(container.id.to_string());
        let status = container.status()?;
        let first = status.started().ok_or_else(not_running)?.pid;
        let cgroup = container.cgroup()?.ok_or_else(not_running)?;
        let mut pids: Vec<i32> = cgroup.pids()?.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        if pids.is_empty() {
            // An ordinary user's container may have no group.
            pids = beside(first)?;
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// What a container uses just now; `None` if it does not run.
    pub fn sample(&self, container: &Container) -> Result<Option<Sample>, EngineError> {
        let status = container.status()?;
        let (Some(started), Some(cgroup)) = (status.started(), container.cgroup()?) else { return Ok(None) };
        let stats = match cgroup.stats() {
            Ok(stats) => stats,
            // It has just ended.
            Err(_) if !container.status()?.is_running() => return Ok(None),
            Err(CgroupError::NoController { .. }) => {
                Stats { processes: beside(started.pid)?.len() as u64, ..Stats::default() }
            }
            Err(error) => return Err(error.into()),
        };
        let interfaces = fs::read_to_string(format!("/proc/{}/net/dev", started.pid)).unwrap_or_default();
        let (received, sent) = traffic(&interfaces);
        let machine = rustix::system::sysinfo();
        let all_memory = machine.totalram * u64::from(machine.mem_unit);
        Ok(Some(Sample {
            cpu: stats.cpu,
            machine: machine_time(&fs::read_to_string("/proc/stat")?),
            memory: stats.memory,
            memory_limit: stats.memory_limit.unwrap_or(all_memory).min(all_memory),
            received,
            sent,
            read: stats.read,
            written: stats.written,
            processes: stats.processes,
        }))
    }
}

/// The processes in the process namespace of `first`, as far as we may see them.
fn beside(first: i32) -> io::Result<Vec<i32>> {
    let namespace = |pid: i32| fs::metadata(format!("/proc/{pid}/ns/pid")).map(|file| file.ino()).ok();
    let Some(theirs) = namespace(first) else { return Ok(Vec::new()) };
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        pids.extend(pid.filter(|pid| namespace(*pid) == Some(theirs)));
    }
    Ok(pids)
}

/// The bytes that all interfaces but the loopback have received and sent; see proc_pid_net(5).
fn traffic(table: &str) -> (u64, u64) {
    let lines = table.lines().filter_map(|line| line.split_once(':'));
    let others = lines.filter(|(name, _)| name.trim() != "lo");
    others.fold((0, 0), |(received, sent), (_, counters)| {
        let counter = |position| counters.split_ascii_whitespace().nth(position)?.parse::<u64>().ok();
        (received + counter(0).unwrap_or(0), sent + counter(8).unwrap_or(0))
    })
}

/// The time that all processors together were there; see proc_stat(5). Guests are in the user's time already.
fn machine_time(stat: &str) -> Duration {
    let counters = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1).take(8);
    let ticks: u64 = counters.filter_map(|counter| counter.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// What the kernel tells its users of time in (USER_HZ), whatever its own clock: the same on all machines we know.
const TICKS_PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_that_of_all_interfaces_but_the_loopback() {
        let table = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     500       5    0    0    0     0          0         0      500       5    0    0    0     0       0          0
  eth0:    1000       9    0    0    0     0          0         0       70       1    0    0    0     0       0          0
  eth1:      11       1    0    0    0     0          0         0        7       1    0    0    0     0       0          0
";
        assert_eq!(traffic(table), (1011, 77));
        assert_eq!(traffic(""), (0, 0));
    }

    #[test]
    fn a_processor_is_a_hundred_percent() {
        let sample = |own, machine| Sample {
            cpu: Duration::from_millis(own),
            machine: Duration::from_millis(machine),
            ..Sample::default()
        };
        let percent = |before: Sample, after: Sample| after.cpu_percent(&before, 2);
        assert_eq!(percent(sample(500, 10_000), sample(1500, 12_000)), 100.0);
        assert_eq!(percent(sample(500, 10_000), sample(500, 12_000)), 0.0);
        // No time has passed, or a counter was set back.
        assert_eq!(percent(sample(500, 10_000), sample(600, 10_000)), 0.0);
        assert_eq!(percent(sample(500, 10_000), sample(0, 12_000)), 0.0);
    }

    #[test]
    fn the_machines_time_is_the_first_eight_counters() {
        let stat = "cpu  10 20 30 40 0 0 0 100 5 5\ncpu0 1 2 3 4 0 0 0 0 0 0\n";
        assert_eq!(machine_time(stat), Duration::from_secs(2));
    }
}
