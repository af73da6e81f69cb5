//! `run --userns`: containers with a user namespace of their own.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Sandbox, eventually};

use crate::{NAME, SERVER, background, idle, inspect, sandbox, shell};

/// Starts an idle container in a user namespace of its own.
#[track_caller]
fn idle_alone(sandbox: &Sandbox, name: &str) -> String {
    idle(sandbox, &["--name", name, "--userns", "auto"])
}

/// The first of the host's numbers that a container's users have, and how many there are.
#[track_caller]
fn range(sandbox: &Sandbox, container: &str) -> (u32, u32) {
    let map = sandbox.sampan(["exec", container, "cat", "/proc/self/uid_map"]).ok().stdout;
    let numbers: Vec<u32> = map.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!((numbers.len(), numbers[0]), (3, 0), "{map}");
    (numbers[1], numbers[2])
}

fn pid(sandbox: &Sandbox, container: &str) -> String {
    inspect(sandbox, container, "{{.State.Pid}}")
}

/// Whether these numbers are claimed for a container of this sandbox. Others on this host may have them the moment they are
/// free.
fn is_claimed(sandbox: &Sandbox, (first, size): (u32, u32)) -> bool {
    let claimant = fs::read_to_string(format!("/run/sampan/users/{first}-{size}"));
    claimant.is_ok_and(|directory| Path::new(&directory).starts_with(sandbox.root()))
}

#[test]
fn each_container_has_numbers_of_its_own_as_long_as_it_runs() {
    let Some(sandbox) = sandbox() else { return };
    idle_alone(&sandbox, "one");
    idle(&sandbox, &["--name", "two", "--userns", "auto:size=1000"]);
    let (one, two) = (range(&sandbox, "one"), range(&sandbox, "two"));
    assert_eq!((one.1, two.1), (65536, 1000));
    assert!(one.0 + one.1 <= two.0 || two.0 + two.1 <= one.0, "{one:?} {two:?}");
    for (name, mode) in [("one", "auto"), ("two", "auto:size=1000")] {
        assert_eq!(inspect(&sandbox, name, "{{.HostConfig.UsernsMode}}"), mode);
    }
    let owner = fs::metadata(format!("/proc/{}", pid(&sandbox, "one"))).unwrap().uid();
    assert_eq!(owner, one.0, "the host sees it as another user");
    assert!(is_claimed(&sandbox, one));
    sandbox.sampan(["kill", "one"]).ok();
    sandbox.sampan(["wait", "one"]).ok();
    assert!(!is_claimed(&sandbox, one));
    // It is another one's, and the container gets it or another one again.
    sandbox.sampan(["start", "one"]).ok();
    sandbox.sampan(["exec", "one", "id", "-u"]).ok().prints("0\n");
}

#[test]
fn numbers_of_a_container_whose_monitor_was_killed_are_free_again() {
    let Some(sandbox) = sandbox() else { return };
    idle_alone(&sandbox, "one");
    let numbers = range(&sandbox, "one");
    assert!(is_claimed(&sandbox, numbers));
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid(&sandbox, "one"))).unwrap();
    let monitor = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(monitor).unwrap(), Signal::KILL).unwrap();
    // The kernel takes a moment to end it, and to let go of what it has locked.
    eventually("its end is noticed", || {
        let status = sandbox.sampan(["ps", "--all", "--format", "{{.Status}}"]).ok().stdout;
        if status.starts_with("Exited (137)") { Ok(()) } else { Err(status) }
    });
    assert!(!is_claimed(&sandbox, numbers));
}

#[test]
fn the_files_of_image_and_container_are_those_of_its_users() {
    let Some(sandbox) = sandbox() else { return };
    let script = "stat -c '%u:%g %n' /bin/sh /etc/hosts /dev/null /dev /tmp; touch /new; chown 5:6 /new; stat -c %u:%g /new; \
                  rm /etc/group; mkdir -p /usr/x && mv /usr/x /usr/y && ls -d /usr/y";
    let outcome = sandbox.sampan(["run", "--name", "one", "--userns", "auto", "busybox", "sh", "-c", script]);
    outcome.ok().prints("0:0 /bin/sh\n0:0 /etc/hosts\n0:0 /dev/null\n0:0 /dev\n0:0 /tmp\n5:6\n/usr/y\n");
    sandbox.sampan(["diff", "one"]).ok().says("A /new\n").says("D /etc/group\n");
    sandbox.sampan(["commit", "one", "two"]).ok();
    // Nothing on disk has the range: another one, or none, finds the same owners.
    for users in ["host", "auto"] {
        sandbox
            .sampan(["run", "--rm", "--userns", users, "two", "stat", "-c", "%u:%g", "/new", "/usr/y"])
            .ok()
            .prints("5:6\n0:0\n");
    }
    sandbox.is_clean_but_for_containers();
}

#[test]
fn a_program_with_rights_of_its_own_has_those_of_the_namespace() {
    let Some(sandbox) = sandbox() else { return };
    let script = "cp /bin/busybox /traceroute; cp /bin/busybox /tmp/traceroute; chmod 4755 /traceroute";
    sandbox.sampan(["run", "--name", "one", "--userns", "auto", "busybox", "sh", "-c", script]).ok();
    sandbox.sampan(["commit", "one", "set-id"]).ok();
    let trace = |program: &str| {
        let user = ["--userns", "auto", "--user", "7:8", "set-id"];
        sandbox.sampan([&["run", "--rm"], &user[..], &[program, "-q", "1", "-m", "1", "127.0.0.1"]].concat())
    };
    trace("/tmp/traceroute").fails(1).complains("Operation not permitted");
    trace("/traceroute").ok().says("127.0.0.1");
    // It may do to its own network what root may, and nothing to the host's devices.
    shell(
        &sandbox,
        &["--userns", "auto", "--cap-add", "NET_ADMIN"],
        "ip link set lo mtu 1400; cat /sys/class/net/lo/mtu",
    )
    .ok()
    .prints("1400\n");
    shell(&sandbox, &["--userns", "auto"], "mknod /x c 1 3").fails(1).complains("Operation not permitted");
}

#[test]
fn capabilities_of_files_are_those_of_the_namespace() {
    let Some(sandbox) = sandbox() else { return };
    let file = sandbox.directory().join("traceroute");
    let path = file.to_str().unwrap();
    sandbox
        .sampan(["create", "--name", "one", "--userns", "auto", "busybox", "tail", "-f", "/dev/null"])
        .ok();
    sandbox.sampan(["cp", "one:/bin/busybox", path]).ok();
    // CAP_NET_RAW, permitted and effective.
    let capability = [&[1, 0, 0, 2, 0, 32], &[0; 14][..]].concat();
    let set = |file: &Path| {
        rustix::fs::setxattr(file, "security.capability", &capability, rustix::fs::XattrFlags::empty())
            .unwrap();
    };
    set(&file);
    sandbox.sampan(["cp", path, "one:/stopped"]).ok();
    sandbox.sampan(["start", "one"]).ok();
    sandbox.sampan(["cp", path, "one:/running"]).ok();
    let script = "for file in stopped running; do mkdir -p /$file.d; ln /$file /$file.d/traceroute; done";
    sandbox.sampan(["exec", "one", "sh", "-c", script]).ok();
    for name in ["stopped", "running"] {
        let program = format!("/{name}.d/traceroute");
        sandbox
            .sampan(["exec", "--user", "7:8", "one", &program, "-q", "1", "-m", "1", "127.0.0.1"])
            .ok()
            .says("127.0.0.1");
    }
    let out = "$SAMPAN export one | tar -x --xattrs --xattrs-include='*' running stopped";
    let mut out = sandbox.shell(out);
    out.current_dir(sandbox.directory());
    sandbox.start(out).finish().ok();
    for name in ["stopped", "running"] {
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(sandbox.directory().join(name), "security.capability", &mut value);
        assert_eq!(value[..length.unwrap()], capability, "{name}");
    }
}

#[test]
fn directories_of_the_host_belong_to_the_same_users_inside() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().join("of-the-host");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(directory.join("root"), "secret\n").unwrap();
    fs::write(directory.join("other"), "").unwrap();
    chown(directory.join("other"), Some(1000), Some(2000)).unwrap();
    let bind = format!("{}:/d", directory.display());
    let script = "cat /d/root; stat -c %u:%g /d/other; touch /d/new /d/given; chown 7:8 /d/given";
    shell(&sandbox, &["--userns", "auto", "-v", &bind], script).ok().prints("secret\n1000:2000\n");
    let owner = |name: &str| {
        let file = fs::metadata(directory.join(name)).unwrap();
        (file.uid(), file.gid())
    };
    assert_eq!((owner("new"), owner("given")), ((0, 0), (7, 8)));
    // Who is to have it as the container's user has it as such.
    let mapped = format!("{bind}:idmap");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    shell(
        &sandbox,
        &["--userns", "auto", "--user", "33:33", "-v", &mapped],
        "touch /d/mine; stat -c %u:%g /d/mine /d/root",
    )
    .ok()
    .prints("33:33\n33:33\n");
    assert_eq!(owner("mine"), (0, 0));
    shell(&sandbox, &["--userns", "auto", "-v", &format!("{bind}:ro")], "touch /d/x").fails(1);
    // What the kernel makes up has no owners to map.
    shell(&sandbox, &["--userns", "auto", "-v", "/proc/version:/version"], "grep -c Linux /version")
        .ok()
        .prints("1\n");
}

#[test]
fn what_the_host_has_mounted_below_a_directory_comes_along() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().join("nested");
    fs::create_dir_all(directory.join("below")).unwrap();
    let script = format!(
        "mount -t tmpfs tmpfs {0}/below && echo below > {0}/below/file && \
         for bind in '' ,bind-recursive=disabled; do \
         $SAMPAN run --rm --userns auto --mount type=bind,src={0},dst=/n$bind busybox sh -c 'stat -c %u /n/below/*'; done",
        directory.display()
    );
    let mut command = sandbox.program_named("/usr/bin/unshare".as_ref());
    command.args(["--mount", "/bin/sh", "-c", &script]).env("SAMPAN", crate::PROGRAM);
    let outcome = sandbox.start(command).finish();
    assert_eq!(outcome.stdout, "0\n", "{outcome}");
}

#[test]
fn volumes_keep_owners_between_containers_with_other_numbers() {
    let Some(sandbox) = sandbox() else { return };
    idle_alone(&sandbox, "in-the-way");
    let volume = ["-v", "data:/etc"];
    let new = [&["--userns", "auto:size=70"], &volume[..]].concat();
    shell(&sandbox, &new, "stat -c %u:%g /etc/passwd; touch /etc/x; chown 69:7 /etc/x").ok().prints("0:0\n");
    sandbox.sampan(["rm", "--force", "in-the-way"]).ok();
    for users in ["auto", "host"] {
        let options = [&["--userns", users], &volume[..]].concat();
        shell(&sandbox, &options, "stat -c %u:%g /etc/passwd /etc/x").ok().prints("0:0\n69:7\n");
    }
    let x = fs::metadata(sandbox.root().join("volumes/data/_data/x")).unwrap();
    assert_eq!((x.uid(), x.gid()), (69, 7));
}

#[test]
fn layers_of_images_and_memory_are_mounted_too() {
    let Some(sandbox) = sandbox() else { return };
    let options = [
        "--userns",
        "auto",
        "--mount",
        "type=image,src=busybox,dst=/image",
        "--tmpfs",
        "/memory:uid=7,mode=700",
        "--shm-size",
        "1m",
    ];
    let script =
        "stat -c %u /image/bin/sh /memory; touch /dev/shm/x && df -k /dev/shm | tail -1 | awk '{print $2}'";
    shell(&sandbox, &options, script).ok().prints("0\n7\n1024\n");
}

#[test]
fn files_are_copied_in_and_out_while_it_runs_and_after() {
    let Some(sandbox) = sandbox() else { return };
    let file = sandbox.file("file", "of the host\n");
    chown(&file, Some(5), Some(6)).unwrap();
    idle(&sandbox, &["--name", "one", "--userns", "auto", "-v", "data:/data"]);
    let owners = |path: &str| {
        let mut command = sandbox.shell(&format!("$SAMPAN cp one:{path} - | tar -tv --numeric-owner"));
        command.env("TZ", "UTC");
        let listed = sandbox.start(command).finish().ok().stdout;
        listed.split_whitespace().nth(1).unwrap().to_owned()
    };
    for place in ["/running", "/data/running"] {
        sandbox.sampan(["cp", "--archive", &file, &format!("one:{place}")]).ok();
        sandbox.sampan(["exec", "one", "stat", "-c", "%u:%g", place]).ok().prints("5:6\n");
        assert_eq!(owners(place), "5/6");
    }
    let exported = sandbox.shell("$SAMPAN export one | tar -tv --numeric-owner running etc/passwd");
    sandbox.start(exported).finish().ok().says(" 5/6 ").says(" 0/0 ");
    sandbox.sampan(["stop", "--time", "0", "one"]).ok();
    sandbox.sampan(["cp", "--archive", &file, "one:/stopped"]).ok();
    assert_eq!((owners("/running"), owners("/stopped")), ("5/6".to_owned(), "5/6".to_owned()));
    sandbox.sampan(["start", "one"]).ok();
    sandbox.sampan(["exec", "one", "stat", "-c", "%u:%g", "/stopped"]).ok().prints("5:6\n");
    // A number that the container does not have.
    chown(&file, Some(70_000), Some(6)).unwrap();
    sandbox.sampan(["cp", "--archive", &file, "one:/x"]).fails(1).complains("70000 is no number");
}

#[test]
fn a_process_that_joins_is_in_the_namespace() {
    let Some(sandbox) = sandbox() else { return };
    idle_alone(&sandbox, "one");
    let theirs = fs::read_link(format!("/proc/{}/ns/user", pid(&sandbox, "one"))).unwrap();
    sandbox
        .sampan(["exec", "one", "readlink", "/proc/self/ns/user"])
        .ok()
        .prints(&format!("{}\n", theirs.display()));
    sandbox.sampan(["exec", "--user", "7:8", "one", "id"]).ok().prints("uid=7 gid=8 groups=8\n");
    sandbox.on_terminal(["exec", "-it", "one", "tty"]).finish().ok().says("/dev/pts/0");
    let capabilities = ["exec", "one", "grep", "^CapEff", "/proc/self/status"];
    sandbox.sampan(capabilities).ok().prints("CapEff:\t00000000a80425fb\n");
}

#[test]
fn a_container_that_joins_another_has_its_user_namespace() {
    let Some(sandbox) = sandbox() else { return };
    let one = ["--name", "one", "--userns", "auto", "--ipc", "shareable"];
    background(&sandbox, &one, "echo shared > /dev/shm/file; exec tail -f /dev/null");
    let theirs = fs::read_link(format!("/proc/{}/ns/user", pid(&sandbox, "one"))).unwrap();
    let script = "readlink /proc/self/ns/user; touch /x && stat -c %u /x /bin/sh";
    let expected = format!("{}\n0\n0\n", theirs.display());
    for joined in [["--pid", "container:one"], ["--network", "container:one"], ["--ipc", "container:one"]] {
        shell(&sandbox, &joined, script).ok().prints(&expected);
    }
    shell(&sandbox, &["--pid", "container:one"], "ps | grep -c 'tail -[f]'").ok().prints("1\n");
    shell(&sandbox, &["--ipc", "container:one"], "cat /dev/shm/file").ok().prints("shared\n");
    shell(&sandbox, &["--network", "container:one", "--pid", "container:one"], "ip addr | grep -c eth0").ok();
    idle(&sandbox, &["--name", "hosts"]);
    let both = ["--network", "container:one", "--pid", "container:hosts"];
    shell(&sandbox, &both, "true").fails(125).complains("different user namespaces");
    shell(&sandbox, &["--userns", "auto", "--pid", "container:one"], "true")
        .fails(125)
        .complains("has the user namespace of that one");
    // One that is told to be the host's is, and sees the other's processes all the same.
    shell(&sandbox, &["--userns", "host", "--pid", "container:one"], "ps | grep -c 'tail -[f]'")
        .ok()
        .prints("1\n");
    sandbox.sampan(["rm", "--force", "one", "hosts"]).ok();
    sandbox.is_clean();
}

#[test]
fn settings_devices_limits_and_masks_are_as_without() {
    let Some(sandbox) = sandbox() else { return };
    let options = [
        "--userns",
        "auto",
        "--device",
        "/dev/zero:/dev/mine:r",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--sysctl",
        "kernel.msgmax=4096",
        "--ulimit",
        "nofile=100:200",
        "--hostname",
        "named",
        "--oom-score-adj",
        "7",
    ];
    let script = "stat -c '%u:%g %t,%T' /dev/mine; head -c 2 /dev/mine | wc -c; echo > /dev/null; cat /proc/sys/net/ipv4/ip_forward \
                  /proc/sys/kernel/msgmax /proc/self/oom_score_adj; ulimit -n; ulimit -Hn; hostname";
    shell(&sandbox, &options, script).ok().prints("0:0 1,5\n2\n1\n4096\n7\n100\n200\nnamed\n");
    let hidden = "for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do [ -e $file ] && head -c 1 $file; done; \
                  ls -A /sys/firmware; for file in /proc/sys/kernel/msgmax /proc/sysrq-trigger; do echo 1 > $file && echo written; done; true";
    shell(&sandbox, &["--userns", "auto"], hidden).ok().prints("");
    shell(&sandbox, &["--userns", "auto", "--read-only"], "touch /x").fails(1).complains("Read-only");
    // Nothing of the host shows through.
    let points = "cut -d' ' -f5 /proc/self/mountinfo | grep -vE '^/($|proc|dev|sys|etc)'";
    shell(&sandbox, &["--userns", "auto"], points).fails(1).prints("");
    shell(&sandbox, &["--userns", "auto"], "ls -A /.. | grep -c '^proc$'; ls /proc/self/fd | wc -l")
        .ok()
        .prints("1\n4\n");
    shell(&sandbox, &["--userns", "auto"], "unshare -m true").fails(1).complains("Operation not permitted");
}

#[test]
fn ports_names_and_health_are_as_without() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "net"]).ok();
    let id = background(
        &sandbox,
        &[
            "--userns",
            "auto",
            "--network",
            "net",
            "--name",
            "web",
            "-p",
            "8080:80",
            "--health-cmd",
            "test -e /srv/name",
            "--health-interval",
            "100ms",
        ],
        SERVER,
    );
    sandbox.wait_for_log("web", "ready");
    assert!(sandbox.ask("127.0.0.1:8080", NAME).unwrap().ends_with(&format!("{}\n", &id[..12])));
    shell(&sandbox, &["--userns", "auto", "--network", "net"], "wget -qO- http://web/name")
        .ok()
        .prints(&format!("{}\n", &id[..12]));
    sandbox.start_sampan(["events", "--since", "0", "--filter", "event=health_status"]).wait_for("healthy");
    sandbox.sampan(["top", "web"]).ok().says("httpd");
}

#[test]
fn what_does_not_go_with_a_user_namespace_is_refused() {
    let Some(sandbox) = sandbox() else { return };
    let refused = |options: &[&str], why: &str| {
        let arguments = [&["run", "--userns", "auto"], options, &["busybox", "true"]].concat();
        sandbox.sampan(arguments).fails(125).complains(why).complains("hint: ");
    };
    refused(&["--privileged"], "privileged mode is incompatible with user namespaces.");
    refused(
        &["--network", "host"],
        "cannot share the host's network namespace when user namespaces are enabled",
    );
    refused(&["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled");
    for (mode, why) in [
        ("nosuch", "--userns: invalid USER mode"),
        ("auto:size=0", "invalid size 0"),
        ("auto:x=1", "unknown option of auto: x=1"),
        ("keep-id", "ordinary user"),
    ] {
        sandbox.sampan(["run", "--userns", mode, "busybox", "true"]).fails(125).complains(why);
    }
    sandbox.is_clean();
}

#[test]
fn a_setting_makes_it_the_default() {
    let Some(sandbox) = sandbox() else { return };
    let with = |settings: &str, arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("SAMPAN_SETTINGS", sandbox.file("settings.json", settings));
        sandbox.start(command).finish()
    };
    let auto = r#"{"userns": "auto"}"#;
    let run = |options: &[&str]| {
        with(
            auto,
            &[&["run", "--rm"], options, &["busybox", "awk", "{print $3}", "/proc/self/uid_map"]].concat(),
        )
    };
    run(&[]).ok().prints("65536\n");
    run(&["--userns", "host"]).ok().prints("4294967295\n");
    run(&["--privileged"]).fails(125).complains("privileged mode is incompatible");
    run(&["--privileged", "--userns", "host"]).ok().prints("4294967295\n");
    let dockerfile = "FROM busybox\nRUN awk '{print $3}' /proc/self/uid_map > /count && chown 7:8 /count\n\
                      RUN --mount=type=cache,target=/cache --mount=type=bind,from=busybox,target=/b \
                      --mount=type=secret,id=s,uid=9,target=/s touch /cache/x && stat -c %u:%g /b/bin/sh /s /cache/x > /owners\n";
    fs::create_dir(sandbox.directory().join("context")).unwrap();
    sandbox.file("context/Dockerfile", dockerfile);
    let secret = format!("id=s,src={}", sandbox.file("secret", "x"));
    let context = sandbox.directory().join("context").display().to_string();
    with(auto, &["build", "--secret", &secret, "-t", "made", &context]).ok();
    sandbox
        .sampan(["run", "--rm", "made", "sh", "-c", "cat /count /owners; stat -c %u:%g /count"])
        .ok()
        .prints("65536\n0:0\n9:0\n0:0\n7:8\n");
    with(r#"{"usrns": "auto"}"#, &["create", "busybox"]).fails(1).complains("unknown field `usrns`");
    with(r#"{"userns": "x"}"#, &["create", "busybox"]).fails(1).complains("userns: invalid USER mode");
}

#[test]
fn the_numbers_are_those_of_the_user_containers_where_it_has_some() {
    let Some(sandbox) = sandbox() else { return };
    let run = |script: &str| {
        // A /etc of its own: what the host has there is not for tests to change.
        let text = format!(
            "mount -t overlay -o lowerdir={0}/lower:/etc none /etc && {script}",
            sandbox.directory().display()
        );
        let mut command: Command = sandbox.program_named("/usr/bin/unshare".as_ref());
        command.args(["--mount", "/bin/sh", "-c", &text]).env("SAMPAN", crate::PROGRAM);
        sandbox.start(command).finish()
    };
    fs::create_dir(sandbox.directory().join("lower")).unwrap();
    sandbox.file("lower/subuid", "containers:3000000000:1500\n");
    sandbox.file("lower/subgid", "containers:2999999000:3000\n");
    let all = "$SAMPAN run --rm --userns auto:size=1000 busybox cat /proc/self/uid_map /proc/self/gid_map";
    let map: Vec<String> = run(all).ok().stdout.split_whitespace().map(str::to_owned).collect();
    assert_eq!(map, ["0", "3000000000", "1000", "0", "3000000000", "1000"]);
    run("$SAMPAN run --rm --userns auto busybox true")
        .fails(125)
        .complains("no 65536 user numbers left")
        .complains("hint: ");
    let second = "$SAMPAN run -d --name one --userns auto:size=1000 busybox tail -f /dev/null > /dev/null; \
                  $SAMPAN run --rm --userns auto:size=501 busybox true; \
                  $SAMPAN run --rm --userns auto:size=500 busybox cat /proc/self/uid_map";
    run(second).ok().complains("no 501 user numbers left").says("3000001000");
}
