//! Changing a container that exists: its limits, its restart policy.

use std::io;

use monitor::Restart;
use types::Bytes;

use super::{
    config::{Config, Limits, SwapLimit},
    spec,
    status::Container,
    validate,
};
use crate::{Engine, error::EngineError, state::Durability};

/// What is to be different. What is left open stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    pub memory: Option<Bytes>,
    pub memory_swap: Option<SwapLimit>,
    pub cpu_shares: Option<u64>,
    pub cpu_period: Option<u64>,
    pub cpu_quota: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub nano_cpus: Option<u64>,
    /// No limit, if it is not positive.
    pub pids: Option<i64>,
    pub restart: Option<Restart>,
}

impl Update {
    /// Refuses what can be right for no container.
    fn validate(&self) -> Result<(), EngineError> {
        let quota = self.cpu_quota.is_some_and(|quota| quota > 0);
        if sets(self.nano_cpus) && sets(self.cpu_period) {
            return conflict("Nano CPUs and CPU Period cannot both be set");
        }
        if sets(self.nano_cpus) && quota {
            return conflict("Nano CPUs and CPU Quota cannot both be set");
        }
        if self.memory.is_some_and(|memory| memory.0 != 0 && memory.0 < 6 << 20) {
            return Err(EngineError::LittleMemory);
        }
        match (total(self.memory_swap), self.memory) {
            (Some(total), Some(memory)) if total < memory => little_swap(),
            _ => Ok(()),
        }
    }

    /// The limits as they are afterwards. That they go together is asked when there is somebody to keep them.
    fn apply(&self, before: &Limits) -> Result<Limits, EngineError> {
        let quota = self.cpu_quota.is_some_and(|quota| quota > 0);
        if sets(self.nano_cpus) && sets(before.cpu_period) {
            return conflict("Nano CPUs cannot be updated as CPU Period has already been set");
        }
        if sets(self.nano_cpus) && before.cpu_quota.is_some_and(|quota| quota > 0) {
            return conflict("Nano CPUs cannot be updated as CPU Quota has already been set");
        }
        if (sets(self.cpu_period) || quota) && sets(before.nano_cpus) {
            let what = if quota { "CPU Quota" } else { "CPU Period" };
            return conflict(&format!("{what} cannot be updated as NanoCPUs has already been set"));
        }
        let small = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same \
                     time";
        if let (Some(memory), Some(total), None) = (self.memory, total(before.memory_swap), self.memory_swap)
            && memory > total
        {
            return Err(EngineError::Invalid(small.to_owned()));
        }
        let mut after = before.clone();
        let replace = |field: &mut Option<_>, value: Option<_>| {
            if value.is_some() {
                *field = value;
            }
        };
        if let Some(memory) = self.memory.filter(|memory| memory.0 > 0) {
            // What it may swap was as much again, and stays what it was.
            if let (None, None, Some(Bytes(bytes))) = (self.memory_swap, before.memory_swap, before.memory) {
                let total = Bytes(bytes.saturating_mul(2));
                if memory > total {
                    return Err(EngineError::Invalid(small.to_owned()));
                }
                after.memory_swap = Some(SwapLimit::Total(total));
            }
            after.memory = Some(memory);
        }
        if self.memory_swap.is_some() {
            after.memory_swap = self.memory_swap;
        }
        replace(&mut after.cpu_shares, self.cpu_shares);
        replace(&mut after.cpu_period, self.cpu_period);
        replace(&mut after.nano_cpus, self.nano_cpus.filter(|cpus| *cpus > 0));
        after.cpu_quota = self.cpu_quota.or(after.cpu_quota);
        after.cpuset_cpus = self.cpuset_cpus.clone().or(after.cpuset_cpus);
        after.cpuset_mems = self.cpuset_mems.clone().or(after.cpuset_mems);
        if let Some(pids) = self.pids {
            after.pids = u32::try_from(pids).ok().filter(|pids| *pids > 0);
        }
        Ok(after)
    }
}

fn sets(value: Option<u64>) -> bool {
    value.is_some_and(|value| value > 0)
}

fn total(swap: Option<SwapLimit>) -> Option<Bytes> {
    match swap {
        Some(SwapLimit::Total(total)) => Some(total),
        _ => None,
    }
}

fn conflict<T>(text: &str) -> Result<T, EngineError> {
    Err(EngineError::Invalid(format!("Conflicting options: {text}")))
}

fn little_swap<T>() -> Result<T, EngineError> {
    let text = "Minimum memoryswap limit should be larger than memory limit, see usage";
    Err(EngineError::Invalid(text.to_owned()))
}

impl Engine {
    /// Changes what a container is allowed, at once if it runs, and for every later start.
    pub fn update(&self, container: &Container, update: &Update) -> Result<(), EngineError> {
        update.validate()?;
        let refusal = |why| EngineError::Update { container: container.id, source: Box::new(why) };
        let mut config = container.config.clone();
        config.limits = update.apply(&config.limits).map_err(refusal)?;
        if let Some(restart) = update.restart {
            if config.auto_remove && restart != Restart::No {
                return Err(refusal(EngineError::RestartOfRemoved));
            }
            config.restart = restart;
        }
        if config.limits != container.config.limits {
            self.limit(container, &config)?;
        }
        self.state.write(Durability::Synced, |state| state.set_config(&container.id, &config))?;
        if let Some(restart) = update.restart {
            // For the monitor, if there is one.
            restart.store(&container.directory).map_err(|error| container.file_error(error))?;
        }
        self.note(container, "update", &[]);
        Ok(())
    }

    /// Changes the limits of a container's processes, of those there are and of those that its monitor starts.
    fn limit(&self, container: &Container, config: &Config) -> Result<(), EngineError> {
        let status = container.status()?;
        if !status.is_running() {
            return Ok(());
        }
        validate::swap(&config.limits)
            .map_err(|why| EngineError::Update { container: container.id, source: Box::new(why) })?;
        // First: what the kernel refuses is not written down.
        if status.started().is_some()
            && let Some(cgroup) = container.cgroup()?
        {
            match cgroup.limit(&spec::changed_limits(&container.config, config)?) {
                // It has ended just now, and is about to be started again.
                Err(_) if container.status()?.started().is_none() => {}
                Err(error) => {
                    let why = Box::new(error.into());
                    return Err(EngineError::Update { container: container.id, source: why });
                }
                Ok(()) => {}
            }
        }
        let update = || -> io::Result<()> {
            let mut specification = runtime::bundle::load(&container.directory)?;
            if let Some(linux) = specification.linux_mut() {
                linux.set_resources(Some(spec::resources(config).map_err(io::Error::other)?));
            }
            runtime::bundle::store(&specification, &container.directory)
        };
        update().map_err(|error| container.file_error(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn megabytes(count: u64) -> Option<Bytes> {
        Some(Bytes(count << 20))
    }

    fn check(before: Limits, update: Update, expected: Result<Limits, &str>) {
        let actual = update.validate().and_then(|()| update.apply(&before));
        let actual = actual.map_err(|error| error.to_string());
        assert_eq!(actual, expected.map_err(String::from), "{update:?} of {before:?}");
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let before = Limits { memory: megabytes(64), pids: Some(100), ..Limits::default() };
        check(before.clone(), Update::default(), Ok(before.clone()));
        let update = Update { cpu_shares: Some(512), pids: Some(-1), ..Update::default() };
        check(before.clone(), update, Ok(Limits { cpu_shares: Some(512), pids: None, ..before }));
    }

    #[test]
    fn memory_and_swap_stay_in_step() {
        let before = Limits { memory: megabytes(64), ..Limits::default() };
        let total = |count| megabytes(count).map(SwapLimit::Total);
        let update = |memory, memory_swap| Update { memory, memory_swap, ..Update::default() };
        // A limit of memory alone once stood for as much swap again.
        let after = Limits { memory: megabytes(100), memory_swap: total(128), ..Limits::default() };
        check(before.clone(), update(megabytes(100), None), Ok(after.clone()));
        let small = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
        check(before.clone(), update(megabytes(200), None), Err(small));
        check(after.clone(), update(megabytes(200), None), Err(small));
        let both = Limits { memory: megabytes(200), memory_swap: total(300), ..Limits::default() };
        check(after.clone(), update(megabytes(200), total(300)), Ok(both));
        let larger = "Minimum memoryswap limit should be larger than memory limit, see usage";
        check(after, update(megabytes(200), total(100)), Err(larger));
        let swap_alone = Limits { memory_swap: total(100), ..Limits::default() };
        check(Limits::default(), update(None, total(100)), Ok(swap_alone));
        let less = Limits { memory_swap: total(32), ..before.clone() };
        check(before, update(None, total(32)), Ok(less));
        check(Limits::default(), update(Some(Bytes(1)), None), Err("Minimum memory limit allowed is 6MB"));
    }

    #[test]
    fn processors_are_counted_in_one_way_only() {
        let cpus = Limits { nano_cpus: Some(1), ..Limits::default() };
        let period = Limits { cpu_period: Some(1), ..Limits::default() };
        let nano_cpus = Update { nano_cpus: Some(1), ..Update::default() };
        let quota = Update { cpu_quota: Some(1), ..Update::default() };
        let text = "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set";
        check(cpus, quota, Err(text));
        let text = "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set";
        check(period, nano_cpus, Err(text));
    }
}
