//! Which cgroup trees this machine has and where, and how a container is to see them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access, statfs};

use super::{CgroupError, files::io_error, v1::Hierarchy};

/// The cgroup trees of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The trees of v1. Where there are any, v2 has no controllers of use.
    pub(super) hierarchies: Vec<Hierarchy>,
    /// Where the one tree of v2 is mounted, or the part of it that is delegated.
    pub(super) unified: Option<PathBuf>,
    /// Whether the trees are those of an ordinary user, who may have neither all controllers nor say which devices are used.
    pub(super) is_delegated: bool,
}

/// What version the trees that have controllers are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
    /// Of the first, and the tree of v2 is there as well, without controllers.
    Hybrid,
}

/// What a container finds in /sys/fs/cgroup: mounts to be made in its cgroup namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// In the order they are to be made; the first is the directory itself.
    pub mounts: Vec<ViewMount>,
    /// Symbolic links in the directory: name and target.
    pub links: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewMount {
    /// The directory in /sys/fs/cgroup, empty for that itself.
    pub name: String,
    pub filesystem: &'static str,
    options: Vec<String>,
}

impl Layout {
    /// Looks at what is mounted: one system call on v2, one small file else. An ordinary user has what was delegated to him, and
    /// this process is in.
    pub fn detect() -> Result<Layout, CgroupError> {
        let found = Layout::find()?;
        if !sys::rootless::is_rootless() {
            return Ok(found);
        }
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let delegated = found.unified.as_deref().and_then(|mount| delegated(mount, &mount.join(own)));
        Ok(found.with_delegated(delegated))
    }

    /// The same of somebody to whom `delegated` was, for looking at groups that were made there.
    pub fn detect_with(delegated: Option<&Path>) -> Result<Layout, CgroupError> {
        let found = Layout::find()?;
        match sys::rootless::is_rootless() {
            true => Ok(found.with_delegated(delegated.map(Path::to_owned))),
            false => Ok(found),
        }
    }

    /// The part of the tree of v2 that this ordinary user may make groups in.
    pub fn delegated(&self) -> Option<&Path> {
        self.unified.as_deref().filter(|_| self.is_delegated)
    }

    /// The trees that an ordinary user may make groups in: on most machines, in none of v1.
    fn with_delegated(self, delegated: Option<PathBuf>) -> Layout {
        let may_write = |tree: &Hierarchy| access(&tree.mount, Access::WRITE_OK).is_ok();
        Layout {
            hierarchies: self.hierarchies.into_iter().filter(may_write).collect(),
            unified: delegated,
            is_delegated: true,
        }
    }

    fn find() -> Result<Layout, CgroupError> {
        let usual = Path::new(MOUNT_POINT);
        if statfs(usual).is_ok_and(|filesystem| filesystem.f_type == CGROUP2_SUPER_MAGIC) {
            return Ok(Layout { unified: Some(usual.to_owned()), ..Layout::default() });
        }
        let mounts = Path::new("/proc/self/mountinfo");
        let mut text = String::with_capacity(USUAL_SIZE); // asked for at once, it comes at once
        let read = File::open(mounts).and_then(|mut file| file.read_to_string(&mut text));
        read.map_err(io_error("find", mounts))?;
        let layout = Layout::parse(&text);
        match layout {
            Layout { ref hierarchies, unified: None, .. } if hierarchies.is_empty() => {
                Err(CgroupError::NotMounted)
            }
            layout => Ok(layout),
        }
    }

    /// What version the trees that have controllers are of.
    pub fn version(&self) -> Version {
        match (self.hierarchies.is_empty(), &self.unified) {
            (true, _) => Version::Two,
            (false, None) => Version::One,
            (false, Some(_)) => Version::Hybrid,
        }
    }

    /// What can be controlled, in whichever tree.
    pub fn controllers(&self) -> io::Result<Vec<String>> {
        match (self.version(), &self.unified) {
            (Version::Two, Some(tree)) => {
                let there = fs::read_to_string(tree.join("cgroup.controllers"))?;
                Ok(there.split_whitespace().map(str::to_owned).collect())
            }
            _ => {
                let all = self.hierarchies.iter().flat_map(|hierarchy| &hierarchy.controllers);
                Ok(all.filter(|controller| !controller.contains('=')).cloned().collect())
            }
        }
    }

    /// Where the trees are that containers have groups in.
    pub fn trees(&self) -> impl Iterator<Item = &Path> {
        let one = self.unified.as_deref().filter(|_| self.version() == Version::Two);
        self.hierarchies.iter().map(|hierarchy| hierarchy.mount.as_path()).chain(one)
    }

    /// Picks the cgroup mounts from the lines of /proc/self/mountinfo, the first of each tree.
    fn parse(mountinfo: &str) -> Layout {
        let mut layout = Layout::default();
        for line in mountinfo.lines() {
            let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
            let Some(point) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut words = filesystem.split(' ');
            match words.next() {
                Some("cgroup2") if layout.unified.is_none() => layout.unified = Some(point),
                Some("cgroup") => {
                    let options = words.nth(1).unwrap_or_default();
                    let controllers: Vec<String> =
                        options.split(',').filter(|option| is_controller(option)).map(String::from).collect();
                    let known = layout.hierarchies.iter().any(|other| other.controllers == controllers);
                    if !known && !controllers.is_empty() {
                        layout.hierarchies.push(Hierarchy { controllers, mount: point });
                    }
                }
                _ => {}
            }
        }
        layout
    }

    /// What a container is to see in /sys/fs/cgroup.
    pub fn mounts(&self) -> View {
        let root = |filesystem, options| ViewMount { name: String::new(), filesystem, options };
        if self.hierarchies.is_empty() {
            return View { mounts: vec![root("cgroup2", Vec::new())], links: Vec::new() };
        }
        let tmpfs = root("tmpfs", vec!["mode=755".into(), "size=64k".into()]);
        let names: Vec<String> = self.hierarchies.iter().map(Hierarchy::name).collect();
        let hierarchies = self.hierarchies.iter().zip(&names).map(|(hierarchy, name)| ViewMount {
            name: name.clone(),
            filesystem: "cgroup",
            options: hierarchy.options(),
        });
        let mounts = [tmpfs].into_iter().chain(hierarchies).collect();
        let links = self
            .hierarchies
            .iter()
            .zip(&names)
            .flat_map(|(hierarchy, name)| {
                hierarchy.controllers.iter().map(move |controller| (controller, name))
            })
            .filter(|(controller, _)| !controller.contains('=') && !names.contains(controller))
            .map(|(controller, name)| (controller.clone(), name.clone()))
            .collect();
        View { mounts, links }
    }
}

impl ViewMount {
    /// The mount's options as fsconfig(2) takes them: a key, with a value or as a flag.
    pub fn data(&self) -> Vec<(String, Option<String>)> {
        self.options
            .iter()
            .map(|option| match option.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (option.clone(), None),
            })
            .collect()
    }
}

/// The highest group above `own`, or itself, of which all down to there are the user's.
fn delegated(mount: &Path, own: &Path) -> Option<PathBuf> {
    let is_theirs = |group: &&Path| {
        let files = ["", "cgroup.procs", "cgroup.subtree_control"];
        files.iter().all(|file| access(group.join(file), Access::WRITE_OK).is_ok())
    };
    let above = own.ancestors().take_while(|group| group.starts_with(mount));
    above.take_while(is_theirs).last().map(Path::to_owned)
}

/// Whether a mount option of v1 names a controller, or a tree without one ("name=systemd").
fn is_controller(option: &str) -> bool {
    option.starts_with("name=") || CONTROLLERS.contains(&option)
}

const USUAL_SIZE: usize = 16 * 1024;
const MOUNT_POINT: &str = "/sys/fs/cgroup";
const CGROUP2_SUPER_MAGIC: rustix::fs::FsWord = 0x6367_7270;
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
35 31 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
36 23 0:30 / /somewhere/else rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn a_hybrid_machine_has_each_tree_once() {
        let layout = Layout::parse(HYBRID);
        let mounts: Vec<_> =
            layout.hierarchies.iter().map(|hierarchy| hierarchy.mount.to_str().unwrap()).collect();
        assert_eq!(mounts, ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/systemd"]);
        assert_eq!(layout.hierarchies[2].controllers, ["name=systemd"]);
        assert_eq!(layout.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn a_container_on_v1_sees_a_directory_for_each_tree_and_links_for_joint_ones() {
        let view = Layout::parse(HYBRID).mounts();
        let seen: Vec<_> = view.mounts.iter().map(|mount| (mount.name.as_str(), mount.filesystem)).collect();
        assert_eq!(
            seen,
            [("", "tmpfs"), ("cpu,cpuacct", "cgroup"), ("memory", "cgroup"), ("systemd", "cgroup")]
        );
        assert_eq!(view.mounts[1].data(), [("cpu".into(), None), ("cpuacct".into(), None)]);
        assert_eq!(view.mounts[3].data(), [("none".into(), None), ("name".into(), Some("systemd".into()))]);
        let link = |name: &str| (name.to_owned(), "cpu,cpuacct".to_owned());
        assert_eq!(view.links, [link("cpu"), link("cpuacct")]);
    }

    #[test]
    fn a_container_on_v2_sees_one_tree() {
        let view = Layout::parse("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").mounts();
        assert_eq!(view.mounts.len(), 1);
        assert_eq!((view.mounts[0].name.as_str(), view.mounts[0].filesystem), ("", "cgroup2"));
        assert_eq!(view.links, []);
    }

    #[test]
    fn lines_that_are_no_mounts_are_passed_over() {
        let layout = Layout::parse("\n1 2 3 - cgroup\n - cgroup2\n");
        assert_eq!(layout, Layout::default());
    }
}
