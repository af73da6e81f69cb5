//! `rename`: another name for a container.

use crate::{idle, inspect, sandbox, shell};

#[test]
fn a_container_gets_another_name_and_its_old_one_is_free() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(&sandbox, &["--name", "old"]);
    sandbox.sampan(["rename", "old", "new"]).ok().prints("");
    assert_eq!(inspect(&sandbox, &id, "{{.Name}} {{.State.Status}}"), "/new running");
    sandbox.sampan(["ps", "--format", "{{.Names}}"]).ok().prints("new\n");
    sandbox.sampan(["create", "--name", "old", "busybox"]).ok();
    sandbox.sampan(["rename", &id[..12], "/newer"]).ok();
    sandbox.sampan(["exec", "newer", "true"]).ok();
}

#[test]
fn a_name_must_be_valid_new_and_free() {
    let Some(sandbox) = sandbox() else { return };
    let id = sandbox.sampan(["create", "--name", "one", "busybox"]).ok().word().to_owned();
    sandbox.sampan(["create", "--name", "two", "busybox"]).ok();
    let fails = |from: &str, to: &str, text: &str| {
        sandbox
            .sampan(["rename", from, to])
            .fails(1)
            .complains(&format!("Error response from daemon: {text}"))
            .complains(&format!("failed to rename container named {from}\n"));
    };
    fails(
        "two",
        "one",
        &format!(
            "Error when allocating new name: Conflict. The container name \"/one\" is already in use by container \
             \"{id}\". You have to remove (or rename) that container to be able to reuse that name.\n"
        ),
    );
    fails("one", "one", "Renaming a container with the same name as its current name\n");
    let empty = "Error: Neither old nor new names may be empty\n";
    sandbox.sampan(["rename", "one", ""]).fails(1).complains(empty);
    fails(
        "one",
        "a/b",
        "Error when allocating new name: Invalid container name (/a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed\n",
    );
    fails("nosuch", "three", "No such container: nosuch\n");
    sandbox.sampan(["rename", "one"]).fails(1).complains("requires 2 arguments");
}

#[test]
fn a_running_container_has_its_other_name_in_its_networks_at_once() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "blue"]).ok();
    let id = idle(&sandbox, &["--name", "old", "--network", "blue", "--network-alias", "www"]);
    let hosts = sandbox.sampan(["exec", "old", "cat", "/etc/hosts"]).ok().stdout;
    let resolves = |name: &str| shell(&sandbox, &["--network", "blue"], &format!("nslookup -type=a {name}"));
    resolves("old").ok();
    sandbox.sampan(["rename", "old", "new"]).ok();
    for name in ["new", "new.blue", "www", &id[..12]] {
        resolves(name).ok();
    }
    resolves("old").fails(1);
    let template = "{{range .Containers}}{{.Name}}{{end}}";
    sandbox.sampan(["network", "inspect", "-f", template, "blue"]).ok().prints("new\n");
    let address = inspect(&sandbox, "new", "{{.NetworkSettings.Networks.blue.IPAddress}}");
    let script = format!("nslookup {address} | grep -o 'name = [a-z]*'");
    shell(&sandbox, &["--network", "blue"], &script).ok().prints("name = new\n");
    assert_eq!(sandbox.sampan(["exec", "new", "cat", "/etc/hosts"]).ok().stdout, hosts);
    // One that is refused changes nothing there.
    sandbox.sampan(["create", "--name", "taken", "busybox"]).ok();
    sandbox.sampan(["rename", "new", "taken"]).fails(1);
    resolves("taken").fails(1);
    resolves("new").ok();
    sandbox.sampan(["rm", "-f", "new"]).ok();
    resolves("new").fails(1);
}
