//! The build cache: what it keeps, what it takes, and how it is let go of.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::{Outcome, Sandbox};

use crate::{
    PROGRAM,
    df::{disk, is_about},
    sandbox,
};

/// A directory of this name with a Dockerfile and a file; its path.
fn context(sandbox: &Sandbox, name: &str, dockerfile: &str) -> String {
    let directory = sandbox.directory().join(name);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    fs::write(directory.join("file"), "hello\n").unwrap();
    directory.to_str().unwrap().to_owned()
}

/// A context whose image has, besides busybox, this many bytes in a layer.
fn heavy(sandbox: &Sandbox, name: &str, bytes: usize) -> String {
    let path = context(sandbox, name, "FROM busybox\nCOPY heavy /\n");
    fs::write(sandbox.directory().join(name).join("heavy"), vec![name.as_bytes()[0]; bytes]).unwrap();
    path
}

#[track_caller]
fn build(sandbox: &Sandbox, context: &str) -> Outcome {
    sandbox.sampan(["build", "--progress", "plain", "-t", "app", context]).ok()
}

/// How often a build found a step's result.
fn hits(built: &Outcome) -> usize {
    built.stderr.matches("CACHED").count()
}

/// What a line of `du` or `prune` says after its name.
#[track_caller]
fn sum<'a>(said: &'a Outcome, name: &str) -> &'a str {
    let line = said.stdout.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{said}")).trim()
}

/// What takes disk of the store and of the cache.
fn taken(sandbox: &Sandbox) -> f64 {
    disk(sandbox, &["blobs", "layers", "compressed", "cache"])
}

#[test]
fn what_was_built_is_found_again_although_its_image_is_gone() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "a", "FROM busybox\nCOPY file /a\nRUN date +%N >/when\n");
    build(&sandbox, &context);
    let untagged = sandbox.sampan(["rmi", "app"]).ok();
    assert_eq!(untagged.stdout.matches("Deleted: ").count(), 1, "the image, no layer\n{untagged}");
    sandbox.sampan(["image", "prune", "-f"]).ok().prints("Total reclaimed space: 0B\n");
    assert_eq!(hits(&build(&sandbox, &context)), 2);
    // An image that loses its name to the next leaves its layers to the cache too.
    sandbox.file("a/file", "other\n");
    build(&sandbox, &context);
    sandbox.sampan(["image", "prune", "-f"]).ok().says("deleted: sha256:");
    sandbox.file("a/file", "hello\n");
    assert_eq!(hits(&build(&sandbox, &context)), 2);
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    assert_eq!(hits(&build(&sandbox, &context)), 0);
}

#[test]
fn du_says_what_the_disk_gives_back() {
    let Some(sandbox) = sandbox() else { return };
    let context = heavy(&sandbox, "a", 1_000_000);
    build(&sandbox, &context);
    let shared = sandbox.sampan(["buildx", "du"]).ok();
    assert!(is_about(sum(&shared, "Shared:"), 1_003_520.0 + 12_288.0), "{shared}");
    // Records of what an image needs give nothing back but themselves, and are for --all.
    let steps = ["builder", "prune", "-f", "--filter", "type=regular"];
    sandbox.sampan(steps).ok().prints("Total reclaimed space: 0B\n");
    sandbox.sampan(["rmi", "app"]).ok();
    let document = sandbox.sampan(["system", "df", "--format", "json"]).ok();
    let part = |line: usize| serde_json::from_str::<Value>(document.lines()[line]).unwrap();
    let said = sandbox.sampan(["builder", "du"]).ok();
    let before = taken(&sandbox);
    let pruned = sandbox.sampan(["builder", "prune", "-af"]).ok();
    let freed = before - taken(&sandbox);
    assert!(freed > 1_000_000.0);
    for told in [
        sum(&said, "Reclaimable:"),
        sum(&said, "Total:"),
        part(3)["Reclaimable"].as_str().unwrap(),
        sum(&pruned, "Total reclaimed space:"),
    ] {
        assert!(is_about(told, freed), "{told}, {freed}\n{document}\n{said}\n{pruned}");
    }
    // What images take does not depend on it.
    let after = sandbox.sampan(["system", "df", "--format", "json"]).ok();
    let images = serde_json::from_str::<Value>(after.lines()[0]).unwrap();
    assert_eq!(part(0)["Size"], images["Size"], "{document}\n{after}");
}

#[test]
fn a_changed_file_of_many_costs_what_changed() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "a", "FROM busybox\nCOPY many /many\n");
    for number in 0..200 {
        fs::create_dir_all(sandbox.directory().join(format!("a/many/{}", number / 20))).unwrap();
        sandbox.file(&format!("a/many/{}/{number}", number / 20), format!("{number} ").repeat(5000));
    }
    build(&sandbox, &context);
    let before = taken(&sandbox);
    sandbox.file("a/many/0/1", "changed\n");
    build(&sandbox, &context);
    assert!(taken(&sandbox) - before < 200_000.0, "and not 4 MB: {} after {before}", taken(&sandbox));

    // The image before goes; what its layer and the new one have in common stays.
    sandbox.sampan(["image", "prune", "-f"]).ok().says("deleted: sha256:");
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    let count = "find /many -type f | wc -l; cat /many/0/1; head -c 4 /many/9/199";
    let shows =
        |says: &str| drop(sandbox.sampan(["run", "--rm", "app", "sh", "-c", count]).ok().prints(says));
    shows("200\nchanged\n199 ");
    sandbox.sampan(["image", "verify"]).ok();
    let listed = sandbox.sampan(["system", "df", "--format", "{{.Size}}"]).ok();
    let store = ["blobs", "layers", "compressed", "partial", "leases", "index.json", "oci-layout"];
    assert!(is_about(listed.lines()[0], disk(&sandbox, &store)), "{listed}");

    // It leaves and comes back like any other.
    let archive = sandbox.directory().join("app.tar");
    let archive = archive.to_str().unwrap();
    sandbox.sampan(["save", "-o", archive, "app"]).ok();
    let (planned, before) = (sandbox.sampan(["rmi", "--dry-run", "app"]).ok(), taken(&sandbox));
    sandbox.sampan(["rmi", "--purge", "app"]).ok();
    let freed = before - taken(&sandbox);
    assert!(freed > 3_500_000.0 && is_about(sum(&planned, "Would free:"), freed), "{freed}: {planned}");
    sandbox.sampan(["load", "-i", archive]).ok();
    shows("200\nchanged\n199 ");
}

#[test]
fn listings_have_dockers_columns() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "a", "FROM busybox\nCOPY file /a\nRUN echo b >/b\n");
    (0..3).for_each(|_| drop(build(&sandbox, &context)));
    let listed = sandbox.sampan(["buildx", "du"]).ok();
    let lines = listed.lines();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["ID", "RECLAIMABLE", "SIZE", "LAST", "ACCESSED"]
    );
    assert!(
        lines[1..].iter().any(|line| line.contains("true          ") && line.ends_with(" ago")),
        "{listed}"
    );
    let steps = ["buildx", "du", "--filter", "type=regular"];
    let of_steps = |format: &str| sandbox.sampan([&steps[..], &["--format", format]].concat()).ok();
    of_steps("{{.UsageCount}} {{.Mutable}} {{.Shared}}").prints("3 false true\n3 false true\n");
    of_steps("{{.Description}}").says("COPY file /a\n").says("RUN echo b >/b\n");
    let json = of_steps("json");
    let entry: Value = serde_json::from_str(json.lines()[0]).unwrap();
    assert_eq!((&entry["Type"], &entry["Reclaimable"]), (&"regular".into(), &true.into()));
    let id = entry["ID"].as_str().unwrap();
    sandbox
        .sampan(["buildx", "du", "--verbose", "--filter", &format!("id={id}")])
        .ok()
        .says(&format!("ID:           {id}\nCreated at:   20"))
        .says("\nUsage count:  3\nLast used:    ")
        .says("\nType:         regular\n\n");
    let all = sandbox.sampan(["system", "df", "-v"]).ok();
    assert!(
        all.stdout.contains("CACHE ID       CACHE TYPE   SIZE      CREATED")
            && all.stdout.contains(&id[..12]),
        "{all}"
    );
    sandbox
        .sampan(["buildx", "du", "--filter", "x=y"])
        .ok()
        .prints("ID        RECLAIMABLE   SIZE      LAST ACCESSED\n");
    let wrong = sandbox.sampan(["buildx", "du", "--filter", "until=xx"]).fails(1);
    wrong.complains("\"until\" filter expects a duration (e.g., '24h')");
}

#[test]
fn pruning_asks_first_and_tells_what_went() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "a", "FROM busybox\nCOPY file /a\n");
    let answered = |answer: &str, arguments: &str| {
        sandbox.start(sandbox.shell(&format!("{answer} | $SAMPAN {arguments}"))).finish().ok()
    };
    let question = |what: &str| {
        format!("WARNING! This will remove all {what}build cache. Are you sure you want to continue? [y/N] ")
    };
    build(&sandbox, &context);
    sandbox.sampan(["rmi", "app"]).ok();
    answered("echo n", "builder prune").prints(&question("dangling "));
    answered("true", "builder prune --all").prints(&question(""));
    answered("echo n", "buildx prune").prints(&question("dangling "));
    let ids = sandbox.sampan(["buildx", "du", "--format", "{{.ID}}", "--filter", "type=regular"]).ok();
    let id = ids.word();
    let pruned = answered("echo y", "builder prune --filter type=regular");
    let expected =
        format!("{}Deleted build cache objects:\n{id}\n\nTotal reclaimed space: ", question("dangling "));
    assert!(pruned.stdout.starts_with(&expected), "{pruned}");
    build(&sandbox, &context);
    sandbox.sampan(["rmi", "app"]).ok();
    sandbox.sampan(["buildx", "prune", "-f", "--filter", "id=nosuch"]).ok().prints("Total:\t0B\n");
    let pruned = sandbox.sampan(["buildx", "prune", "-f", "--filter", &format!("id={id}")]).ok();
    let header = "ID\t\t\t\t\t\tRECLAIMABLE\tSIZE\t\tLAST ACCESSED\n";
    assert!(pruned.stdout.starts_with(&format!("{header}{id:<40}\ttrue \t\t")), "{pruned}");
    assert!(pruned.stdout.contains("\nTotal:\t"), "{pruned}");
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let Some(sandbox) = sandbox() else { return };
    let contexts = ["a", "b", "c"].map(|name| heavy(&sandbox, name, 1_000_000));
    contexts.iter().for_each(|context| drop(build(&sandbox, context)));
    build(&sandbox, &contexts[0]);
    sandbox.sampan(["rmi", "-f", "app"]).ok();
    sandbox.sampan(["image", "prune", "-f"]).ok();
    let kept = || contexts.each_ref().map(|context| hits(&build(&sandbox, context)));
    sandbox
        .sampan(["builder", "prune", "-f", "--keep-storage", "100m"])
        .ok()
        .prints("Total reclaimed space: 0B\n");
    sandbox.sampan(["builder", "prune", "-f", "--max-used-space", "1500k"]).ok();
    assert_eq!(kept(), [1, 0, 0]);
}

#[test]
fn the_cache_stays_within_its_budget_by_itself() {
    let Some(sandbox) = sandbox() else { return };
    let contexts = ["a", "b", "c"].map(|name| heavy(&sandbox, name, 1_000_000));
    for context in &contexts {
        // As if a minute had passed.
        fs::remove_file(sandbox.root().join("cache/bounded")).ok();
        let limits =
            "SAMPAN_CACHE_RESERVED_SPACE=0 SAMPAN_CACHE_MAX_USED_SPACE=1500k SAMPAN_CACHE_MIN_FREE_SPACE=0";
        let script = format!("{limits} $SAMPAN build -q -t app {context} && $SAMPAN rmi app");
        sandbox.start(sandbox.shell(&script)).finish().ok();
    }
    fs::remove_file(sandbox.root().join("cache/bounded")).ok();
    let script = format!("SAMPAN_CACHE_MAX_USED_SPACE=much $SAMPAN build --no-cache {}", contexts[2]);
    let wrong = sandbox.start(sandbox.shell(&script)).finish().ok();
    wrong.complains("SAMPAN_CACHE_MAX_USED_SPACE is \"much\", expected a size such as 20GB");
    assert_eq!(contexts.map(|context| hits(&build(&sandbox, &context))), [0, 1, 1]);
}

#[test]
fn what_somebody_uses_is_not_removed() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["images"]).ok();
    let mounts = ["used", "idle"].map(|name| sandbox.root().join("cache/mounts").join(name));
    for mount in &mounts {
        fs::create_dir_all(mount.join("tree")).unwrap();
        fs::write(mount.join("tree/file"), [b'x'; 50_000]).unwrap();
        fs::write(mount.join("about"), "cached mount /c\n").unwrap();
    }
    let lock = fs::File::open(&mounts[0]).unwrap();
    lock.lock_shared().unwrap();
    sandbox
        .sampan([
            "buildx",
            "du",
            "--filter",
            "type=exec.cachemount",
            "--format",
            "{{.ID}} {{.Reclaimable}} {{.Description}}",
        ])
        .ok()
        .prints("idle true cached mount /c\nused false cached mount /c\n");
    let pruned = sandbox.sampan(["builder", "prune", "-f"]).ok();
    assert!(pruned.stdout.starts_with("Deleted build cache objects:\nidle\n\n"), "{pruned}");
    assert!(is_about(sum(&pruned, "Total reclaimed space:"), 53_248.0 + 4096.0 + 8192.0), "{pruned}");
    assert!(mounts[0].join("tree/file").exists() && !mounts[1].exists());
}

#[test]
fn equal_steps_of_builds_at_once_run_once() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "a", "FROM busybox\nRUN sleep 1; date +%N >/when\n");
    let builds: Vec<_> = (0..4).map(|_| sandbox.start_sampan(["build", "-q", &context])).collect();
    let ids: Vec<String> = builds.into_iter().map(|build| build.finish().ok().word().to_owned()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn whoever_waits_for_a_build_that_is_killed_carries_the_step_out() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "a", "FROM busybox\nRUN echo begun; sleep 2; echo done\n");
    let command = format!("exec $SAMPAN build --progress plain {context} 2>&1");
    let mut first = sandbox.start(sandbox.shell(&command));
    first.wait_for("begun");
    let second = sandbox.start_sampan(["build", "--progress", "plain", &context]);
    let killed = first.kill_after(Duration::ZERO);
    let waited = second.finish();
    assert!(waited.code == 0 && waited.stderr.contains("done"), "{killed}\n{waited}");
    // Sweeps what the killed one left.
    sandbox.sampan(["ps"]).ok();
    sandbox.is_clean();
}

#[test]
fn builds_and_prunes_at_once_do_not_disturb_each_other() {
    let Some(sandbox) = sandbox() else { return };
    let contexts = ["a", "b"].map(|name| {
        context(
            &sandbox,
            name,
            &format!("FROM busybox\nCOPY file /{name}\nRUN cat /{name} >/copy\nCOPY file /last\n"),
        )
    });
    let script = |context: &str| {
        format!(
            "for i in 1 2 3 4 5 6; do echo $i >{context}/file; $SAMPAN build -q -t $(basename {context}) {context} || exit; done"
        )
    };
    let builds = contexts.each_ref().map(|context| sandbox.start(sandbox.shell(&script(context))));
    for _ in 0..10 {
        sandbox.sampan(["builder", "prune", "-af"]).ok();
        sandbox.sampan(["image", "prune", "-f"]).ok();
    }
    builds.into_iter().for_each(|build| drop(build.finish().ok()));
    for name in ["a", "b"] {
        sandbox.sampan(["run", "--rm", name, "cat", "/copy", "/last"]).ok().prints("6\n6\n");
    }
    sandbox.sampan(["image", "verify"]).ok();
    sandbox.is_clean();
}

#[test]
fn a_build_can_be_killed_at_any_instant() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "a", "FROM busybox\nCOPY file /a\nRUN cat /a >/b\nCOPY file /c\n");
    let command = ["build", "-q", "-t", "app", &context];
    let before = Instant::now();
    sandbox.sampan(command).ok();
    let usual = before.elapsed();
    let kills: u32 = env::var("SAMPAN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    for kill in 0..kills {
        sandbox.file("a/file", format!("{kill}\n"));
        let delay = usual.mul_f64(1.2 * f64::from(kill) / f64::from(kills));
        let killed = sandbox.start_sampan(command).kill_after(delay);
        // Half a build is of use to the next, and none is to another's content.
        let next = sandbox.sampan(command);
        assert!(next.code == 0, "{delay:?}\n{killed}\n{next}");
        let content = format!("{kill}\n").repeat(3);
        sandbox.sampan(["run", "--rm", "app", "cat", "/a", "/b", "/c"]).ok().prints(&content);
        sandbox.sampan(["image", "verify"]).ok();
        // Sweeps what the killed one left.
        sandbox.sampan(["ps"]).ok();
        sandbox.is_clean();
    }
    testkit::eventually("nothing is left of all the builds", || {
        sandbox.sampan(["image", "prune", "-af"]).ok();
        sandbox.sampan(["builder", "prune", "-af"]).ok();
        let directories = ["blobs/sha256", "layers", "cache/steps", "cache/scratch", "leases"];
        let left = directories.into_iter().flat_map(|name| fs::read_dir(sandbox.root().join(name)).unwrap());
        let left: Vec<_> =
            left.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("gate")).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn a_full_disk_costs_the_build_and_nothing_that_was_built() {
    let Some(sandbox) = Sandbox::on_small_disk(PROGRAM, "size=24m") else { return };
    sandbox
        .sampan(["load", "-q", "-i", testkit::base_image("busybox:latest").unwrap().to_str().unwrap()])
        .ok();
    let small = context(&sandbox, "small", "FROM busybox\nCOPY file /a\n");
    let large = context(&sandbox, "large", "FROM busybox\nRUN dd if=/dev/zero of=/large bs=1M count=64\n");
    build(&sandbox, &small);
    sandbox.sampan(["build", &large]).fails(1).complains("No space left on device");
    assert_eq!(hits(&build(&sandbox, &small)), 1);
    sandbox.sampan(["builder", "prune", "-f"]).ok();
    // What the step wrote is free when the last of its processes has let go of its root, which nobody waits for.
    testkit::eventually("there is room for a container", || {
        match sandbox.sampan(["run", "--rm", "app", "cat", "/a"]) {
            ran if ran.code == 0 => Ok(ran.prints("hello\n")),
            ran => Err(ran),
        }
    });
    // Takes back what a container claimed that could not start for want of room.
    sandbox.sampan(["ps"]).ok();
    sandbox.is_clean();
}
