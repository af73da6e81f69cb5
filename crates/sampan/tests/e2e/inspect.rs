//! `inspect`: JSON as docker's API has it.

use serde_json::Value;

use crate::{idle, inspect, sandbox};

#[test]
fn a_container_is_described_as_docker_describes_it() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(
        &sandbox,
        &[
            "--name",
            "web",
            "-p",
            "127.0.0.1:4000:80",
            "-e",
            "A=1",
            "-w",
            "/tmp",
            "-u",
            "0:0",
            "--label",
            "tier=front",
        ],
    );
    let outcome = sandbox.sampan(["inspect", "web"]).ok();
    assert!(outcome.stdout.starts_with("[\n    {\n        \"Id\": "), "{outcome}");
    let all: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let web = &all[0];
    assert_eq!(web["Id"], id.as_str());
    assert_eq!(web["Name"], "/web");
    assert_eq!(web["State"]["Status"], "running");
    assert_eq!(web["State"]["Running"], true);
    assert_eq!(web["Config"]["Image"], "busybox");
    assert_eq!(web["Config"]["WorkingDir"], "/tmp");
    assert_eq!(web["Config"]["Labels"]["tier"], "front");
    assert!(web["Config"]["Env"].as_array().unwrap().contains(&"A=1".into()));
    let port = &web["NetworkSettings"]["Ports"]["80/tcp"][0];
    assert_eq!((port["HostIp"].as_str(), port["HostPort"].as_str()), (Some("127.0.0.1"), Some("4000")));
    assert!(web["NetworkSettings"]["IPAddress"].as_str().unwrap().starts_with("172."));
    let pid = web["State"]["Pid"].as_i64().unwrap();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn anything_is_found_by_its_name_and_what_is_missing_is_named() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "web", "busybox"]).ok();
    assert_eq!(inspect(&sandbox, "web", "{{.Name}}"), "/web");
    assert_eq!(inspect(&sandbox, "busybox", "{{index .RepoTags 0}}"), "busybox:latest");
    assert_eq!(inspect(&sandbox, "bridge", "{{.Driver}}"), "bridge");
    let outcome =
        sandbox.sampan(["inspect", "web", "nosuch"]).fails(1).complains("Error: No such object: nosuch");
    let found: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    sandbox.sampan(["inspect", "nosuch"]).fails(1).prints("[]\n").complains("Error: No such object: nosuch");
    sandbox.sampan(["inspect", "--type", "image", "web"]).fails(1);
}

#[test]
fn an_image_tells_what_it_runs() {
    let Some(sandbox) = sandbox() else { return };
    assert_eq!(inspect(&sandbox, "busybox", "{{json .Config.Cmd}} {{.Os}}"), "[\"sh\"] linux");
    assert_eq!(inspect(&sandbox, "busybox", "{{len .RootFS.Layers}}"), "1");
}

#[test]
fn what_memory_ran_out_for_is_told() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan([
            "run",
            "--name",
            "greedy",
            "-m",
            "16m",
            "busybox",
            "dd",
            "if=/dev/zero",
            "of=/dev/null",
            "bs=64M",
            "count=1",
        ])
        .fails(137);
    assert_eq!(inspect(&sandbox, "greedy", "{{.State.OOMKilled}} {{.State.ExitCode}}"), "true 137");
}

#[test]
fn templates_see_what_gos_types_make_of_a_container() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "web", "-p", "4000:80", "busybox"]).ok();
    let template =
        "{{.ID}} {{.HostConfig.Binds}} {{.Config.Volumes}} {{.State.Health}} {{.HostConfig.PidsLimit}}";
    let shown = inspect(&sandbox, "web", template);
    assert!(shown.ends_with(" [] map[] <nil> <nil>"), "{shown}");
    let template = "{{.HostConfig.PortBindings}} {{.HostConfig.RestartPolicy}} {{.Config.ExposedPorts}}";
    assert_eq!(inspect(&sandbox, "web", template), "map[80/tcp:[{ 4000}]] {no 0} map[80/tcp:{}]");
    let template = "{{json .HostConfig.RestartPolicy}} {{json .HostConfig.LogConfig}}";
    let shown = inspect(&sandbox, "web", template);
    assert!(shown.starts_with(r#"{"Name":"no","MaximumRetryCount":0} {"Type":""#), "{shown}");
    // What only the JSON calls so is looked for without types.
    assert!(inspect(&sandbox, "web", "{{.Id}} {{.HostConfig.Binds}}").ends_with(" <no value>"));
    assert_eq!(
        inspect(&sandbox, "bridge", "{{json .ConfigFrom}} {{.IPAM.Options}}"),
        r#"{"Network":""} map[]"#
    );
    sandbox.sampan(["inspect", "-f", "{{.State.Health.Status}}", "web"]).fails(1);
}
