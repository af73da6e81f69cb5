//! Scopes of systemd's, which is the one to make cgroups on most machines: what is made beside it, it may take for its own.
//!
//! A scope is made around processes that there are already, and the container's own comes to its cgroup by itself. So a process
//! that does nothing stands in for it until it is there. Its limits are set in the cgroup, which is delegated, and those that
//! systemd knows are told to it, or else a reload of its units would undo them. See systemd.resource-control(5).

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use oci_spec::runtime::LinuxResources;
use rustix::process::{Signal, pidfd_send_signal, set_parent_process_death_signal};
use sys::process::{Child, Fork, Namespaces, fork};

use crate::{
    OciError,
    dbus::{Arguments, Method, Peer, Value},
    error::Context,
};

/// A scope, which has a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    slice: String,
    /// Its name as a unit.
    pub unit: String,
}

/// Keeps a scope from ending before the container is in it.
#[derive(Debug)]
pub struct StandIn(Child);

impl Scope {
    /// What `slice:prefix:name` means for the container `id`, or nothing at all.
    pub fn parse(path: &str, id: &str) -> Result<Scope, OciError> {
        let (slice, prefix, name) = match path.split(':').collect::<Vec<_>>()[..] {
            [""] => ("", "sampan", id),
            [slice, prefix, name] if !path.contains('/') && !name.is_empty() => (slice, prefix, name),
            _ => {
                return Err(OciError::Config(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
                )));
            }
        };
        let scope = Scope {
            slice: if slice.is_empty() { "system.slice".to_owned() } else { slice.to_owned() },
            unit: if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") },
        };
        match scope.parent() {
            Some(_) => Ok(scope),
            None => Err(OciError::Config(format!("invalid slice name: {}", scope.slice))),
        }
    }

    /// Its cgroup, from the root of each tree. A slice is below those that its name begins with.
    pub fn cgroup(&self) -> String {
        format!("{}{}", self.parent().unwrap_or_default(), self.unit)
    }

    fn parent(&self) -> Option<String> {
        let name = self.slice.strip_suffix(".slice")?;
        if name == "-" {
            return Some(String::new());
        }
        let mut path = String::new();
        let mut above = String::new();
        for part in name.split('-') {
            if part.is_empty() {
                return None;
            }
            above = if above.is_empty() { part.to_owned() } else { format!("{above}-{part}") };
            path.push_str(&format!("{above}.slice/"));
        }
        Some(path)
    }

    /// Has systemd make the scope of the container `id`, and waits until its cgroup is there.
    pub fn make(&self, id: &str, limits: &LinuxResources) -> Result<StandIn, OciError> {
        let stand_in = StandIn::start().context("making a process for systemd's scope")?;
        let pid = stand_in.0.pid.as_raw_nonzero().get();
        let description = format!("sampan container {id}");
        let pids = [pid.cast_unsigned()];
        let mut properties = vec![
            ("Description", Value::Text(&description)),
            ("Slice", Value::Text(&self.slice)),
            ("Delegate", Value::Truth(true)),
            ("PIDs", Value::Numbers(&pids)),
            // Whose container it is ends it when the machine goes down, and nothing is left of one that has failed.
            ("DefaultDependencies", Value::Truth(false)),
            ("CollectMode", Value::Text("inactive-or-failed")),
        ];
        properties.extend(known(limits));
        let arguments = Arguments::default().text(&self.unit).text("fail").properties(&properties).no_units();
        call("StartTransientUnit", arguments)
            .and_then(|()| self.wait_for(pid))
            .context(format!("unit {}", self.unit))?;
        Ok(stand_in)
    }

    /// Waits until systemd, which only has it on its list so far, has moved the process.
    fn wait_for(&self, pid: i32) -> io::Result<()> {
        let end = format!("/{}", self.cgroup());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
            if groups.lines().any(|line| line.ends_with(&end)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("systemd has not started it in time"));
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Tells systemd of limits that have changed.
pub fn update(unit: &str, limits: &LinuxResources) -> Result<(), OciError> {
    let properties = known(limits);
    if properties.is_empty() {
        return Ok(());
    }
    // Only until the scope ends: it is in no file.
    let arguments = Arguments::default().text(unit).truth(true).properties(&properties);
    call("SetUnitProperties", arguments).context(format!("unit {unit}"))
}

/// Has systemd end a scope, in which no process is left. If only its cgroup were removed, it would be there for ever.
pub fn stop(unit: &str) {
    // One that systemd has found empty before is gone.
    let _ = call("StopUnit", Arguments::default().text(unit).text("replace"));
}

fn call(name: &str, arguments: Arguments) -> io::Result<()> {
    let method = Method {
        destination: "org.freedesktop.systemd1",
        object: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        name,
    };
    let peer = Peer::connect(Path::new(SOCKET));
    peer.map_err(|error| io::Error::new(error.kind(), format!("systemd at {SOCKET}: {error}")))?
        .call(&method, arguments)
}

/// The limits that systemd has properties for.
fn known(limits: &LinuxResources) -> Vec<(&'static str, Value<'static>)> {
    let unlimited_or = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    let mut known = Vec::new();
    if let Some(memory) = limits.memory() {
        known.extend(memory.limit().map(|limit| ("MemoryMax", unlimited_or(limit))));
        known.extend(memory.reservation().map(|limit| ("MemoryLow", unlimited_or(limit))));
        // The specification's is of memory and swap together.
        let swap = |both: i64| match (u64::try_from(both), memory.limit()) {
            (Ok(both), Some(limit)) => both.saturating_sub(unlimited_or(limit)),
            _ => u64::MAX,
        };
        known.extend(memory.swap().map(|both| ("MemorySwapMax", swap(both))));
    }
    if let Some(cpu) = limits.cpu() {
        let weight = |shares: u64| 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
        known.extend(cpu.shares().filter(|shares| *shares != 0).map(|shares| ("CPUWeight", weight(shares))));
        let per_second = |quota: i64| match (u64::try_from(quota), cpu.period().unwrap_or(USUAL_PERIOD)) {
            (Ok(quota), period @ 1..) if quota > 0 => quota.saturating_mul(1_000_000) / period,
            _ => u64::MAX,
        };
        known.extend(cpu.quota().map(|quota| ("CPUQuotaPerSecUSec", per_second(quota))));
    }
    known.extend(
        limits
            .pids()
            .as_ref()
            .map(|pids| ("TasksMax", unlimited_or(pids.limit())))
            .filter(|(_, most)| *most != 0),
    );
    known.into_iter().map(|(name, limit)| (name, Value::Long(limit))).collect()
}

impl StandIn {
    fn start() -> io::Result<StandIn> {
        match fork(Namespaces::NONE, None)? {
            Fork::Parent(child) => Ok(StandIn(child)),
            Fork::Child => {
                // Without us nobody would end it. It cannot fail.
                let _ = set_parent_process_death_signal(Some(Signal::KILL));
                loop {
                    thread::sleep(Duration::from_secs(3600));
                }
            }
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Neither can fail, for it is a child that has not been waited for.
        let _ = pidfd_send_signal(&self.0.pidfd, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Where systemd itself listens, to root alone: containers may have to be started before there is a bus.
const SOCKET: &str = "/run/systemd/private";
const PATIENCE: Duration = Duration::from_secs(25);
const PAUSE: Duration = Duration::from_millis(1);
/// Microseconds in which a quota is used, unless a specification says otherwise.
const USUAL_PERIOD: u64 = 100_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scope_is_below_the_slices_that_its_slice_is_named_after() {
        let cgroup = |path: &str| {
            Scope::parse(path, "id").map(|scope| scope.cgroup()).map_err(|error| error.to_string())
        };
        assert_eq!(cgroup("").unwrap(), "system.slice/sampan-id.scope");
        assert_eq!(cgroup(":docker:abc").unwrap(), "system.slice/docker-abc.scope");
        assert_eq!(cgroup("a-b-c.slice:x:y").unwrap(), "a.slice/a-b.slice/a-b-c.slice/x-y.scope");
        assert_eq!(cgroup("-.slice::y").unwrap(), "y.scope");
        for wrong in ["/a/b", "a.slice:b", "a:b:c:d", "a.slice:/b:c", "a.slice:b:"] {
            assert!(cgroup(wrong).unwrap_err().contains("slice:prefix:name"), "{wrong}");
        }
        for wrong in ["a:b:c", "-a.slice:b:c", "a--b.slice:b:c", ".slice:b:c"] {
            assert!(cgroup(wrong).unwrap_err().contains("invalid slice name"), "{wrong}");
        }
    }

    #[test]
    fn limits_are_told_in_systemds_units() {
        let limits = |limits: serde_json::Value| known(&serde_json::from_value(limits).unwrap());
        let all = limits(json!({
            "memory": { "limit": 100, "swap": 150, "reservation": 50 },
            "cpu": { "shares": 1024, "quota": 50_000, "period": 100_000 },
            "pids": { "limit": 7 },
        }));
        let expected = [
            ("MemoryMax", 100),
            ("MemoryLow", 50),
            ("MemorySwapMax", 50),
            ("CPUWeight", 39),
            ("CPUQuotaPerSecUSec", 500_000),
            ("TasksMax", 7),
        ];
        assert_eq!(all, expected.map(|(name, limit)| (name, Value::Long(limit))));
        let none =
            limits(json!({ "memory": { "limit": -1 }, "cpu": { "quota": -1 }, "pids": { "limit": -1 } }));
        assert!(none.iter().all(|(_, limit)| *limit == Value::Long(u64::MAX)) && none.len() == 3, "{none:?}");
        assert!(limits(json!({})).is_empty());
    }
}
