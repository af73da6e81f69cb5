//! Software that nobody here wrote: other registries for our client, other clients for our registry, archives both ways.
//!
//! Each test needs programs that may not be installed, and says so where it skips.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use testkit::{Outcome, Process, Registry, Sandbox, eventually};

use crate::{
    PROGRAM,
    login::{guarded_with_tls, login},
    push::image,
    sandbox,
};

#[test]
fn another_registry_takes_what_we_push_and_gives_it_back() {
    let Some(program) = installed("docker-registry") else { return };
    let Some(sandbox) = sandbox() else { return };
    let address = free_address(&sandbox);
    let settings = format!(
        "version: 0.1\nlog: {{ level: error }}\nhttp: {{ addr: '{address}' }}\n\
         storage: {{ filesystem: {{ rootdirectory: {} }}, delete: {{ enabled: true }} }}\n",
        sandbox.directory().join("theirs").display()
    );
    let settings = sandbox.file("registry.yml", settings);
    let mut command = sandbox.program_named(&program);
    command.args(["serve", &settings]);
    let _server = serve(&sandbox, command, address);

    let name = image(&sandbox, &address.to_string(), "me/hello:1");
    let pushed = sandbox.sampan(["push", &name]).ok();
    assert_eq!(pushed.stdout.matches(": Pushed\n").count(), 2, "{pushed}");
    let again = sandbox.sampan(["push", &name]).ok();
    assert_eq!(again.stdout.matches(": Layer already exists\n").count(), 2, "{again}");
    let other = format!("{address}/other:1");
    sandbox.sampan(["tag", &name, &other]).ok();
    let mounted = sandbox.sampan(["push", &other]).ok();
    assert_eq!(mounted.stdout.matches(": Mounted from me/hello\n").count(), 2, "{mounted}");
    sandbox.sampan(["rmi", &name, &other]).ok();
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
    sandbox
        .sampan(["search", "--format", "{{.Name}}", &format!("{address}/o")])
        .ok()
        .prints("me/hello\nother\n");

    let ours = Registry::start(&sandbox, &[]);
    let (there, back) = (format!("{}/copied:1", ours.host()), format!("{address}/back:1"));
    sandbox.sampan(["copy", &name, &there]).ok();
    sandbox.sampan(["copy", &there, &back]).ok();
    sandbox.sampan(["run", "--rm", &back]).ok().prints("7\n");
    sandbox
        .sampan(["pull", &format!("{name}9")])
        .fails(1)
        .complains(&format!("manifest for {name}9 not found: manifest unknown"));
}

#[test]
fn skopeo_pushes_to_our_registry_and_reads_it() {
    if installed("skopeo").is_none() {
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &["--delete"]);
    let host = registry.host();
    sandbox.sampan(["save", "-o", &path(&sandbox, "busybox.tar"), "busybox"]).ok();
    let plain = "--src-tls-verify=false --dest-tls-verify=false";
    skopeo(&sandbox, &format!("copy {plain} docker-archive:busybox.tar docker://{host}/a/busybox:1"));
    for (to, options) in [
        ("mounted", ""),
        ("schema2", "--format v2s2"),
        ("oci", "--format oci"),
        ("zstd", "--format oci --dest-compress-format zstd --dest-compress"),
    ] {
        skopeo(
            &sandbox,
            &format!("copy {plain} {options} docker://{host}/a/busybox:1 docker://{host}/{to}/busybox:1"),
        );
        let name = format!("{host}/{to}/busybox:1");
        sandbox.sampan(["run", "--rm", &name, "echo", "runs"]).ok().prints("runs\n");
    }
    let digest = skopeo(&sandbox, &format!("inspect --tls-verify=false docker://{host}/a/busybox:1"));
    assert!(digest.stdout.contains("\"Digest\": \"sha256:"), "{digest}");
    skopeo(&sandbox, &format!("list-tags --tls-verify=false docker://{host}/a/busybox")).says("\"1\"");
    skopeo(&sandbox, &format!("delete --tls-verify=false docker://{host}/schema2/busybox:1"));
    sandbox.sampan(["manifest", "inspect", &format!("{host}/schema2/busybox:1")]).fails(1);
}

#[test]
fn skopeo_logs_in_over_tls() {
    if installed("skopeo").is_none() {
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    let registry = guarded_with_tls(&sandbox);
    let host = registry.host();
    let trusted = sandbox.configuration().join("certs.d").join(&host);
    std::fs::create_dir_all(&trusted).unwrap();
    std::fs::copy(registry.authority(), trusted.join("ca.crt")).unwrap();
    let trusted = trusted.display();
    login(&sandbox, &host, "secret").ok();
    let name = image(&sandbox, &host, "hello:1");
    sandbox.sampan(["push", &name]).ok();
    skopeo(&sandbox, &format!("inspect --cert-dir {trusted} --creds me:secret docker://{name}"));
    skopeo(
        &sandbox,
        &format!(
            "copy --src-cert-dir {trusted} --src-creds me:secret docker://{name} oci-archive:back.tar:back:1"
        ),
    );
    sandbox.sampan(["load", "-i", &path(&sandbox, "back.tar")]).ok();
    sandbox.sampan(["run", "--rm", "back:1"]).ok().prints("7\n");
    let wrong = format!("skopeo inspect --cert-dir {trusted} --creds me:wrong docker://{name}");
    run(&sandbox, &wrong).fails(1).complains("unauthorized");
}

#[test]
fn archives_of_skopeo_load_and_ours_are_read_by_it() {
    if installed("skopeo").is_none() {
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    let name = image(&sandbox, "localhost", "hello:1");
    sandbox.sampan(["save", "-o", &path(&sandbox, "ours.tar"), &name]).ok();
    skopeo(&sandbox, "inspect docker-archive:ours.tar");
    for (to, options) in [
        ("docker-archive:theirs.tar:localhost/theirs:1", ""),
        ("oci-archive:theirs.tar:localhost/theirs:1", ""),
        ("oci-archive:theirs.tar:localhost/theirs:1", "--dest-compress-format zstd --dest-compress"),
        ("oci:theirs:localhost/theirs:1", "--dest-decompress"),
    ] {
        skopeo(&sandbox, &format!("copy {options} oci-archive:ours.tar {to}"));
        run(&sandbox, "test -f theirs.tar || tar -C theirs -cf theirs.tar .").ok();
        sandbox.sampan(["load", "-i", &path(&sandbox, "theirs.tar")]).ok().says("localhost/theirs:1");
        sandbox.sampan(["run", "--rm", "localhost/theirs:1"]).ok().prints("7\n");
        sandbox.sampan(["image", "verify"]).ok();
        sandbox.sampan(["rmi", "localhost/theirs:1"]).ok();
        run(&sandbox, "rm -r theirs.tar").ok();
    }
    // The store itself is a layout that names what it has.
    let registry = Registry::start(&sandbox, &[]);
    let pushed = format!("{}/hello:1", registry.host());
    sandbox.sampan(["tag", &name, &pushed]).ok();
    sandbox.sampan(["push", &pushed]).ok();
    sandbox.sampan(["rmi", &pushed, &name]).ok();
    sandbox.sampan(["pull", &pushed]).ok();
    skopeo(&sandbox, &format!("inspect oci:{}:{pushed}", sandbox.root().display()));
}

#[test]
fn podman_takes_images_from_us_and_gives_us_its_own() {
    if installed("podman").is_none() {
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello:1");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["save", "-o", &path(&sandbox, "ours.tar"), &name]).ok();
    sandbox.file("policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    let podman = |command: &str| {
        let places = "--root $PWD/podman --runroot $PWD/podman-run --tmpdir $PWD/podman-tmp";
        let managers = "--storage-driver vfs --cgroup-manager cgroupfs";
        run(&sandbox, &format!("podman {places} {managers} {command}")).ok()
    };
    let trust = "--signature-policy policy.json --tls-verify=false";
    podman(&format!("pull {trust} {name}"));
    let there = format!("{}/podman/hello", registry.host());
    podman(&format!("push {trust} {name} docker://{there}:gzip"));
    podman(&format!("push {trust} --compression-format zstd {name} docker://{there}:zstd"));
    for tag in ["gzip", "zstd"] {
        sandbox.sampan(["run", "--rm", &format!("{there}:{tag}")]).ok().prints("7\n");
    }
    for format in ["docker-archive", "oci-archive"] {
        podman(&format!("save --format {format} -o {format}.tar {name}"));
        sandbox.sampan(["rmi", "-f", &name]).ok();
        sandbox.sampan(["load", "-i", &path(&sandbox, &format!("{format}.tar"))]).ok();
        sandbox.sampan(["run", "--rm", "--pull", "never", &name]).ok().prints("7\n");
    }
    podman("rmi --all --force");
    podman("load --signature-policy policy.json -i ours.tar").says(&name);
    podman(&format!("image inspect {name} --format {{{{.Config.Cmd}}}}")).says("[cat /data/7]");
}

#[test]
fn docker_runs_containers_with_our_runtime() {
    if installed("dockerd").is_none() || installed("docker").is_none() || installed("containerd").is_none() {
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    std::os::unix::fs::symlink(PROGRAM, sandbox.directory().join("sampan-runtime")).unwrap();
    sandbox.sampan(["save", "-o", &path(&sandbox, "busybox.tar"), "busybox"]).ok();
    // The daemon, its sockets and whatever it mounts are in namespaces that end with the script.
    let stage = format!(
        r#"
        mount -t tmpfs tmpfs /run && mkdir /run/docker
        export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$PWD/config
        dockerd --host $DOCKER_HOST --pidfile /run/docker.pid --exec-root /run/docker --data-root $PWD/docker \
            --storage-driver vfs --iptables=false --ip6tables=false --bridge=none --cgroup-parent /{} \
            --add-runtime sampan=$PWD/sampan-runtime --default-runtime sampan >dockerd.log 2>&1 &
        until docker version >/dev/null 2>&1; do
            sleep 0.1; kill -0 $! || {{ cat dockerd.log >&2; exit 1; }}
        done
        docker load --quiet -i busybox.tar >/dev/null
        set -x
        docker run --rm busybox echo hello
        docker run --rm busybox sh -c 'exit 7' || echo code $?
        docker run --rm busybox nope || echo code $?
        echo input | docker run -i --rm busybox cat
        docker run --rm --user 7:8 --workdir /new --env A=b --hostname name --read-only --tmpfs /scratch busybox \
            sh -c 'echo $(id -u):$(id -g) $PWD $A $(hostname); touch /x 2>&1; touch /scratch/x && echo writable'
        docker run --rm --memory 64m --pids-limit 99 --cap-drop ALL --security-opt no-new-privileges busybox \
            sh -c 'cat /sys/fs/cgroup/memory*/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; grep -E "CapEff|NoNew|Seccomp:" /proc/self/status'
        docker run -d --name idle busybox sh -c 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
        until docker logs idle | grep ready; do sleep 0.1; done
        docker exec --env B=c --user 5 idle sh -c 'echo exec $(id -u) $B; exit 9' || echo code $?
        docker exec idle nope || echo not there
        docker top idle -o pid,args | grep -c trap
        docker pause idle && docker inspect --format '{{{{.State.Status}}}}' idle && docker unpause idle
        docker update --pids-limit 77 idle
        docker stop idle; docker logs idle; docker inspect --format '{{{{.State.ExitCode}}}}' idle
        docker start idle && docker kill idle && docker wait idle
        docker rm -f idle
        script -qec "docker run -it --rm busybox sh -c 'tty; stty size'" /dev/null </dev/null
        docker run --rm --privileged --pid host --ipc host --uts host busybox sh -c 'ls /dev/loop-control; echo privileged'
        docker run --rm -v $PWD/config:/mnt:ro busybox sh -c 'touch /mnt/x 2>&1 | grep -o Read-only'
        docker run --rm --init --oom-score-adj 200 --ulimit nofile=99:199 --shm-size 1m --sysctl kernel.msgmax=4000 busybox \
            sh -c 'cat /proc/self/oom_score_adj; ulimit -n; cat /proc/sys/kernel/msgmax'
        "#,
        sandbox.cgroup()
    );
    let mut command = sandbox.program_named(Path::new("unshare"));
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", &stage]);
    command.env("HOME", sandbox.directory()).env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.current_dir(sandbox.directory());
    let ran = sandbox.start(command).finish();
    for expected in [
        "hello\n",
        "code 7\n",
        "code 127\n",
        "input\n",
        "7:8 /new b name\n",
        "writable\n",
        "Read-only file system",
        "67108864\n",
        "CapEff:\t0000000000000000\n",
        "NoNewPrivs:\t1\n",
        "Seccomp:\t2\n",
        "ready\n",
        "exec 5 c\ncode 9\n",
        "not there\n1\n",
        "paused\n",
        "bye\n3\n",
        "137\n",
        "/dev/pts/0\r\n",
        "/dev/loop-control\nprivileged\n",
        "Read-only\n200\n99\n4000\n",
    ] {
        assert!(ran.stdout.contains(expected), "{expected:?}\n{ran}");
    }
    assert!(ran.stderr.contains("executable file not found in $PATH"), "{ran}");
}

#[test]
fn podman_runs_containers_with_our_runtime() {
    if installed("podman").is_none() || installed("conmon").is_none() {
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    std::os::unix::fs::symlink(PROGRAM, sandbox.directory().join("sampan-runtime")).unwrap();
    sandbox.sampan(["save", "-o", &path(&sandbox, "busybox.tar"), "busybox"]).ok();
    sandbox.file("policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    let podman = |command: &str| {
        let places = "--root $PWD/podman --runroot $PWD/podman-run --tmpdir $PWD/podman-tmp";
        let managers = "--storage-driver vfs --cgroup-manager cgroupfs --events-backend none --runtime $PWD/sampan-runtime";
        run(&sandbox, &format!("podman {places} {managers} {command}"))
    };
    let usual = format!("--network none --cgroup-parent /{} --log-driver k8s-file", sandbox.cgroup());
    podman("load --signature-policy policy.json -i busybox.tar").ok();
    podman(&format!("run --rm {usual} busybox echo hello")).ok().prints("hello\n");
    podman(&format!("run --rm {usual} busybox sh -c 'exit 7'")).fails(7);
    podman(&format!("run --rm {usual} busybox nope")).fails(127);
    podman(&format!("run -d --name idle {usual} busybox tail -f /dev/null")).ok();
    podman("exec --user 5 idle id -u").ok().prints("5\n");
    podman("exec idle sh -c 'exit 9'").fails(9);
    podman("pause idle").ok();
    podman("inspect --format {{.State.Status}} idle").ok().prints("paused\n");
    podman("unpause idle").ok();
    podman("top idle args").ok().says("tail -f /dev/null");
    podman("kill idle").ok();
    podman("wait idle").ok().prints("137\n");
    podman("rm --force idle").ok();
    podman("rmi --all --force").ok();
    // Podman leaves the cgroup that its monitors were in.
    let parent = sandbox.cgroup();
    let theirs = format!("/sys/fs/cgroup/{parent}/conmon /sys/fs/cgroup/*/{parent}/conmon");
    run(&sandbox, &format!("for group in {theirs}; do rmdir $group; done 2>/dev/null; true")).ok();
}

#[test]
fn registries_share_a_bucket() {
    let Some(program) = installed("moto_server") else { return };
    let Some(sandbox) = sandbox() else { return };
    let address = free_address(&sandbox);
    let port = address.port().to_string();
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port]);
    let _server = serve(&sandbox, command, address);
    let request = "PUT /images HTTP/1.0\r\nHost: bucket\r\nContent-Length: 0\r\nAuthorization: AWS4-HMAC-SHA256 \
                   Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\r\n";
    assert!(sandbox.ask(&address.to_string(), request).unwrap().contains(" 200 "));
    let endpoint = format!("http://{address}");
    let settings = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &endpoint),
    ];
    let bucket = ["--storage", "s3://images/all", "--delete", "--gc-grace", "0"];
    let operated = free_address(&sandbox).to_string();
    let first =
        Registry::start_in(&sandbox, &[&bucket, &["--metrics-listen", &operated][..]].concat(), &settings);
    let second = Registry::start_in(&sandbox, &[&bucket, &["--gc-interval", "0"][..]].concat(), &settings);

    let name = image(&sandbox, &first.host(), "hello:1");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["rmi", &name]).ok();
    let there = format!("{}/hello:1", second.host());
    sandbox.sampan(["run", "--rm", &there]).ok().prints("7\n");

    // A session that is begun at one goes on at the other.
    let upload = |registry: &Registry<'_>, method: &str, path: &str, body: &str| {
        let head = format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        sandbox.ask(&registry.host(), &(head + body)).unwrap()
    };
    let begun = upload(&first, "POST", "/v2/parts/blobs/uploads/", "");
    let place = begun.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(upload(&second, "PATCH", place, "half ").contains(" 202 "));
    let digest = types::Digest::of(b"half and half");
    let ended = upload(&first, "PUT", &format!("{place}?digest={digest}"), "and half");
    assert!(ended.contains(" 201 "), "{ended}");
    let blob = upload(&second, "GET", &format!("/v2/parts/blobs/{digest}"), "");
    assert!(blob.ends_with("\r\n\r\nhalf and half"), "{blob}");

    // What one deletes the other collects, and nothing else.
    assert!(upload(&second, "DELETE", &format!("/v2/parts/blobs/{digest}"), "").contains(" 202 "));
    let collected = sandbox.ask(&operated, "POST /_sampan/gc HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(collected.contains("\"blobs\":1,\"bytes\":13,"), "{collected}");
    sandbox.sampan(["rmi", "-f", &there]).ok();
    sandbox.sampan(["run", "--rm", &there]).ok().prints("7\n");
}

/// Runs skopeo in the sandbox's directory.
#[track_caller]
fn skopeo(sandbox: &Sandbox, command: &str) -> Outcome {
    run(sandbox, &format!("skopeo --insecure-policy {command}")).ok()
}

/// Runs a shell command in the sandbox's directory, which is where it finds whatever else it wants.
#[track_caller]
fn run(sandbox: &Sandbox, script: &str) -> Outcome {
    let mut command = sandbox.shell(script);
    for variable in ["HOME", "TMPDIR", "XDG_RUNTIME_DIR"] {
        command.env(variable, sandbox.directory());
    }
    // Podman insists on a file there.
    command.env_remove("DOCKER_CONFIG").current_dir(sandbox.directory());
    sandbox.start(command).finish()
}

/// Starts a server on the sandbox's network, and waits until it listens. It is killed when dropped.
#[track_caller]
fn serve(sandbox: &Sandbox, command: Command, address: SocketAddr) -> Process {
    let server = sandbox.start(command);
    eventually("a server listens", || sandbox.connect(&address.to_string()));
    server
}

fn free_address(sandbox: &Sandbox) -> SocketAddr {
    let listener = sandbox.within(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    listener.and_then(|listener| listener.local_addr()).unwrap()
}

fn path(sandbox: &Sandbox, name: &str) -> String {
    sandbox.directory().join(name).to_str().unwrap().to_owned()
}

/// Where a program is; none, and why nothing is tested, where it is not installed.
fn installed(program: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    let found =
        path.split(':').map(|directory| Path::new(directory).join(program)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: this machine lacks {program}");
    }
    found
}
