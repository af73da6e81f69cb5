//! cgroups: which there are, what they control, and whether we may make some.

use std::path::Path;

use runtime::cgroup::{Layout, Version};
use rustix::fs::{Access, StatVfsMountFlags};

use super::Finding;

pub fn examine() -> Vec<Finding> {
    let layout = match Layout::detect() {
        Ok(layout) => layout,
        Err(error) => {
            let remedy = "mount them: `mount -t cgroup2 none /sys/fs/cgroup`, which systemd does at boot";
            return vec![Finding::fail("layout", error.to_string(), remedy)];
        }
    };
    if sys::rootless::is_rootless() {
        return vec![delegated(&layout)];
    }
    vec![self::layout(&layout), controllers(&layout), delegation(&layout)]
}

/// What an ordinary user's containers can be limited in.
fn delegated(layout: &Layout) -> Finding {
    let there = layout.controllers().unwrap_or_default();
    let Some(tree) = layout.delegated() else {
        return Finding::warn(
            "delegation",
            "no cgroups are this user's: limits are discarded, and nothing is paused",
            REMEDY,
        );
    };
    let missing: Vec<&str> = missing(&there, Version::Two).iter().map(|controller| controller.v2).collect();
    let found = format!("{}: {}", tree.display(), there.join(", "));
    match missing.is_empty() {
        true => Finding::ok("delegation", found),
        false => Finding::warn(
            "delegation",
            format!("{found}; limits of {} are discarded", missing.join(", ")),
            CONTROLLERS_REMEDY,
        ),
    }
}

const REMEDY: &str = "docs/rootless.md says how a user gets cgroups: with systemd, `systemd-run --user --scope sampan …` has them";
const CONTROLLERS_REMEDY: &str = "with systemd, set `Delegate=cpu cpuset io memory pids` for user@.service";

fn layout(layout: &Layout) -> Finding {
    Finding::ok(
        "layout",
        match layout.version() {
            Version::Two => "version 2, one tree for all",
            Version::One => "version 1, a tree for each controller",
            Version::Hybrid => {
                "hybrid: controllers in trees of version 1, beside a tree of version 2 without any"
            }
        },
    )
}

fn controllers(layout: &Layout) -> Finding {
    let there = match layout.controllers() {
        Ok(there) => there,
        Err(error) => {
            return Finding::fail("controllers", error.to_string(), "mount the cgroup trees readable");
        }
    };
    let missing = missing(&there, layout.version());
    if missing.is_empty() {
        return Finding::ok("controllers", there.join(", "));
    }
    let options: Vec<&str> = missing.iter().map(|controller| controller.option).collect();
    Finding::warn(
        "controllers",
        format!("{}; not {}", there.join(", "), options.join(", ")),
        format!(
            "boot the kernel with {}; limits that cannot be set are refused",
            options.iter().map(|name| format!("cgroup_enable={name}")).collect::<Vec<_>>().join(" ")
        ),
    )
}

/// A controller that limits of containers take.
struct Controller {
    /// As the kernel's command line has it.
    option: &'static str,
    v1: &'static str,
    v2: &'static str,
}

const CONTROLLERS: [Controller; 5] = [
    Controller { option: "cpu", v1: "cpu", v2: "cpu" },
    Controller { option: "cpuset", v1: "cpuset", v2: "cpuset" },
    Controller { option: "memory", v1: "memory", v2: "memory" },
    Controller { option: "io", v1: "blkio", v2: "io" },
    Controller { option: "pids", v1: "pids", v2: "pids" },
];

fn missing(there: &[String], version: Version) -> Vec<&'static Controller> {
    let name = |controller: &Controller| if version == Version::Two { controller.v2 } else { controller.v1 };
    let is_missing = |controller: &&Controller| there.iter().all(|one| one != name(controller));
    CONTROLLERS.iter().filter(is_missing).collect()
}

/// Whether containers' groups can be made in every tree.
fn delegation(layout: &Layout) -> Finding {
    let closed: Vec<String> =
        layout.trees().filter(|tree| !is_writable(tree)).map(|tree| tree.display().to_string()).collect();
    match closed.is_empty() {
        true => Finding::ok("delegation", "groups can be made"),
        false => Finding::fail(
            "delegation",
            format!("cannot make groups in {}", closed.join(", ")),
            "run as root; in a container, one with a cgroup namespace of its own and /sys/fs/cgroup mounted for writing",
        ),
    }
}

/// Root may write everything, but for what is mounted read-only.
fn is_writable(tree: &Path) -> bool {
    let is_mounted_so = |flags: StatVfsMountFlags| !flags.contains(StatVfsMountFlags::RDONLY);
    rustix::fs::statvfs(tree).is_ok_and(|status| is_mounted_so(status.f_flag))
        && rustix::fs::access(tree, Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_has_another_name_in_each_version() {
        let there = ["cpu", "cpuset", "io", "pids"].map(str::to_owned);
        let names = |version| missing(&there, version).iter().map(|one| one.option).collect::<Vec<_>>();
        assert_eq!(names(Version::Two), ["memory"]);
        assert_eq!(names(Version::Hybrid), ["memory", "io"]);
    }
}
