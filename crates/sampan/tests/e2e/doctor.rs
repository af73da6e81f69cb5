//! `doctor`: what this machine offers.

use testkit::Sandbox;

use crate::PROGRAM;

#[test]
fn a_machine_that_runs_these_tests_can_run_containers_and_is_left_alone() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    let before = sandbox.left_behind();
    let outcome = sandbox.sampan(["doctor"]).ok();
    for subject in ["version", "namespaces", "seccomp", "controllers", "overlay", "space", "bridges"] {
        let line = format!("  ok    {subject} ");
        assert!(outcome.stdout.contains(&line), "{line:?} in\n{outcome}");
    }
    let last = outcome.lines().last().copied().unwrap_or_default().to_owned();
    assert!(last.starts_with("containers can run"), "{outcome}");
    assert!(!sandbox.root().exists(), "{outcome}");
    assert_eq!(sandbox.left_behind(), before);
}

#[test]
fn programs_get_it_as_json_and_by_templates() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    let listed = sandbox.sampan(["system", "doctor", "--format", "json"]).ok();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let all = listed.as_array().unwrap();
    assert!(
        all.iter()
            .any(|one| one["Group"] == "storage" && one["Subject"] == "overlay" && one["State"] == "ok")
    );
    let states = sandbox.sampan(["doctor", "--format", "{{.Subject}}={{.State}}"]).ok();
    assert!(states.lines().contains(&"overlay=ok"), "{states}");
    sandbox.sampan(["doctor", "--format", "{{"]).fails(1).complains("template");
    sandbox.sampan(["doctor", "extra"]).fails(1).complains("accepts no arguments");
}

#[test]
fn a_network_without_name_servers_is_a_warning_with_what_to_do() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    sandbox
        .sampan(["doctor"])
        .ok()
        .says("  warn  names ")
        .says("to mend it: name a server that can be reached");
}

#[test]
fn a_disk_that_cannot_be_written_fails() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    let script = "mount -t tmpfs -o ro none /mnt && exec \"$SAMPAN\" --root /mnt/sampan doctor";
    let mut command = sandbox.program_named("unshare".as_ref());
    command.args(["--mount", "sh", "-c", script]).env("SAMPAN", PROGRAM);
    sandbox
        .start(command)
        .finish()
        .fails(1)
        .says("  FAIL  file system ")
        .says("/mnt/sampan is on tmpfs, which is mounted read-only")
        .says("containers cannot run; to be mended first: 1");
}
