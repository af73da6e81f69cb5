//! `run -m --cpus --pids-limit --ulimit`: limits, read back where they hold.

use testkit::{Outcome, Sandbox};

use crate::{inspect, sandbox, shell};

/// A file of the container's own cgroup, by its name in version 1 and in version 2.
fn cgroup(sandbox: &Sandbox, options: &[&str], one: &str, two: &str) -> Outcome {
    let script = format!("cat /sys/fs/cgroup/{one} 2> /dev/null || cat /sys/fs/cgroup/{two}");
    shell(sandbox, options, &script).ok()
}

#[test]
fn memory_is_limited_with_as_much_swap_again() {
    let Some(sandbox) = sandbox() else { return };
    let outcome = cgroup(&sandbox, &["-m", "64m"], "memory/memory.limit_in_bytes", "memory.max");
    outcome.prints("67108864\n");
}

#[test]
fn processors_are_shared_out_by_quota() {
    let Some(sandbox) = sandbox() else { return };
    let outcome = cgroup(&sandbox, &["--cpus", "0.5"], "cpu/cpu.cfs_quota_us", "cpu.max");
    assert_eq!(outcome.word().split(' ').next(), Some("50000"), "{outcome}");
    sandbox
        .sampan(["run", "--rm", "--cpus", "10000", "busybox", "true"])
        .fails(125)
        .complains("range of CPUs");
}

#[test]
fn processes_are_limited_by_default_and_as_asked() {
    let Some(sandbox) = sandbox() else { return };
    cgroup(&sandbox, &[], "pids/pids.max", "pids.max").prints("4096\n");
    cgroup(&sandbox, &["--pids-limit", "-1"], "pids/pids.max", "pids.max").prints("max\n");
    shell(&sandbox, &["--pids-limit", "3"], "for i in 1 2 3 4 5; do sleep 0.1 & done; wait")
        .complains("can't fork");
}

#[test]
fn ulimits_are_as_asked_and_open_files_as_dockers_by_default() {
    let Some(sandbox) = sandbox() else { return };
    let script = "ulimit -n; ulimit -H -n; ulimit -c";
    shell(&sandbox, &["--ulimit", "nofile=100:200", "--ulimit", "core=0"], script)
        .ok()
        .prints("100\n200\n0\n");
    shell(&sandbox, &[], "ulimit -n").ok().prints(&format!("{}\n", crate::most_files(&sandbox)));
    sandbox
        .sampan(["run", "--ulimit", "nosuch=1", "busybox", "true"])
        .fails(125)
        .complains("invalid ulimit type: nosuch");
    sandbox
        .sampan(["run", "--ulimit", "nofile=2:1", "busybox", "true"])
        .fails(125)
        .complains("less than or equal");
    sandbox.is_clean_but_for_containers();
}

#[test]
fn limits_are_seen_in_inspect() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["create", "--name", "one", "-m", "64m", "--cpus", "1", "--pids-limit", "7", "busybox"])
        .ok();
    let template = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    assert_eq!(inspect(&sandbox, "one", template), "67108864 1000000000 7");
}
