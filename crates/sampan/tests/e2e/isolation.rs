//! What a container cannot see and cannot do, whatever it was started from.

use crate::{idle, sandbox, shell};

#[test]
fn system_calls_are_filtered_and_namespaces_and_mounts_refused() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &[], "grep ^Seccomp: /proc/self/status | cut -f2").ok().prints("2\n");
    shell(&sandbox, &["--security-opt", "seccomp=unconfined"], "grep ^Seccomp: /proc/self/status | cut -f2")
        .ok()
        .prints("0\n");
    shell(&sandbox, &[], "mount -t tmpfs none /tmp").fails(1);
    shell(&sandbox, &[], "unshare -U true").fails(1).complains("Operation not permitted");
    shell(&sandbox, &[], "unshare -m true").fails(1).complains("Operation not permitted");
}

#[test]
fn capabilities_are_dockers_fourteen_added_and_dropped_as_asked() {
    let Some(sandbox) = sandbox() else { return };
    let script = "grep ^Cap /proc/self/status | tr -d ' \t' | tr '\n' ' '";
    let all = |set: &str| {
        format!("CapInh:0000000000000000 CapPrm:{set} CapEff:{set} CapBnd:{set} CapAmb:0000000000000000 ")
    };
    shell(&sandbox, &[], script).ok().prints(&all("00000000a80425fb"));
    shell(&sandbox, &["--cap-drop", "ALL"], script).ok().prints(&all("0000000000000000"));
    shell(&sandbox, &["--cap-drop", "ALL", "--cap-add", "chown"], script)
        .ok()
        .prints(&all("0000000000000001"));
    shell(&sandbox, &["--cap-add", "CAP_NET_ADMIN"], script).ok().prints(&all("00000000a80435fb"));
    shell(&sandbox, &["--cap-drop", "CHOWN"], "chown 1 /tmp").fails(1).complains("Operation not permitted");
}

#[test]
fn no_new_privileges_is_off_unless_asked_for() {
    let Some(sandbox) = sandbox() else { return };
    let script = "grep ^NoNewPrivs: /proc/self/status | cut -f2";
    shell(&sandbox, &[], script).ok().prints("0\n");
    shell(&sandbox, &["--security-opt", "no-new-privileges"], script).ok().prints("1\n");
}

#[test]
fn what_tells_of_the_host_is_masked() {
    let Some(sandbox) = sandbox() else { return };
    let script = "for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug; do \
                  [ -e $file ] && head -c 1 $file; done; ls -A /sys/firmware /proc/acpi /proc/scsi 2> /dev/null | grep -v :";
    let outcome = shell(&sandbox, &[], script);
    assert_eq!(outcome.stdout.trim(), "", "{outcome}");
}

#[test]
fn the_kernels_settings_are_read_only() {
    let Some(sandbox) = sandbox() else { return };
    for file in [
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/swappiness",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
    ] {
        let script = format!("[ ! -e {file} ] && echo Read-only >&2 && exit 1; cat < /dev/null > {file}");
        let outcome = shell(&sandbox, &[], &script);
        assert!(outcome.code != 0 && outcome.stderr.contains("Read-only"), "{file}\n{outcome}");
    }
    shell(&sandbox, &[], "touch /sys/x; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x").fails(1);
    shell(&sandbox, &[], "grep -E '^[^ ]+ /sys(/fs/cgroup.*)? ' /proc/mounts | grep -vc ' ro,'")
        .fails(1)
        .prints("0\n");
}

#[test]
fn the_processes_of_the_host_are_not_there() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &[], "cd /proc; echo [0-9]*; readlink /proc/1/exe").ok().prints("1\n/bin/sh\n");
    shell(&sandbox, &[], "ls -A /proc/1/root/proc/1 > /dev/null; cat /proc/self/cgroup | grep -v ':/$'")
        .fails(1)
        .prints("");
}

#[test]
fn namespaces_are_the_containers_own() {
    let Some(sandbox) = sandbox() else { return };
    for namespace in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let of_host = std::fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        let of_container = shell(&sandbox, &[], &format!("readlink /proc/self/ns/{namespace}")).ok();
        assert_ne!(of_container.word(), of_host.to_str().unwrap());
    }
}

#[test]
fn devices_can_be_made_but_not_opened() {
    let Some(sandbox) = sandbox() else { return };
    let script = "mknod /tmp/disk b 254 0; mknod /tmp/mem c 1 1; \
                  for node in /tmp/disk /tmp/mem; do head -c 1 $node > /dev/null && echo opened $node; done; true";
    let outcome = shell(&sandbox, &[], script).ok().prints("");
    assert_eq!(outcome.stderr.matches("Operation not permitted").count(), 2, "{outcome}");
    shell(&sandbox, &[], "head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x > /dev/null; ls /dev/full /dev/random /dev/tty /dev/ptmx /dev/shm > /dev/null").ok().prints("4\n4\n");
    shell(&sandbox, &[], "ls /dev | grep -cE '^(vd|sd|nvme|mem|kmsg|loop)'").fails(1).prints("0\n");
}

#[test]
fn nothing_of_the_caller_reaches_the_container() {
    let Some(sandbox) = sandbox() else { return };
    let secret = sandbox.file("secret", "of the caller");
    let inside = "umask; ls -l /proc/self/fd | grep -c secret; grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2; \
                  env | grep -c SECRET; pwd; cut -d' ' -f19 /proc/self/stat; cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l";
    let script = format!(
        "umask 077; trap '' HUP INT QUIT TERM USR1 PIPE; exec 7< {secret} 8<> {secret}; \
         cd {}; exec nice -n 5 $SAMPAN run --rm busybox sh -c \"$INSIDE\"",
        sandbox.directory().display()
    );
    let mut command = sandbox.shell(&script);
    command.env("SECRET", "of the caller").env("INSIDE", inside);
    // The last line: 0, 1, 2, and the directory that ls itself has open.
    let expected = "0022\n0\n0000000000000000\n0000000000000000\n0\n/\n0\n0\n4\n";
    sandbox.start(command).finish().ok().prints(expected);
}

#[test]
fn nothing_of_the_caller_reaches_a_process_in_a_container() {
    let Some(sandbox) = sandbox() else { return };
    crate::idle(&sandbox, &["--name", "host"]);
    let secret = sandbox.file("secret", "of the caller");
    let inside = "umask; ls -l /proc/self/fd | grep -c secret; grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2; \
                  env | grep -c SECRET; pwd; ls /proc/self/fd | wc -l";
    let script = format!(
        "umask 077; trap '' HUP INT QUIT TERM USR1 PIPE; exec 7< {secret}; \
         cd {}; exec $SAMPAN exec host sh -c \"$INSIDE\"",
        sandbox.directory().display()
    );
    let mut command = sandbox.shell(&script);
    command.env("SECRET", "of the caller").env("INSIDE", inside);
    let expected = "0022\n0\n0000000000000000\n0000000000000000\n0\n/\n4\n";
    sandbox.start(command).finish().ok().prints(expected);
}

#[test]
fn the_monitor_keeps_nothing_of_the_caller() {
    let Some(sandbox) = sandbox() else { return };
    // If it did, the pipe that the command's output is read from would not end with the command.
    let script = "exec 9>&1; exec $SAMPAN run -d --name one busybox tail -f /dev/null";
    sandbox.start(sandbox.shell(script)).finish().ok();
}

#[test]
fn a_read_only_root_cannot_be_written() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["--read-only"], "touch /file").fails(1).complains("Read-only file system");
    shell(
        &sandbox,
        &["--read-only", "--tmpfs", "/tmp"],
        "touch /tmp/file /dev/shm/file && echo x > /dev/null",
    )
    .ok();
}

#[test]
fn what_a_container_writes_is_its_own() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["run", "--name", "one", "busybox", "sh", "-c", "echo changed > /etc/passwd; rm /bin/ls"])
        .ok();
    shell(&sandbox, &[], "grep -c ^root: /etc/passwd; ls -d /bin/ls").ok().prints("1\n/bin/ls\n");
}

#[test]
fn the_hosts_mounts_and_files_are_not_there() {
    let Some(sandbox) = sandbox() else { return };
    let outcome = shell(&sandbox, &[], "cat /proc/self/mountinfo").ok();
    let known = ["/", "/proc", "/dev", "/sys", "/etc"];
    for line in outcome.lines() {
        let point = line.split(' ').nth(4).unwrap();
        assert!(
            known.iter().any(|known| point == *known || point.starts_with(&format!("{known}/"))),
            "{line}"
        );
    }
    assert!(!outcome.stdout.contains("put_old") && !outcome.stdout.contains("shared:"), "{outcome}");
}

#[test]
fn privileged_has_what_others_have_not() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["--privileged"], "mount -t tmpfs none /tmp && touch /tmp/file && echo mounted")
        .ok()
        .prints("mounted\n");
    shell(&sandbox, &["--privileged"], "grep -E '^(CapEff|Seccomp:)' /proc/self/status | cut -f2")
        .ok()
        .says("\n0\n");
    sandbox.is_clean();
}

#[test]
fn what_a_container_leaves_among_the_processes_of_another_ends_with_it() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "first"]);
    shell(&sandbox, &["--pid", "container:first"], "sleep 1000 & echo started").ok().prints("started\n");
    sandbox.sampan(["exec", "first", "sh", "-c", "ps | grep -c 'sleep 100[0]'"]).fails(1).prints("0\n");
    // Nor does it take the other one's with it.
    sandbox.sampan(["exec", "first", "sh", "-c", "ps | grep -c 'tail -[f]'"]).ok().prints("1\n");
}

#[test]
fn annotations_of_the_engine_are_not_a_users_to_set() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["run", "--rm", "--annotation", "org.sampan.seccomp.unconfined=1", "busybox", "true"])
        .fails(125)
        .complains("the engine's own");
}

#[test]
fn a_cgroup_of_the_users_choice_is_the_parent() {
    let Some(sandbox) = sandbox() else { return };
    let parent = format!("/sampan-test-parent-{}", std::process::id());
    let id = idle(&sandbox, &["--cgroup-parent", &parent]);
    let pid = crate::inspect(&sandbox, &id, "{{.State.Pid}}");
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(groups.lines().all(|line| line.ends_with(&format!("{parent}/{id}"))), "{groups}");
    sandbox.sampan(["exec", &id, "true"]).ok();
    sandbox.sampan(["rm", "-f", &id]).ok();
    // The engine leaves it, as docker does: others may be in it.
    for tree in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
        let group = tree.unwrap().path().join(&parent[1..]);
        assert!(!group.join(&id).exists());
        let _ = std::fs::remove_dir(group);
    }
    let _ = std::fs::remove_dir(format!("/sys/fs/cgroup{parent}"));
}
