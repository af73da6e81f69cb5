//! Limits for which nothing was delegated to an ordinary user. They are discarded, as docker does it without root, and told in its words.

use runtime::cgroup::Layout;

use super::{
    config::{DEFAULT_PIDS, Limits, Measure},
    update::Update,
};
use crate::error::EngineError;

impl Limits {
    /// Takes out what this user's containers cannot be limited in; what is to be said of that.
    pub fn discard_undelegated(&mut self) -> Result<Vec<&'static str>, EngineError> {
        Ok(self.discard(&Lacking::detect()?))
    }

    fn discard(&mut self, lacking: &Lacking) -> Vec<&'static str> {
        let mut said = Vec::new();
        if lacking.has("memory") {
            said.extend(self.memory.take().map(|_| MEMORY));
            said.extend(self.memory_reservation.take().map(|_| RESERVATION));
            said.extend(self.memory_swappiness.take().map(|_| SWAPPINESS));
            said.extend(std::mem::take(&mut self.oom_kill_disable).then_some(OOM_KILL));
            self.memory_swap = None;
        }
        if lacking.has("cpu") {
            said.extend(self.cpu_shares.take().map(|_| SHARES));
            let (period, quota) = (self.cpu_period.take(), self.cpu_quota.take());
            said.extend((period.is_some() || quota.is_some()).then_some(QUOTA));
            said.extend(self.nano_cpus.take().map(|_| CPUS));
        }
        if lacking.has("cpuset") {
            let (cpus, nodes) = (self.cpuset_cpus.take(), self.cpuset_mems.take());
            said.extend((cpus.is_some() || nodes.is_some()).then_some(CPUSET));
        }
        if lacking.has("pids") {
            // The usual limit, nobody has asked for.
            said.extend(self.pids.take_if(|pids| *pids != DEFAULT_PIDS).map(|_| PIDS));
        }
        if lacking.has("io") {
            let mut discarded: Vec<_> =
                self.throttles.drain(..).map(|throttle| throttled(throttle.measure)).collect();
            discarded.dedup();
            said.extend(discarded);
        }
        said
    }
}

impl Update {
    /// Takes out what this user's containers cannot be limited in; what is to be said of that.
    pub fn discard_undelegated(&mut self) -> Result<Vec<&'static str>, EngineError> {
        let asked = Limits {
            memory: self.memory,
            memory_swap: self.memory_swap,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.take(),
            cpuset_mems: self.cpuset_mems.take(),
            nano_cpus: self.nano_cpus,
            pids: self.pids.and_then(|pids| u32::try_from(pids).ok()),
            ..Limits::default()
        };
        let mut left = asked.clone();
        let said = left.discard_undelegated()?;
        if left.pids != asked.pids {
            self.pids = None;
        }
        *self = Update {
            memory: left.memory,
            memory_swap: left.memory_swap,
            cpu_shares: left.cpu_shares,
            cpu_period: left.cpu_period,
            cpu_quota: left.cpu_quota,
            cpuset_cpus: left.cpuset_cpus,
            cpuset_mems: left.cpuset_mems,
            nano_cpus: left.nano_cpus,
            pids: self.pids,
            restart: self.restart,
        };
        Ok(said)
    }
}

/// The controllers that an ordinary user lacks.
struct Lacking {
    is_rootless: bool,
    there: Vec<String>,
}

impl Lacking {
    fn detect() -> Result<Lacking, EngineError> {
        // The usual case is not to cost anything.
        let is_rootless = sys::rootless::is_rootless();
        let there = if is_rootless { Layout::detect()?.controllers()? } else { Vec::new() };
        Ok(Lacking { is_rootless, there })
    }

    fn has(&self, controller: &str) -> bool {
        self.is_rootless && self.there.iter().all(|there| there != controller)
    }
}

fn throttled(measure: Measure) -> &'static str {
    match measure {
        Measure::BytesRead => BYTES_READ,
        Measure::BytesWritten => BYTES_WRITTEN,
        Measure::Reads => READS,
        Measure::Writes => WRITES,
    }
}

const MEMORY: &str = "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
const RESERVATION: &str = "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.";
const SWAPPINESS: &str = "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.";
const OOM_KILL: &str = "Your kernel does not support OomKillDisable. OomKillDisable discarded.";
const SHARES: &str =
    "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.";
const QUOTA: &str = "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.";
/// docker refuses to start at this one; the other limits show that it need not.
const CPUS: &str =
    "Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. CPUs discarded.";
const CPUSET: &str = "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.";
const PIDS: &str = "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.";
const BYTES_READ: &str = "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.";
const BYTES_WRITTEN: &str = "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.";
const READS: &str = "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.";
const WRITES: &str = "Your kernel does not support IOPS Block I/O write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.";

#[cfg(test)]
mod tests {
    use types::Bytes;

    use super::*;

    #[test]
    fn what_was_not_delegated_is_discarded_and_the_rest_stays() {
        let lacking = Lacking { is_rootless: true, there: vec!["memory".to_owned()] };
        let asked = Limits { memory: Some(Bytes(7)), pids: Some(9), ..Limits::default() };
        let mut limits = asked.clone();
        assert_eq!(limits.discard(&lacking), [PIDS]);
        assert_eq!(limits, Limits { pids: None, ..asked.clone() });
        let mut limits = asked.clone();
        assert!(limits.discard(&Lacking { is_rootless: false, there: Vec::new() }).is_empty());
        assert_eq!(limits, asked);
    }
}
