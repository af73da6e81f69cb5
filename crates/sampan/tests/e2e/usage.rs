//! What is no command, and what every command says about itself.

use testkit::Sandbox;

use crate::PROGRAM;

#[test]
fn an_unknown_command_or_flag_is_told_with_where_to_look() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    sandbox
        .sampan(["nosuch"])
        .fails(1)
        .complains("unknown command: sampan nosuch")
        .complains("Run 'sampan --help' for more information");
    sandbox
        .sampan(["ps", "--nosuch"])
        .fails(125)
        .complains("unknown flag: --nosuch")
        .complains("Usage:  sampan ps [OPTIONS]");
    sandbox.sampan(["rm"]).fails(1).complains("'sampan rm' requires at least 1 argument");
    assert!(sandbox.files().is_empty(), "a mistake makes no state");
}

#[test]
fn help_and_version_are_no_errors() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    sandbox.sampan(["--help"]).ok().says("run").says("images");
    sandbox
        .sampan(["run", "--help"])
        .ok()
        .says("Usage:  sampan run [OPTIONS] IMAGE [COMMAND] [ARG...]")
        .says("--publish");
    sandbox.sampan(["--version"]).ok().says(env!("CARGO_PKG_VERSION"));
    sandbox.sampan(["container", "ls", "--help"]).ok();
}

#[test]
fn long_forms_do_what_short_forms_do() {
    let Some(sandbox) = crate::sandbox() else { return };
    sandbox.sampan(["container", "run", "--name", "one", "busybox", "echo", "hello"]).ok().prints("hello\n");
    sandbox.sampan(["container", "logs", "one"]).ok().prints("hello\n");
    sandbox.sampan(["container", "ls", "-a", "--format", "{{.Names}}"]).ok().prints("one\n");
    sandbox.sampan(["container", "inspect", "--format", "{{.Name}}", "one"]).ok().prints("/one\n");
    sandbox.sampan(["container", "rm", "one"]).ok().prints("one\n");
    sandbox.sampan(["image", "ls", "--format", "{{.Repository}}"]).ok().prints("busybox\n");
    sandbox.sampan(["image", "rm", "busybox"]).ok();
}

#[test]
fn hints_can_be_switched_off() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    sandbox.sampan(["run", "127.0.0.1:1/nosuch"]).fails(125).complains("\nhint: ");
    let mut command = sandbox.command(["run", "127.0.0.1:1/nosuch"]);
    command.env("SAMPAN_HINTS", "0");
    let outcome = sandbox.start(command).finish().fails(125);
    assert!(!outcome.stderr.contains("hint"), "{outcome}");
}

#[test]
fn shells_and_manuals_know_all_commands() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef sampan"), ("fish", "complete -c sampan")]
    {
        sandbox.sampan(["completion", shell]).ok().says(part).says("cgroup-parent");
    }
    sandbox.sampan(["completion", "nosuch"]).fails(1);
    let directory = sandbox.directory().join("man");
    sandbox.sampan(["system", "man", directory.to_str().unwrap()]).ok().prints("");
    let page = std::fs::read_to_string(directory.join("sampan-container-run.1")).unwrap();
    assert!(page.contains("Create and run a new container"), "{page}");
    assert!(directory.join("sampan-ps.1").exists());
}

#[test]
fn version_and_info_answer_templates_and_json() {
    let Some(sandbox) = crate::sandbox() else { return };
    let version = env!("CARGO_PKG_VERSION");
    for template in ["{{.Client.Version}}", "{{.Server.Version}}"] {
        sandbox.sampan(["version", "--format", template]).ok().prints(&format!("{version}\n"));
    }
    sandbox.sampan(["create", "busybox"]).ok();
    sandbox
        .sampan(["info", "-f", "{{.Containers}} {{.ContainersStopped}} {{.Images}}"])
        .ok()
        .prints("1 1 1\n");
    let info = sandbox.sampan(["system", "info", "--format", "json"]).ok();
    let info: serde_json::Value = serde_json::from_str(info.word()).unwrap();
    assert_eq!(info["OSType"], "linux");
    sandbox.sampan(["info"]).ok().says("Storage Driver: overlay2").says("\n Containers: 1\n  Running: 0\n");
}
