//! What of a request docker's daemon refuses, in its order and its words.

use std::fs;

use super::{
    config::{Limits, SwapLimit},
    isolation::Isolation,
};
use crate::error::EngineError;

/// Refuses limits that contradict each other, or that this machine cannot keep.
pub(super) fn limits(limits: &Limits) -> Result<(), EngineError> {
    let refuse = |text: String| Err(EngineError::Invalid(text));
    if limits.memory.is_some_and(|memory| memory.0 > 0 && memory.0 < LEAST_MEMORY) {
        return Err(EngineError::LittleMemory);
    }
    swap(limits)?;
    if let Some(reserved) = limits.memory_reservation {
        if reserved.0 > 0 && reserved.0 < LEAST_MEMORY {
            return refuse("Minimum memory reservation allowed is 6MB".to_owned());
        }
        if limits.memory.is_some_and(|memory| memory < reserved) {
            return refuse(
                "Minimum memory limit can not be less than memory reservation limit, see usage".to_owned(),
            );
        }
    }
    let sets = |value: Option<u64>| value.is_some_and(|value| value > 0);
    let sets_quota = limits.cpu_quota.is_some_and(|quota| quota > 0);
    if sets(limits.nano_cpus) && sets(limits.cpu_period) {
        return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set".to_owned());
    }
    if sets(limits.nano_cpus) && sets_quota {
        return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set".to_owned());
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if let Some(nano_cpus) = limits.nano_cpus
        && !(10_000_000..=processors as u64 * 1_000_000_000).contains(&nano_cpus)
    {
        return refuse(format!(
            "range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available"
        ));
    }
    if limits.cpu_period.is_some_and(|period| period != 0 && !(1_000..=1_000_000).contains(&period)) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".to_owned(),
        );
    }
    if limits.cpu_quota.is_some_and(|quota| quota > 0 && quota < 1_000) {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)".to_owned());
    }
    subset(limits.cpuset_cpus.as_deref(), "cpus", "CPUs", "/sys/devices/system/cpu/online")?;
    subset(limits.cpuset_mems.as_deref(), "mems", "memory nodes", "/sys/devices/system/node/online")
}

/// Refuses a limit of memory and swap together that is none for swap.
pub(super) fn swap(limits: &Limits) -> Result<(), EngineError> {
    let total = match limits.memory_swap {
        Some(SwapLimit::Total(total)) if total.0 > 0 => total,
        _ => return Ok(()),
    };
    let text = match limits.memory {
        Some(memory) if total >= memory => return Ok(()),
        Some(_) => "Minimum memoryswap limit should be larger than memory limit, see usage",
        None => "You should always set the Memory limit when using Memoryswap limit, see usage",
    };
    Err(EngineError::Invalid(text.to_owned()))
}

/// Refuses what a container cannot share or be.
pub(super) fn isolation(isolation: &Isolation) -> Result<(), EngineError> {
    let score = isolation.oom_score;
    if !(-1000..=1000).contains(&score) {
        return Err(EngineError::Invalid(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        )));
    }
    Ok(())
}

/// Refuses a list such as `0-2,4` that has something which is not in the list in `file`.
fn subset(list: Option<&str>, what: &str, things: &str, file: &str) -> Result<(), EngineError> {
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(()) };
    let wanted = numbers(list).map_err(|part| {
        EngineError::Invalid(format!("Invalid value {list} for cpuset {what}: invalid format: {part}"))
    })?;
    let here = fs::read_to_string(file).unwrap_or_else(|_| "0".to_owned());
    let here = here.trim();
    let available = numbers(here).unwrap_or_default();
    if wanted.iter().all(|number| available.contains(number)) {
        return Ok(());
    }
    let text = format!("Requested {things} are not available - requested {list}, available: {here}");
    Err(EngineError::Invalid(text))
}

/// The numbers of a list such as `0-2,4`, or the part of it that is none.
fn numbers(list: &str) -> Result<Vec<u32>, String> {
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) if first <= last && last < MOST_PROCESSORS => numbers.extend(first..=last),
            _ => return Err(part.to_owned()),
        }
    }
    Ok(numbers)
}

const LEAST_MEMORY: u64 = 6 << 20;
/// More than any kernel is made for.
const MOST_PROCESSORS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use types::Bytes;

    use super::*;

    fn check(given: Limits, expected: &str) {
        let actual = limits(&given).map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert_eq!(actual, expected, "{given:?}");
    }

    fn megabytes(count: u64) -> Option<Bytes> {
        Some(Bytes(count << 20))
    }

    #[test]
    fn memory_is_refused_in_dockers_words() {
        let none = Limits::default;
        let swap = |count| megabytes(count).map(SwapLimit::Total);
        check(none(), "fine");
        check(Limits { memory: megabytes(5), ..none() }, "Minimum memory limit allowed is 6MB");
        check(
            Limits { memory: megabytes(64), memory_swap: swap(32), ..none() },
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        );
        check(
            Limits { memory_swap: swap(64), ..none() },
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
        check(Limits { memory_swap: Some(SwapLimit::Unlimited), ..none() }, "fine");
        check(
            Limits { memory: megabytes(64), memory_reservation: megabytes(128), ..none() },
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }

    #[test]
    fn processors_are_counted_one_way_and_have_to_be_there() {
        let none = Limits::default;
        check(
            Limits { nano_cpus: Some(1_000_000_000), cpu_period: Some(1000), ..none() },
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        );
        check(Limits { cpu_quota: Some(10), ..none() }, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
        check(Limits { cpu_quota: Some(-1), ..none() }, "fine");
        check(Limits { cpuset_cpus: Some("0".to_owned()), ..none() }, "fine");
        check(
            Limits { cpuset_cpus: Some("0,x".to_owned()), ..none() },
            "Invalid value 0,x for cpuset cpus: invalid format: x",
        );
        let far = limits(&Limits { cpuset_cpus: Some("60000".to_owned()), ..none() }).unwrap_err();
        assert!(
            far.to_string().starts_with("Requested CPUs are not available - requested 60000, available: 0")
        );
    }
}
