//! What is said of builds to be the same: `build --verify`, and that they are the same wherever they are made.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    time::{Duration, SystemTime},
};

use testkit::Sandbox;

use crate::{PROGRAM, sandbox};

/// A context with this Dockerfile and a file `a`; its path.
fn context(sandbox: &Sandbox, dockerfile: &str) -> String {
    let directory = sandbox.directory().join("context");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    fs::write(directory.join("a"), "a\n").unwrap();
    directory.to_str().unwrap().to_owned()
}

#[test]
fn steps_that_come_to_the_same_again_become_an_image() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(
        &sandbox,
        "FROM busybox AS one\nWORKDIR /app\nCOPY a /app/\nRUN --mount=type=cache,target=/c ls /c >/found && touch /c/x\n\
         FROM busybox\nCOPY --from=one /found /\n",
    );
    let build = || sandbox.sampan(["build", "--verify", "--progress", "plain", "-t", "app", &context]).ok();
    for outcome in [build(), build()] {
        for step in ["[verify one 2/4] WORKDIR /app", "[verify one 4/4] RUN", "[verify stage-1 2/2] COPY"] {
            assert!(outcome.stderr.contains(step), "{step}\n{outcome}");
        }
    }
    sandbox.sampan(["image", "inspect", "app"]).ok();
    sandbox.is_clean();
}

#[test]
fn a_step_that_comes_to_something_else_is_named_with_its_files() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(
        &sandbox,
        "FROM busybox\nRUN echo same >/same\nRUN head -c 8 /dev/urandom | md5sum >/random && touch /x-$(cat /random | cut -c1-8)\n\
         RUN cp /random /copy\n",
    );
    let build = |options: &[&str]| sandbox.sampan([&["build", "-t", "app", &context], options].concat());
    let outcome = build(&["--verify", "--progress", "plain"]).fails(1);
    for part in [
        " C /random (content)\n",
        "ERROR: not reproducible: 3 files differ\n",
        "   3 | >>> RUN head -c 8",
        "ERROR: failed to build: failed to solve: [3/4] RUN head",
        "came to something else when it was done again\nhint: ",
    ] {
        assert!(outcome.stderr.contains(part), "{part}\n{outcome}");
    }
    // Those below and above it came to the same on the same ground.
    assert!(!outcome.stderr.contains("/copy (") && !outcome.stderr.contains("/same ("), "{outcome}");
    sandbox.sampan(["images", "-q", "app"]).ok().prints("");
    // Who sees no progress is told the files at the end, and programs get JSON.
    build(&["--verify", "-q"]).fails(1).complains("C /random (content)\n");
    let json = build(&["--verify", "--progress", "rawjson"]).fails(1);
    json.complains("\"error\":\"not reproducible: 3 files differ\"");
    // The first time counts as a build like any other.
    let cached = build(&["--progress", "plain"]).ok();
    assert_eq!(cached.stderr.matches("CACHED").count(), 3, "{cached}");
    sandbox.is_clean();
}

/// How one machine is told from another.
struct Machine {
    directory: &'static str,
    owner: u32,
    mask: &'static str,
    zone: &'static str,
    /// When the sources were written, in days since 1970.
    day: u64,
    hostname: &'static str,
}

/// Puts the files of `from` into `to`, written that day, for that owner.
fn plant(from: &Path, to: &Path, machine: &Machine) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => plant(&from, &to, machine),
            false => drop(fs::copy(&from, &to).unwrap()),
        }
        dress(&to, machine);
    }
    dress(to, machine);
}

fn dress(path: &Path, machine: &Machine) {
    chown(path, Some(machine.owner), Some(machine.owner)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * machine.day);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// The ids of the images that these Dockerfiles come to on a machine of its own.
fn digests(sources: &Path, dockerfiles: &[&str], machine: &Machine) -> Option<Vec<String>> {
    let sandbox = sandbox()?;
    let place = sandbox.directory().join(machine.directory);
    plant(sources, &place, machine);
    let images = dockerfiles.iter().map(|file| {
        let script = format!(
            "umask {}; hostname {}; cd '{}' && exec \"$SAMPAN\" build -q -f {file} .",
            machine.mask,
            machine.hostname,
            place.display()
        );
        let mut command = std::process::Command::new("/usr/bin/unshare");
        let inner = sandbox.shell(&script);
        command.args(["--uts", "/bin/sh", "-c", &script]);
        for (name, value) in inner.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("TZ", machine.zone).env("LANG", machine.hostname).stdin(std::process::Stdio::null());
        sandbox.start(command).finish().ok().word().to_owned()
    });
    Some(images.collect())
}

/// The examples' own Dockerfiles, as far as they need no network: those that fetch libraries have the same shape in
/// `application`, with the fetching done by a file.
#[test]
fn a_build_comes_to_the_same_on_another_machine_on_another_day() {
    let here =
        Machine { directory: "here", owner: 0, mask: "022", zone: "UTC", day: 20_000, hostname: "first" };
    let there = Machine {
        directory: "some/where else",
        owner: 4711,
        mask: "077",
        zone: "Asia/Kathmandu",
        day: 12_345,
        hostname: "second",
    };
    let Some(origin) = Sandbox::empty(PROGRAM) else { return };
    let sources = origin.directory().join("sources");
    fs::create_dir(&sources).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/friendlyhello");
    for file in ["app.py", "requirements.txt", "README.md"] {
        fs::copy(example.join(file), sources.join(file)).unwrap();
    }
    let dockerfile = |from: &str| fs::read_to_string(example.join(from)).unwrap();
    // What pip would do with a network: files in new directories, owned by root, dated now.
    let install = "mkdir -p /usr/lib/python && cp requirements.txt /usr/lib/python/installed && date >/dev/null && \
                   ls -l /app | wc -l >/usr/lib/python/count";
    for (name, text) in
        [("Dockerfile", dockerfile("Dockerfile")), ("Dockerfile.python3", dockerfile("Dockerfile.python3"))]
    {
        let text = text.replace("python:2.7-slim", "busybox").replace("python:3-slim", "busybox");
        assert!(text.contains("pip install -r requirements.txt"), "{text}");
        let text = text.replace("pip install -r requirements.txt", install);
        fs::write(sources.join(name), text).unwrap();
    }
    // The twin's program is any program: the test needs no compiler.
    fs::copy("/bin/true", sources.join("friendlyhello")).unwrap();
    fs::set_permissions(sources.join("friendlyhello"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(sources.join("Dockerfile.rust"), dockerfile("rust/Dockerfile")).unwrap();
    let dockerfiles = ["Dockerfile", "Dockerfile.python3", "Dockerfile.rust"];
    let Some(first) = digests(&sources, &dockerfiles, &here) else { return };
    let second = digests(&sources, &dockerfiles, &there).expect("where there is one there are two");
    assert_eq!(first, second);
    assert!(first.iter().all(|id| id.starts_with("sha256:")), "{first:?}");
}
