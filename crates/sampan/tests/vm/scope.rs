//! Containers of other engines whose cgroups systemd makes.

use testkit::vm::{Machine, Manager};

use crate::{load_busybox, system};

#[test]
fn a_container_is_in_a_scope_that_systemd_knows_the_limits_of() {
    let Some(system) = system() else { return };
    let mut machine = Machine::boot(system, &system.disk(), Manager::Systemd);
    load_busybox(&mut machine);
    let _ = machine.run(BUNDLE).ok();
    let _ = machine
        .run("sampan runtime --systemd-cgroup create --bundle bundle one </dev/null >/dev/null 2>&1")
        .ok();
    let _ = machine.run("sampan runtime --systemd-cgroup start one").ok();
    machine.run(&format!("cat /proc/$({PID})/cgroup")).ok().prints(&format!("0::/{GROUP}\n"));
    let limits = format!(
        "cat /sys/fs/cgroup/{GROUP}/memory.max; systemctl show --value --property MemoryMax eng-one.scope"
    );
    machine.run(&limits).ok().prints("33554432\n33554432\n");
    // What systemd does not know, this would undo.
    let _ = machine.run("systemctl daemon-reload").ok();
    machine.run(&limits).ok().prints("33554432\n33554432\n");
    let _ = machine.run("sampan runtime --systemd-cgroup update --memory 67108864 one").ok();
    machine.run(&limits).ok().prints("67108864\n67108864\n");
    let again =
        machine.run("sampan runtime --systemd-cgroup create --bundle bundle two </dev/null 2>&1 | cat").ok();
    let _ = again.says("eng-one.scope");

    let _ = machine.run("sampan runtime --systemd-cgroup delete --force one").ok();
    machine.run("until ! systemctl is-active --quiet eng-one.scope; do sleep 0.1; done").ok().prints("");
    machine.run(&format!("ls -d /sys/fs/cgroup/{GROUP} 2>/dev/null; sampan runtime list --quiet")).prints("");
    machine.power_off();
}

const GROUP: &str = "test.slice/test-a.slice/eng-one.scope";

const PID: &str = r#"sampan runtime state one | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'"#;

const BUNDLE: &str = r#"
set -e
mkdir -p bundle/rootfs
sampan create --name source busybox >/dev/null
sampan export source | tar -x -C bundle/rootfs
sampan rm source >/dev/null
sampan runtime spec --bundle bundle
sed -i -e 's/"terminal": true/"terminal": false/' -e 's/"sh"/"sleep", "1000"/' \
    -e 's/"linux": {/"linux": { "cgroupsPath": "test-a.slice:eng:one",/' \
    -e 's/"resources": {/"resources": { "memory": { "limit": 33554432 },/' bundle/config.json
"#;
