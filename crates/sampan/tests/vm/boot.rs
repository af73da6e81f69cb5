//! Machines that are started again: what has a restart policy runs, with systemd and without.

use testkit::{
    Random, eventually,
    vm::{Machine, Manager},
};

use crate::{load_busybox, system};

#[test]
fn containers_start_after_a_power_cut_when_their_machine_says_so() {
    let Some(system) = system() else { return };
    let disk = system.disk();
    let mut machine = Machine::boot(system, &disk, Manager::Init);
    load_busybox(&mut machine);
    let _ = machine.run(CONTAINERS).ok();
    machine.cut_power();
    disk.power_up(&mut Random::from(1));

    let mut machine = Machine::boot(system, &disk, Manager::Init);
    machine.run(MONITORS).prints("0\n");
    machine.run("sampan boot start | sort").ok().prints("always\nweb\n");
    expect_all_to_run(&mut machine);
    machine.power_off();
}

#[test]
fn systemd_starts_containers_with_the_machine() {
    let Some(system) = system() else { return };
    let disk = system.disk();
    let mut machine = Machine::boot(system, &disk, Manager::Systemd);
    load_busybox(&mut machine);
    let _ = machine.run(CONTAINERS).ok();
    let _ = machine.run("sampan boot enable").ok();
    // What was enabled, is, whatever happens.
    machine.cut_power();
    disk.power_up(&mut Random::from(1));

    let mut machine = Machine::boot(system, &disk, Manager::Systemd);
    expect_all_to_run(&mut machine);
    machine.run("systemctl is-active sampan-boot.service").ok().prints("active\n");
    let _ = machine.run("sampan boot disable").ok();
    machine.power_off();

    let mut machine = Machine::boot(system, &disk, Manager::Systemd);
    machine.run(MONITORS).prints("0\n");
    machine.power_off();
}

#[test]
fn containers_are_stopped_before_their_machine_goes_down() {
    let Some(system) = system() else { return };
    let disk = system.disk();
    let mut machine = Machine::boot(system, &disk, Manager::Systemd);
    load_busybox(&mut machine);
    let _ = machine.run("sampan boot enable").ok();
    let _ = machine.run(POLITE).ok();
    machine.power_off();

    let mut machine = Machine::boot(system, &disk, Manager::Systemd);
    let _ = machine.run("systemctl start sampan-boot.service").ok();
    eventually("containers run as their policies say", || {
        let states = machine.run(STATES).ok();
        let expected = "always running\nfailing running\nnever exited\nstopped exited\n";
        (states.stdout == expected).then_some(()).ok_or(states)
    });
    // Each has had its time.
    for (name, code) in [("always", 0), ("failing", 7), ("never", 0)] {
        let _ = machine.run(&format!("sampan logs {name} | grep -x 'bye {code}'")).ok();
    }
    let _ = machine.run("sampan boot disable && systemctl daemon-reload").ok();
    let _ = machine.run("sampan rm -f always failing never stopped").ok();

    // Of a session that ends with the machine, and without the unit.
    let _ = machine.run(OF_A_SESSION).ok();
    machine.power_off();

    let mut machine = Machine::boot(system, &disk, Manager::Systemd);
    machine.run(MONITORS).prints("0\n");
    let _ = machine.run("sampan logs always | grep -x 'bye 0'").ok();
    machine.run(STATES).ok().prints("always running\n");
    machine.power_off();
}

/// Expects that what has to run does, and that it can be reached.
#[track_caller]
fn expect_all_to_run(machine: &mut Machine) {
    eventually("containers run as their policies say", || {
        let states = machine.run(STATES).ok();
        let expected = "always running\nnever exited\nstopped exited\nweb running\n";
        (states.stdout == expected).then_some(()).ok_or(states)
    });
    eventually("the published port answers", || {
        let answer = machine.run("busybox wget -q -O - http://127.0.0.1:8080/name");
        (answer.word() == "web").then_some(()).ok_or(answer)
    });
}

/// One container of each kind of policy; one was stopped by hand, and one has an end of its own.
const CONTAINERS: &str = "
set -e
sampan run -d --name always --restart always busybox tail -f /dev/null
sampan run -d --name stopped --restart unless-stopped --stop-timeout 0 busybox tail -f /dev/null
sampan run -d --name never busybox tail -f /dev/null
sampan run -d --name web --restart unless-stopped --publish 8080:80 busybox \
    sh -c 'mkdir -p /srv; echo web >/srv/name; exec httpd -f -p 80 -h /srv'
sampan stop stopped
";

/// Containers that take their time to end, by policies.
const POLITE: &str = r#"
set -e
polite() {
    name=$1 code=$2; shift 2
    sampan run -d --name $name "$@" busybox \
        sh -c "trap 'sleep 1; echo bye $code; exit $code' TERM; echo hello; while :; do sleep 0.1; done"
    until sampan logs $name | grep -q hello; do sleep 0.1; done
}
polite always 0 --restart always
polite failing 7 --restart on-failure
polite never 0
polite stopped 0 --restart unless-stopped
sampan stop stopped
"#;

const OF_A_SESSION: &str = r#"
systemd-run --quiet --scope sampan run -d --name always --restart always busybox \
    sh -c "trap 'sleep 1; echo bye 0; exit 0' TERM; echo hello; while :; do sleep 0.1; done"
until sampan logs always | grep -q hello; do sleep 0.1; done
"#;

/// Says how many monitors run. Any command of the program would start the containers that are lost.
const MONITORS: &str = "pgrep --count sampan-monitor";

const STATES: &str = "sampan ps -a --format '{{.Names}} {{.State}}' | sort";
