//! What a specification says about when and as what its process runs.

use oci_spec::runtime::{
    IOPriorityClass, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    MemoryPolicyFlagType, MemoryPolicyModeType, Process, Scheduler, Spec,
};
use sys::scheduling::{Scheduling, set_io_priority, set_memory_policy, set_personality, set_scheduling};

use crate::failure::{Context, Failure};

/// Has the calling process run as `spec` and `process` say. Takes place while it is still privileged.
pub fn schedule(spec: &Spec, process: &Process) -> Result<(), Failure> {
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u32::try_from(priority.priority()).ok().filter(|level| *level <= 7);
        let level = level.ok_or_else(|| Failure::setup("ioPriority is not between 0 and 7"))?;
        set_io_priority(class, level).context("setting the I/O priority")?;
    }
    if let Some(scheduler) = process.scheduler() {
        set_scheduling(scheduling(scheduler)).context("setting the scheduler")?;
    }
    let Some(linux) = spec.linux() else { return Ok(()) };
    if let Some(policy) = linux.memory_policy() {
        apply(policy)?;
    }
    if let Some(personality) = linux.personality() {
        if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
            return Err(Failure::setup("personality flags are not supported"));
        }
        let domain = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => 8,
        };
        set_personality(domain).context("setting the personality")?;
    }
    Ok(())
}

fn scheduling(scheduler: &Scheduler) -> Scheduling {
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    Scheduling {
        policy: match scheduler.policy() {
            LinuxSchedulerPolicy::SchedOther => 0,
            LinuxSchedulerPolicy::SchedFifo => 1,
            LinuxSchedulerPolicy::SchedRr => 2,
            LinuxSchedulerPolicy::SchedBatch => 3,
            LinuxSchedulerPolicy::SchedIso => 4,
            LinuxSchedulerPolicy::SchedIdle => 5,
            LinuxSchedulerPolicy::SchedDeadline => 6,
        },
        flags: scheduler.flags().iter().flatten().fold(0, |all, one| all | flag(one)),
        nice: scheduler.nice().unwrap_or(0),
        priority: scheduler.priority().unwrap_or(0).cast_unsigned(),
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    }
}

fn apply(policy: &LinuxMemoryPolicy) -> Result<(), Failure> {
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    };
    let flags = policy.flags().iter().flatten().fold(0, |all, one| all | flag(one));
    let text = policy.nodes().as_deref().unwrap_or_default();
    let nodes = nodes(text).ok_or_else(|| Failure::setup(format_args!("invalid memory nodes {text:?}")))?;
    set_memory_policy(mode | flags, &nodes).context("setting the memory policy")
}

/// Ranges such as `0-3,7` as bits.
fn nodes(text: &str) -> Option<Vec<u64>> {
    let mut bits = Vec::new();
    for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST_NODES {
            return None;
        }
        for node in first..=last {
            bits.resize(bits.len().max(node / 64 + 1), 0);
            bits[node / 64] |= 1 << (node % 64);
        }
    }
    Some(bits)
}

/// More than any kernel has.
const MOST_NODES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_nodes_become_bits() {
        assert_eq!(nodes(""), Some(vec![]));
        assert_eq!(nodes("0-2, 5"), Some(vec![0b10_0111]));
        assert_eq!(nodes("64"), Some(vec![0, 1]));
        for wrong in ["x", "3-1", "1-", "1024", "-1"] {
            assert_eq!(nodes(wrong), None, "{wrong}");
        }
    }
}
