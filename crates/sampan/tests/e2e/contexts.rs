//! `context`, and what happens when another engine is meant than this machine's.

use std::fs;

use serde_json::Value;
use testkit::{Outcome, Sandbox};

use crate::sandbox;

const FAR: &str = "host=tcp://far:2376";

fn create(sandbox: &Sandbox, name: &str, options: &[&str]) -> Outcome {
    sandbox.sampan([&["context", "create"], options, &[name]].concat())
}

/// Runs a command with these in its environment.
fn with(sandbox: &Sandbox, environment: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let mut command = sandbox.command(arguments);
    command.envs(environment.iter().copied());
    sandbox.start(command).finish()
}

#[test]
fn contexts_are_made_listed_chosen_changed_and_removed() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["context", "show"]).ok().prints("default\n");
    let made = create(&sandbox, "far", &["--docker", FAR, "--description", "a machine"]).ok().prints("far\n");
    assert_eq!(made.stderr, "Successfully created context \"far\"\n");
    sandbox.sampan(["context", "ls"]).ok().prints(
        "NAME        DESCRIPTION                               DOCKER ENDPOINT               ERROR\n\
         default *   Current DOCKER_HOST based configuration   unix:///var/run/docker.sock   \n\
         far         a machine                                 tcp://far:2376                \n",
    );
    let used = sandbox.sampan(["context", "use", "far"]).ok().prints("far\n");
    assert_eq!(used.stderr, "Current context is now \"far\"\n");
    sandbox.sampan(["context", "show"]).ok().prints("far\n");
    sandbox
        .sampan(["context", "ls", "--format", "{{.Name}} {{.Current}}"])
        .ok()
        .prints("default false\nfar true\n");
    sandbox.sampan(["context", "ls", "-q"]).ok().prints("default\nfar\n");
    sandbox
        .sampan(["context", "rm", "far"])
        .fails(1)
        .complains("context \"far\" is in use, set -f flag to force remove");
    sandbox.sampan(["context", "update", "--docker", "host=tcp://further:1", "far"]).ok().prints("far\n");
    sandbox
        .sampan(["context", "inspect", "-f", "{{.Metadata.Metadata.Description}} {{.Endpoints.docker.Host}}"])
        .ok()
        .prints("a machine tcp://further:1\n");
    sandbox.sampan(["context", "rm", "-f", "far"]).ok().prints("far\n");
    sandbox.sampan(["context", "show"]).ok().prints("default\n");
    assert_eq!(fs::read_dir(sandbox.configuration().join("contexts/meta")).unwrap().count(), 0);
}

#[test]
fn what_is_kept_is_as_docker_keeps_it() {
    let Some(sandbox) = sandbox() else { return };
    let ca = sandbox.file("ca", "certificate");
    create(&sandbox, "far", &["--docker", &format!("{FAR},ca={ca}"), "--docker", "skip-tls-verify=true"])
        .ok();
    fs::write(sandbox.configuration().join("config.json"), r#"{"auths": {}, "proxies": {"a": 1}}"#).unwrap();
    sandbox.sampan(["context", "use", "far"]).ok();
    let configuration = fs::read_to_string(sandbox.configuration().join("config.json")).unwrap();
    let configuration: Value = serde_json::from_str(&configuration).unwrap();
    assert_eq!(configuration.to_string(), r#"{"auths":{},"proxies":{"a":1},"currentContext":"far"}"#);
    // The sha256 of "far".
    let id = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";
    let inspected = sandbox.sampan(["context", "inspect", "far"]).ok();
    let document: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(document[0]["TLSMaterial"].to_string(), r#"{"docker":["ca.pem"]}"#);
    let place = document[0]["Storage"]["MetadataPath"].as_str().unwrap();
    assert!(place.ends_with(&format!("/contexts/meta/{id}")), "{place}");
    let kept = fs::read_to_string(format!("{place}/meta.json")).unwrap();
    let expected = r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":true}}}"#;
    assert_eq!(kept, expected);
    let tls = document[0]["Storage"]["TLSPath"].as_str().unwrap();
    assert_eq!(fs::read_to_string(format!("{tls}/docker/ca.pem")).unwrap(), "certificate");
}

#[test]
fn a_context_goes_to_another_machine_in_a_file() {
    let Some(sandbox) = sandbox() else { return };
    let ca = sandbox.file("ca", "certificate");
    create(&sandbox, "far", &["--docker", &format!("{FAR},ca={ca}"), "--description", "a machine"]).ok();
    let file = sandbox.directory().join("far.dockercontext");
    let file = file.to_str().unwrap();
    let written = sandbox.sampan(["context", "export", "far", file]).ok().prints("");
    assert_eq!(written.stderr, format!("Written file \"{file}\"\n"));
    sandbox.sampan(["context", "export", "far", file]).fails(1).complains("file exists");
    sandbox.sampan(["context", "import", "far", file]).fails(1).complains("context \"far\" already exists");
    let imported = sandbox.sampan(["context", "import", "near", file]).ok().prints("near\n");
    assert_eq!(imported.stderr, "Successfully imported context \"near\"\n");
    create(&sandbox, "third", &["--from", "near", "--description", "another"]).ok();
    let template =
        "{{.Name}} {{.Metadata.Metadata.Description}} {{.Endpoints.docker.Host}} {{.TLSMaterial.docker}}";
    sandbox
        .sampan(["context", "inspect", "-f", template, "near", "third"])
        .ok()
        .prints("near a machine tcp://far:2376 [ca.pem]\nthird another tcp://far:2376 [ca.pem]\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let Some(sandbox) = sandbox() else { return };
    let refused = |arguments: &[&str], why: &str| {
        sandbox.sampan([&["context"], arguments].concat()).fails(1).complains(why);
    };
    create(&sandbox, "far", &["--docker", FAR]).ok();
    refused(&["create", "far"], "context \"far\" already exists\n");
    refused(&["create", "default"], "\"default\" is a reserved context name\n");
    refused(&["create", "a b"], "context name \"a b\" is invalid, names are validated against regexp ");
    refused(
        &["create", "--docker", "x=y", "new"],
        "unable to create docker endpoint config: unrecognized config key: x\n",
    );
    refused(&["create", "--docker", "host=far", "new"], "unable to parse docker host `far`");
    refused(
        &["create", "--docker", FAR, "--from", "far", "new"],
        "cannot use --docker flag when --from is set\n",
    );
    refused(&["use", "nosuch"], "context \"nosuch\": context not found: open ");
    refused(&["inspect", "nosuch"], "context \"nosuch\": context not found: open ");
    refused(&["rm", "nosuch"], "context \"nosuch\" does not exist\n");
    refused(&["rm", "default"], "context \"default\" cannot be removed\n");
    refused(&["update", "default"], "\"default\" is a reserved context name\n");
    sandbox
        .sampan(["context", "create", "--docker", "host", "new"])
        .fails(125)
        .complains("host must be formatted as key=value");
}

#[test]
fn another_engine_than_this_machines_is_an_error_and_no_surprise() {
    let Some(sandbox) = sandbox() else { return };
    create(&sandbox, "far", &["--docker", FAR]).ok();
    let error =
        "cannot use the engine at tcp://far:2376: this sampan only knows the one of this machine\nhint: ";
    let far = [("DOCKER_HOST", "tcp://far:2376")];
    with(&sandbox, &far, &["ps"]).fails(1).complains(&format!("{error}unset DOCKER_HOST"));
    with(&sandbox, &far, &["-c", "default", "ps"]).fails(1);
    with(&sandbox, &far, &["version"]).fails(1).says("Client:\n").complains(error);
    with(&sandbox, &far, &["context", "show"]).ok().prints("default\n");
    with(&sandbox, &[("DOCKER_CONTEXT", "far")], &["ps"])
        .fails(1)
        .complains(&format!("{error}unset DOCKER_CONTEXT"));
    sandbox.sampan(["-H", "tcp://far:2376", "ps"]).fails(1).complains(&format!("{error}leave out --host"));
    sandbox.sampan(["--context", "far", "ps"]).fails(1).complains(&format!("{error}leave out --context"));
    sandbox.sampan(["-H", "tcp://far:2376", "run", "busybox"]).fails(125).complains("leave out --host");
    sandbox.sampan(["context", "use", "far"]).ok();
    sandbox.sampan(["ps"]).fails(1).complains(&format!("{error}`sampan context use default`"));
    for own in ["unix:///var/run/docker.sock", "unix:///run/docker.sock", ""] {
        with(&sandbox, &[("DOCKER_HOST", own), ("DOCKER_CONTEXT", "default")], &["images", "-q"]).ok().word();
    }
    with(&sandbox, &[("DOCKER_CONTEXT", "default")], &["images", "-q"]).ok().word();
    sandbox.sampan(["--context", "default", "images", "-q"]).ok().word();
    sandbox
        .sampan(["--context", "nosuch", "ps"])
        .fails(1)
        .complains("context \"nosuch\": context not found: open ");
    sandbox
        .sampan(["--context", "far", "-H", "tcp://far:1", "ps"])
        .fails(1)
        .complains("conflicting options: cannot specify both --host and --context");
    sandbox
        .sampan(["-l", "loud", "context", "ls"])
        .fails(1)
        .complains("Unable to parse logging level: loud\n");
    sandbox.sampan(["-D", "-l", "debug", "context", "show"]).ok().prints("far\n");
}
