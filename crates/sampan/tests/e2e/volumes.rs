//! `volume create`, `ls`, `inspect`, `rm`, `prune`, `export`, `import`.

use std::fs;

use testkit::{Outcome, Sandbox, base_image};

use crate::{PROGRAM, background, idle, sandbox, shell};

#[test]
fn a_volume_is_made_listed_looked_at_and_removed() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["volume", "create", "--label", "tier=db", "data"]).ok().prints("data\n");
    // Making it again is no mistake, and changes nothing.
    sandbox.sampan(["volume", "create", "--label", "tier=web", "data"]).ok().prints("data\n");
    sandbox.sampan(["volume", "create", "data10"]).ok();
    sandbox.sampan(["volume", "create", "data9"]).ok();
    sandbox
        .sampan(["volume", "ls"])
        .ok()
        .prints("DRIVER    VOLUME NAME\nlocal     data\nlocal     data9\nlocal     data10\n");
    let mountpoint = sandbox.root().join("volumes/data/_data");
    let template = "{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{json .Labels}} {{json .Options}}";
    sandbox
        .sampan(["volume", "inspect", "--format", template, "data", "data9"])
        .ok()
        .says(&format!("data local local {} {{\"tier\":\"db\"}} null\n", mountpoint.display()))
        .says("data9/_data null null\n");
    assert!(mountpoint.is_dir());
    sandbox.sampan(["inspect", "--type", "volume", "--format", "{{.Name}}", "data"]).ok().prints("data\n");
    sandbox.sampan(["volume", "rm", "data", "data9", "data10"]).ok().prints("data\ndata9\ndata10\n");
    sandbox.sampan(["volume", "ls", "-q"]).ok().prints("");
    assert_eq!(fs::read_dir(sandbox.root().join("volumes")).unwrap().count(), 0);
}

#[test]
fn one_that_nobody_named_has_a_random_name_and_says_so() {
    let Some(sandbox) = sandbox() else { return };
    let name = sandbox.sampan(["volume", "create"]).ok().word().to_owned();
    assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    let labels = sandbox.sampan(["volume", "inspect", "-f", "{{json .Labels}}", &name]).ok();
    let _ = labels.prints("{\"com.docker.volume.anonymous\":\"\"}\n");
}

#[test]
fn what_cannot_be_a_volume_is_refused_in_dockers_words() {
    let Some(sandbox) = sandbox() else { return };
    let refused = |arguments: &[&str], why: &str| {
        let all = [&["volume", "create"], arguments].concat();
        let _ = sandbox.sampan(all).fails(1).complains(&format!("Error response from daemon: {why}\n"));
    };
    refused(
        &["a/b"],
        "create a/b: \"a/b\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
    );
    refused(
        &["a"],
        "create a: volume name is too short, names should be at least two alphanumeric characters",
    );
    refused(&["-o", "size=10m", "x1"], "create x1: quota size requested but no quota support");
    refused(&["-o", "size=lots", "x1"], "create x1: invalid size: 'lots'");
    refused(&["-o", "colour=red", "x1"], "create x1: invalid option: \"colour\"");
    refused(&["-o", "type=tmpfs", "x1"], "create x1: missing required option: \"device\"");
    refused(
        &["-d", "nosuch", "x1"],
        "create x1: error looking up volume plugin nosuch: plugin \"nosuch\" not found",
    );
    sandbox.sampan(["volume", "ls", "-q"]).ok().prints("");
    sandbox.sampan(["volume", "inspect", "x1"]).fails(1).prints("[]\n").complains("get x1: no such volume");
    sandbox.sampan(["volume", "rm", "x1"]).fails(1).complains("get x1: no such volume");
    sandbox.sampan(["volume", "rm", "--force", "x1"]).ok().prints("x1\n");
}

#[test]
fn filters_select_what_is_listed() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["volume", "create", "--label", "tier=db", "shop-db"]).ok();
    sandbox.sampan(["volume", "create", "shop-web"]).ok();
    sandbox.sampan(["create", "--name", "user", "-v", "shop-web:/data", "busybox"]).ok();
    for (filter, expected) in [
        ("name=shop", "shop-db\nshop-web\n"),
        ("name=db", "shop-db\n"),
        ("label=tier", "shop-db\n"),
        ("label=tier=web", ""),
        ("dangling=true", "shop-db\n"),
        ("dangling=false", "shop-web\n"),
        ("driver=local", "shop-db\nshop-web\n"),
    ] {
        sandbox.sampan(["volume", "ls", "-q", "--filter", filter]).ok().prints(expected);
    }
    sandbox.sampan(["volume", "ls", "--filter", "size=1"]).fails(1).complains("invalid filter 'size'");
    sandbox
        .sampan(["volume", "ls", "--format", "{{.Name}}: {{.Labels}} {{.Label \"tier\"}}", "-f", "name=db"])
        .ok()
        .prints("shop-db: tier=db db\n");
}

#[test]
fn one_that_a_container_uses_is_never_removed() {
    let Some(sandbox) = sandbox() else { return };
    let id = sandbox.sampan(["create", "-v", "data:/data", "busybox"]).ok().word().to_owned();
    let expected = format!("Error response from daemon: remove data: volume is in use - [{id}]\nhint: ");
    sandbox.sampan(["volume", "rm", "data"]).fails(1).complains(&expected);
    sandbox.sampan(["volume", "rm", "--force", "data"]).fails(1).complains(&expected);
    sandbox.sampan(["volume", "prune", "--all", "--force"]).ok().prints("Total reclaimed space: 0B\n");
    sandbox.sampan(["rm", "-v", &id]).ok();
    sandbox.sampan(["volume", "rm", "data"]).ok();
}

#[test]
fn pruning_takes_what_nobody_named_and_the_rest_if_told_to() {
    let Some(sandbox) = sandbox() else { return };
    let anonymous = sandbox.sampan(["volume", "create"]).ok().word().to_owned();
    sandbox.sampan(["volume", "create", "--label", "keep", "named"]).ok();
    shell(&sandbox, &["-v", &format!("{anonymous}:/data")], "head -c 40000 /dev/zero > /data/file").ok();
    let question = "Are you sure you want to continue? [y/N] ";
    sandbox.sampan(["volume", "prune"]).ok().prints(&format!(
        "WARNING! This will remove anonymous local volumes not used by at least one container.\n{question}"
    ));
    sandbox
        .sampan(["volume", "prune", "-f"])
        .ok()
        .says(&format!("Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: "))
        .says("kB\n");
    sandbox.sampan(["volume", "prune", "-af", "--filter", "label!=keep"]).ok();
    sandbox.sampan(["volume", "ls", "-q"]).ok().prints("named\n");
    sandbox.sampan(["volume", "prune", "-af"]).ok().says("Deleted Volumes:\nnamed\n");
    let both = ["volume", "prune", "-a", "--filter", "all=1"];
    sandbox.sampan(both).fails(1).complains("cannot specify both --all and --filter all=1");
}

#[test]
fn what_the_options_name_is_mounted_while_it_is_used() {
    let Some(sandbox) = sandbox() else { return };
    let options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=64k,mode=1777"];
    sandbox.sampan([&["volume", "create"], &options[..], &["memory"]].concat()).ok();
    let place = sandbox.root().join("volumes/memory/_data");
    let is_mounted = || fs::read_to_string("/proc/self/mountinfo").unwrap().contains(place.to_str().unwrap());
    assert!(!is_mounted());
    let one = idle(&sandbox, &["-v", "memory:/data"]);
    assert!(is_mounted());
    let script = "echo shared > /data/file; grep ' /data tmpfs' /proc/mounts";
    shell(&sandbox, &["-v", "memory:/data"], script).ok().says("size=64k");
    // The first still uses it.
    assert!(is_mounted());
    sandbox.sampan(["exec", &one, "cat", "/data/file"]).ok().prints("shared\n");
    sandbox.sampan(["rm", "-f", &one]).ok();
    assert!(!is_mounted());
    shell(&sandbox, &["-v", "memory:/data"], "ls /data").ok().prints("");
}

#[test]
fn a_directory_can_be_a_volume_by_its_options_and_one_that_is_missing_is_an_error() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().join("files");
    fs::create_dir(&directory).unwrap();
    let create = |device: &str, name: &str| {
        let device = format!("device={device}");
        sandbox.sampan(["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind,ro", name]).ok()
    };
    let _ = create(directory.to_str().unwrap(), "bound");
    let _ = create("/no/such/directory", "lost");
    shell(&sandbox, &["-v", "bound:/data"], "touch /data/file").fails(1).complains("Read-only");
    let place = sandbox.root().join("volumes/lost/_data");
    shell(&sandbox, &["-v", "lost:/data"], "true").fails(125).complains(&format!(
        "error while mounting volume '{0}': failed to mount local volume: mount /no/such/directory:{0}, \
         flags: 0x1001: no such file or directory\n",
        place.display()
    ));
}

#[test]
fn a_killed_monitor_leaves_no_volume_mounted() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory"]).ok();
    let id = background(&sandbox, &["-v", "memory:/data"], "echo ready; exec tail -f /dev/null");
    sandbox.wait_for_log(&id, "ready");
    let pid = crate::inspect(&sandbox, &id, "{{.State.Pid}}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
    sandbox.start(sandbox.shell(&format!("kill -9 {monitor}"))).finish().ok();
    sandbox.sampan(["wait", &id]).ok().prints("137\n");
    sandbox.is_clean_but_for_containers();
}

#[test]
fn the_files_of_a_volume_travel_in_an_archive() {
    let Some(sandbox) = sandbox() else { return };
    let script = "mkdir /data/dir; echo content > /data/dir/file; chmod 640 /data/dir/file; \
                  chown 7:8 /data/dir/file; ln -s dir/file /data/link; ln /data/dir/file /data/again";
    shell(&sandbox, &["-v", "data:/data"], script).ok();
    let archive = sandbox.directory().join("data.tar");
    let archive = archive.to_str().unwrap();
    sandbox.sampan(["volume", "export", "--output", archive, "data"]).ok().prints("");
    sandbox.sampan(["volume", "import", "copy", archive]).ok().prints("");
    let look = "cat /data/link; stat -c '%a %u:%g %h' /data/dir/file";
    shell(&sandbox, &["-v", "copy:/data"], look).ok().prints("content\n640 7:8 2\n");
    sandbox.on_terminal(["volume", "export", "data"]).finish().fails(1).says("cowardly refusing");

    // Through pipes, and only into what is empty, or with a word to replace it.
    let pipe = |options: &str| {
        let script = format!("$SAMPAN volume export data | $SAMPAN volume import {options} copy -");
        sandbox.start(sandbox.shell(&script)).finish()
    };
    shell(&sandbox, &["-v", "copy:/data"], "touch /data/mine").ok();
    pipe("").fails(1).complains("volume copy holds files already");
    shell(&sandbox, &["-v", "copy:/data"], "ls /data").ok().says("mine\n");
    pipe("--force").ok();
    shell(&sandbox, &["-v", "copy:/data"], "ls /data").ok().prints("again\ndir\nlink\n");
    let user = idle(&sandbox, &["-v", "copy:/data"]);
    pipe("--force").fails(1).complains(&format!("volume is in use - [{user}]"));
}

#[test]
fn an_archive_that_is_broken_changes_nothing() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["-v", "data:/data"], "head -c 100000 /dev/zero > /data/file").ok();
    let archive = sandbox.directory().join("data.tar");
    sandbox.sampan(["volume", "export", "-o", archive.to_str().unwrap(), "data"]).ok();
    let bytes = fs::read(&archive).unwrap();
    let torn = sandbox.file("torn.tar", &bytes[..50_000]);
    sandbox.sampan(["volume", "import", "new", &torn]).fails(1).complains("ends in the middle");
    sandbox.sampan(["volume", "import", "-f", "data", &torn]).fails(1);
    sandbox.sampan(["volume", "ls", "-q"]).ok().prints("data\n");
    shell(&sandbox, &["-v", "data:/data"], "stat -c %s /data/file").ok().prints("100000\n");
    assert_eq!(fs::read_dir(sandbox.root().join("volumes")).unwrap().count(), 1);
}

#[test]
fn what_a_server_has_is_mounted_from_its_address_with_the_options_given() {
    let Some(sandbox) = sandbox() else { return };
    // A kernel without NFS says what it was asked for, and one that has it as a module, that there is no server.
    if fs::read_to_string("/proc/filesystems").unwrap().contains("\tnfs") {
        eprintln!("skipped: this kernel would look for a server");
        return;
    }
    let options = ["-o", "type=nfs", "-o", "device=:/srv/data", "-o", "o=addr=localhost,nfsvers=4,ro,soft"];
    sandbox.sampan([&["volume", "create"], &options[..], &["shared"]].concat()).ok();
    let place = sandbox.root().join("volumes/shared/_data");
    let expected = format!(
        "error while mounting volume '{0}': failed to mount local volume: mount :/srv/data:{0}, flags: 0x1, \
         data: addr=127.0.0.1,nfsvers=4,soft: ",
        place.display()
    );
    sandbox.sampan(["run", "--rm", "-v", "shared:/data", "busybox", "true"]).fails(125).complains(&expected);
    let options = ["-o", "type=nfs", "-o", "device=:/srv", "-o", "o=addr=nosuch.invalid"];
    sandbox.sampan([&["volume", "create"], &options[..], &["lost"]].concat()).ok();
    sandbox
        .sampan(["run", "--rm", "-v", "lost:/data", "busybox", "true"])
        .fails(125)
        .complains("error resolving passed in network volume address: lookup nosuch.invalid: no such host");
}

#[test]
fn sizes_are_refused_where_no_file_system_keeps_them() {
    let Some(sandbox) = sandbox() else { return };
    let run = ["run", "--rm", "--storage-opt", "size=1g", "busybox", "true"];
    sandbox.sampan(run).fails(125).complains(
        "Error response from daemon: --storage-opt is supported only for overlay over xfs with 'pquota' mount option",
    );
    sandbox
        .sampan(["create", "--storage-opt", "x", "busybox"])
        .fails(125)
        .complains("invalid storage option");
    sandbox.sampan(["create", "--storage-opt", "x=y", "busybox"]).fails(1).complains("Unknown option x");
    let mount = "type=volume,source=small,target=/data,volume-opt=size=1m";
    sandbox
        .sampan(["run", "--rm", "--mount", mount, "busybox", "true"])
        .fails(125)
        .complains("create small: quota size requested but no quota support");
    sandbox.sampan(["volume", "ls", "-q"]).ok().prints("");
}

/// Runs a script where the engine's root is on a disk with quotas, in a namespace that ends with it. `None`, and why on
/// standard error, where this machine cannot have one.
fn with_quotas(script: &str) -> Option<Outcome> {
    let sandbox = Sandbox::empty(PROGRAM)?;
    let archive = base_image("busybox:latest")?;
    let script = format!(
        "truncate -s 256M disk && mkfs.ext4 -q -O quota,project -E quotatype=prjquota disk && mkdir $SAMPAN_ROOT &&
         mount -o loop,prjquota disk $SAMPAN_ROOT || exit {NO_DISK}
         $SAMPAN load -q -i {} >&2
         run() {{ $SAMPAN run --rm --network none \"$@\"; }}
         fill() {{ echo \"dd if=/dev/zero of=$1 bs=1M count=$2 2>&1 | grep -o 'quota exceeded'\"; }}
         {script}",
        archive.display()
    );
    let mut command = sandbox.program_named("/usr/bin/unshare".as_ref());
    command.args(["--mount", "/bin/sh", "-c", &script]).env("SAMPAN", PROGRAM);
    command.current_dir(sandbox.directory());
    let outcome = sandbox.start(command).finish();
    if outcome.code == NO_DISK {
        eprintln!("skipped: no disk with quotas\n{outcome}");
        return None;
    }
    Some(outcome)
}

#[test]
fn a_volume_holds_no_more_than_it_may() {
    let Some(outcome) = with_quotas(
        r#"
        $SAMPAN volume create -o size=8m small
        run -v small:/data busybox sh -c "$(fill /data/file 4)"
        run -v small:/data busybox sh -c "$(fill /data/file 20)"
        echo 'made with its container; what the image has there counts'
        run --mount type=volume,source=other,target=/etc,volume-opt=size=1m busybox sh -c "$(fill /etc/file 4)"
        run -v other:/data busybox grep -c root /data/passwd
        echo 'others have as much as there is, also one of the same name that comes later'
        $SAMPAN volume create large
        run -v large:/data busybox sh -c "$(fill /data/file 20)"
        $SAMPAN volume rm small other large
        run -v small:/data busybox sh -c "$(fill /data/file 20)"
        "#,
    ) else {
        return;
    };
    outcome.prints(
        "small\nquota exceeded\nmade with its container; what the image has there counts\nquota exceeded\n1\n\
         others have as much as there is, also one of the same name that comes later\nlarge\nsmall\nother\nlarge\n",
    );
}

#[test]
fn a_limited_volume_that_is_imported_is_still_limited() {
    let Some(outcome) = with_quotas(
        r#"
        $SAMPAN volume create -o size=8m small
        run -v small:/data busybox sh -c 'echo x > /data/file'
        $SAMPAN volume export small > archive && $SAMPAN volume import --force small archive
        run -v small:/data busybox sh -c "cat /data/file; $(fill /data/large 20)"
        "#,
    ) else {
        return;
    };
    outcome.prints("small\nx\nquota exceeded\n");
}

#[test]
fn a_containers_own_files_take_no_more_than_they_may() {
    let Some(outcome) = with_quotas(
        r#"
        $SAMPAN create --network none --name small --storage-opt size=8m busybox \
            sh -c "mv /etc/passwd /passwd && echo moved; $(fill /file 20)" >&2
        $SAMPAN start -a small
        $SAMPAN inspect -f '{{json .HostConfig.StorageOpt}}' small
        $SAMPAN rm small
        run busybox sh -c "$(fill /file 20)"
        "#,
    ) else {
        return;
    };
    outcome.prints("moved\nquota exceeded\n{\"size\":\"8m\"}\nsmall\n");
}

/// The exit code of a script that found no disk with quotas.
const NO_DISK: i32 = 77;
