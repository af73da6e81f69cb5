//! `update`: limits that change while a container runs, and stay for its next start.

use testkit::Sandbox;

use crate::{idle, inspect, sandbox};

/// A file of the container's own cgroup, by its name in version 1 and in version 2.
#[track_caller]
fn cgroup(sandbox: &Sandbox, name: &str, one: &str, two: &str) -> String {
    let script = format!("cat /sys/fs/cgroup/{one} 2> /dev/null || cat /sys/fs/cgroup/{two}");
    sandbox.sampan(["exec", name, "sh", "-c", &script]).ok().word().to_owned()
}

#[test]
fn limits_change_at_once_and_for_later_starts() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "one", "-m", "64m", "--stop-timeout", "0"]);
    let memory = || cgroup(&sandbox, "one", "memory/memory.limit_in_bytes", "memory.max");
    let processes = || cgroup(&sandbox, "one", "pids/pids.max", "pids.max");
    let quota = || cgroup(&sandbox, "one", "cpu/cpu.cfs_quota_us", "cpu.max");
    let processors = || cgroup(&sandbox, "one", "cpuset/cpuset.cpus", "cpuset.cpus");
    let change = ["--memory", "100m", "--memory-swap", "200m", "--pids-limit", "77", "--cpus", "0.5"];
    let change = [&["update"], &change[..], &["--cpuset-cpus", "0", "one"]].concat();
    sandbox.sampan(change).ok().prints("one\n");
    let check = || {
        assert_eq!((memory().as_str(), processes().as_str()), ("104857600", "77"));
        assert_eq!((quota().split(' ').next(), processors().as_str()), (Some("50000"), "0"));
    };
    check();
    sandbox.sampan(["restart", "one"]).ok();
    check();
    let template = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    assert_eq!(inspect(&sandbox, "one", template), "104857600 500000000 77");
    sandbox.sampan(["update", "--pids-limit", "-1", "one"]).ok();
    assert_eq!(processes(), "max");
}

#[test]
fn a_container_that_does_not_run_starts_with_its_new_limits() {
    let Some(sandbox) = sandbox() else { return };
    let script = "cat /sys/fs/cgroup/pids/pids.max 2> /dev/null || cat /sys/fs/cgroup/pids.max";
    sandbox.sampan(["create", "--name", "one", "busybox", "sh", "-c", script]).ok();
    sandbox.sampan(["update", "--pids-limit", "55", "one"]).ok();
    sandbox.sampan(["start", "--attach", "one"]).ok().prints("55\n");
}

#[test]
fn less_swap_than_memory_is_noticed_by_the_kernel_or_at_the_start() {
    let Some(sandbox) = sandbox() else { return };
    let text = "Minimum memoryswap limit should be larger than memory limit, see usage\n";
    sandbox.sampan(["create", "--name", "one", "-m", "64m", "busybox", "sleep", "600"]).ok();
    sandbox.sampan(["update", "--memory-swap", "32m", "one"]).ok();
    sandbox.sampan(["start", "one"]).fails(1).complains(&format!("Error response from daemon: {text}"));
    sandbox.sampan(["update", "--memory-swap", "128m", "one"]).ok();
    let id = inspect(&sandbox, "one", "{{.Id}}");
    sandbox.sampan(["start", "one"]).ok();
    sandbox
        .sampan(["update", "--memory-swap", "32m", "one"])
        .fails(1)
        .complains(&format!("Error response from daemon: Cannot update container {id}: {text}"));
    assert_eq!(inspect(&sandbox, "one", "{{.HostConfig.MemorySwap}}"), "134217728");

    sandbox.sampan(["create", "--name", "two", "busybox", "true"]).ok();
    sandbox.sampan(["update", "--memory-swap", "32m", "two"]).ok();
    sandbox.sampan(["start", "two"]).fails(1).complains("You should always set the Memory limit");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(&sandbox, &["--name", "one", "-m", "64m"]);
    let fails = |options: &[&str], text: &str| {
        sandbox.sampan([&["update"], options, &["one"]].concat()).fails(1).complains(text);
    };
    fails(&[], "you must provide one or more flags when using this command");
    fails(&["-m", "1m"], "Error response from daemon: Minimum memory limit allowed is 6MB");
    fails(
        &["-m", "1g"],
        &format!(
            "Error response from daemon: Cannot update container {id}: Memory limit should be smaller than already set \
             memoryswap limit, update the memoryswap at the same time\n"
        ),
    );
    fails(
        &["-m", "20m", "--memory-swap", "10m"],
        "Error response from daemon: Minimum memoryswap limit should be larger than memory limit, see usage\n",
    );
    fails(
        &["--cpus", "0.1", "--cpu-quota", "1000"],
        "Error response from daemon: Conflicting options: Nano CPUs and CPU Quota cannot both be set\n",
    );
    fails(
        &["--cpuset-cpus", "4000", "--pids-limit", "3"],
        "Error response from daemon: Cannot update container ",
    );
    let template = "{{.HostConfig.Memory}} {{json .HostConfig.PidsLimit}}";
    assert_eq!(inspect(&sandbox, "one", template), "67108864 null");
    sandbox.sampan(["update", "--pids-limit", "5", "nosuch"]).fails(1).complains("No such container: nosuch");
}
