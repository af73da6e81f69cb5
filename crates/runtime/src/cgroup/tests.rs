//! Groups on the real kernel, for each layout that can be had here: the machine's own, and of a hybrid one also
//! each half alone.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::LazyLock,
};

use super::*;

/// Limits as a runtime specification writes them.
pub(super) fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_thread_that_joins_is_in_every_tree() {
    for layout in layouts() {
        let group = Scratch::new(&layout, "join", "{}");
        if layout.hierarchies.is_empty() {
            continue; // one is born into a v2 group; see examples/cgroup_cost.rs
        }
        thread::scope(|scope| {
            let joined = scope.spawn(|| {
                group.entry().unwrap().join().unwrap();
                fs::read_to_string("/proc/thread-self/cgroup").unwrap()
            });
            let joined = joined.join().unwrap();
            let trees = joined.lines().filter(|line| line.ends_with("/join")).count();
            assert_eq!(trees, layout.hierarchies.len(), "{joined}");
        });
    }
}

#[test]
fn a_group_that_is_removed_leaves_nothing_even_if_there_are_groups_below() {
    for layout in layouts() {
        let group = Scratch::new(&layout, "nested", "{}");
        for directory in group.directories() {
            fs::create_dir_all(directory.join("below/further")).unwrap();
        }
        group.remove().unwrap();
        assert!(group.directories().all(|directory| !directory.exists()));
        group.remove().unwrap(); // gone is gone
        group.kill().unwrap();
        assert_eq!(group.pids().unwrap(), []);
        assert!(!group.oom_killed());
    }
}

#[test]
fn an_empty_group_left_behind_is_replaced_and_one_in_use_is_not() {
    for layout in layouts() {
        let group = Scratch::new(&layout, "again", "{}");
        let sleeper = Sleeper::start_in(&group);
        let refused = Cgroup::create(&layout, &group.parent, "again", &resources("{}"));
        assert!(matches!(refused, Err(CgroupError::InUse { .. })), "{refused:?}");
        assert_eq!(group.pids().unwrap(), [sleeper.pid()], "the group in use is still there");
        drop(sleeper);
        Cgroup::create(&layout, &group.parent, "again", &resources("{}")).unwrap();
    }
}

#[test]
fn killing_ends_all_processes_also_those_below() {
    for layout in layouts() {
        let group = Scratch::new(&layout, "kill", "{}");
        let mut above = Sleeper::start_in(&group);
        let mut below = Sleeper::start();
        for directory in group.directories() {
            fs::create_dir(directory.join("below")).unwrap();
        }
        below.move_to(group.directories().map(|directory| directory.join("below")));
        let pids = group.pids().unwrap();
        assert!(pids.len() == 2 && pids.contains(&above.pid()) && pids.contains(&below.pid()), "{pids:?}");
        group.kill().unwrap();
        assert_eq!((above.wait(), below.wait()), (Some(9), Some(9)));
    }
}

#[test]
fn a_frozen_process_stands_still_until_it_is_thawed() {
    for layout in layouts() {
        let group = Scratch::new(&layout, "freeze", "{}");
        let mut shell =
            Sleeper(Command::new("sh").args(["-c", "read go"]).stdin(Stdio::piped()).spawn().unwrap());
        shell.move_to(group.directories().map(Path::to_owned));
        group.freeze().unwrap();
        drop(shell.0.stdin.take()); // all it waits for
        thread::sleep(Duration::from_millis(50));
        assert!(shell.0.try_wait().unwrap().is_none(), "{layout:?}");
        group.thaw().unwrap();
        assert!(shell.0.wait().unwrap().code().is_some());
        group.remove().unwrap();
        group.thaw().unwrap();
    }
}

#[test]
fn devices_without_a_rule_cannot_be_opened() {
    for layout in layouts() {
        let group = Scratch::new(
            &layout,
            "devices",
            r#"{"devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"},
                {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "r"}
            ]}"#,
        );
        let answers = shell_in(
            &group,
            "for f in '</dev/null' '>/dev/null' '</dev/zero' '>/dev/zero' '</dev/full'; do
                if (eval : $f) 2>/dev/null; then echo yes; else echo no; fi
            done",
        );
        assert_eq!(answers, ["yes", "yes", "yes", "no", "no"], "{layout:?}");
    }
}

#[test]
fn limits_are_in_force_and_can_be_changed() {
    let Some(layout) = with_controllers() else { return };
    let group = Scratch::new(&layout, "limits", r#"{"pids": {"limit": 9}, "memory": {"limit": 67108864}}"#);
    assert_eq!(group.stats().unwrap().memory_limit, Some(67_108_864));
    group.limit(&resources(r#"{"memory": {"limit": 134217728, "swap": 134217728}}"#)).unwrap();
    group.limit(&resources(r#"{"memory": {"limit": 268435456, "swap": 268435456}}"#)).unwrap();
    let sleeper = Sleeper::start_in(&group);
    let stats = group.stats().unwrap();
    assert_eq!((stats.memory_limit, stats.processes), (Some(268_435_456), 1));
    drop(sleeper);
    let forks = shell_in(&group, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; echo not reached");
    assert_eq!(forks, [""; 0], "the ninth process could not be made");
}

#[test]
fn a_limit_that_is_refused_names_its_file_and_leaves_no_group() {
    let Some(layout) = with_controllers() else { return };
    let limits = resources(r#"{"cpu": {"cpus": "4000"}}"#);
    let error = Cgroup::create(&layout, &parent("refused"), "group", &limits).unwrap_err().to_string();
    assert!(error.contains("cpuset.cpus to 4000: "), "{error}");
    let group = Cgroup::open(&layout, &parent("refused"), "group");
    assert!(group.directories().all(|directory| !directory.exists()));
    Cgroup::open(&layout, "", &parent("refused")).remove().unwrap();
}

#[test]
fn who_takes_more_memory_than_allowed_is_killed_and_that_is_known() {
    let Some(layout) = with_controllers() else { return };
    let group = Scratch::new(&layout, "oom", r#"{"memory": {"limit": 16777216}}"#);
    assert!(!group.oom_killed());
    let answer = shell_in(&group, "tail /dev/zero; echo $?");
    assert_eq!(answer, ["137"]);
    assert!(group.oom_killed());
}

#[test]
fn a_path_cannot_lead_out_of_the_tree() {
    for path in ["/../../etc", "a/../../../etc", "./etc"] {
        assert!(!inside(path).is_absolute());
        assert!(
            inside(path).components().all(|component| matches!(component, Component::Normal(_))),
            "{path}"
        );
    }
}

/// The layouts to test with, none where this process may not make groups.
fn layouts() -> Vec<Layout> {
    let Some(layout) = with_controllers() else { return Vec::new() };
    if layout.hierarchies.is_empty() || layout.unified.is_none() {
        return vec![layout];
    }
    let v1 = Layout { unified: None, ..layout.clone() };
    let v2 = Layout { hierarchies: Vec::new(), ..layout.clone() };
    vec![layout, v1, v2]
}

fn with_controllers() -> Option<Layout> {
    static LAYOUT: LazyLock<Result<Layout, CgroupError>> = LazyLock::new(|| {
        let layout = Layout::detect()?;
        Cgroup::create(&layout, "", &parent("probe"), &LinuxResources::default())?.remove()?;
        Ok(layout)
    });
    let layout = LAYOUT.as_ref().inspect_err(|error| eprintln!("skipped: {error}"));
    layout.ok().cloned()
}

fn parent(test: &str) -> String {
    format!("sampan-test-{}-{test}", std::process::id())
}

/// A group that goes with the test.
struct Scratch {
    cgroup: Cgroup,
    parent: String,
}

impl Scratch {
    fn new(layout: &Layout, name: &str, limits: &str) -> Scratch {
        // Both layouts have the v2 tree, so each needs a place of its own.
        let parent = format!("{}/{}", parent(name), layout.hierarchies.len());
        let cgroup = Cgroup::create(layout, &parent, name, &resources(limits)).unwrap();
        Scratch { cgroup, parent }
    }
}

impl std::ops::Deref for Scratch {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.cgroup.kill().and_then(|()| self.cgroup.remove());
        for parent in self.cgroup.directories().flat_map(|directory| directory.ancestors().skip(1).take(2)) {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// A process that does nothing until it is killed.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Sleeper {
        Sleeper(Command::new("sleep").arg("60").spawn().unwrap())
    }

    fn start_in(group: &Cgroup) -> Sleeper {
        let sleeper = Sleeper::start();
        sleeper.move_to(group.directories().map(Path::to_owned));
        sleeper
    }

    fn move_to(&self, groups: impl Iterator<Item = PathBuf>) {
        for group in groups {
            fs::write(group.join("cgroup.procs"), self.0.id().to_string()).unwrap();
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// The signal that ended it.
    fn wait(&mut self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.0.wait().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that a shell in the group writes.
fn shell_in(group: &Cgroup, script: &str) -> Vec<String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("read go; {script}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = Sleeper(shell.stderr(Stdio::null()).spawn().unwrap());
    shell.move_to(group.directories().map(Path::to_owned));
    drop(shell.0.stdin.take()); // the end of its input lets it go on
    let output: ChildStdout = shell.0.stdout.take().unwrap();
    BufReader::new(output).lines().map(Result::unwrap).collect()
}
