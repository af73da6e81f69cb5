//! An ordinary user with a home of its own, for whom the program runs as for anybody who is not root.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Outcome, Process, base_image, eventually};

/// An ordinary user of this machine, with a home, and with subordinate numbers or without.
///
/// When it is dropped, its containers are removed, and no process of it may be left.
#[derive(Debug)]
pub struct Ordinary {
    program: PathBuf,
    directory: TempDir,
    /// Delegated to the user, whose commands are in it.
    cgroup: Option<PathBuf>,
}

impl Ordinary {
    /// A user with the image `busybox`, to whom `ranges` gives subordinate numbers, in lines of subuid(5). `None`, and why on
    /// standard error, where tests cannot have one.
    pub fn new(program: impl AsRef<Path>, ranges: &str) -> Option<Ordinary> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: to become an ordinary user takes root");
            return None;
        }
        if let Some(missing) = ["newuidmap", "setpriv", "unshare"].iter().find(|name| !has(name)) {
            eprintln!("skipped: there is no /usr/bin/{missing}");
            return None;
        }
        let archive = base_image("busybox:latest")?;
        let directory =
            tempfile::Builder::new().prefix("sampan-ordinary-").tempdir().expect("a directory in TMPDIR");
        let ordinary = Ordinary { program: program.as_ref().to_owned(), directory, cgroup: None };
        ordinary.furnish(ranges, &archive).expect("root may make all of it");
        let _ = ordinary.shell("$SAMPAN load --quiet --input $PLACE/busybox.tar").ok();
        Some(ordinary)
    }

    /// The same with a cgroup for its containers, which systemd delegates on other machines. `None`, and why on standard error,
    /// where there is no cgroup v2 with controllers.
    pub fn with_cgroup(program: impl AsRef<Path>, ranges: &str) -> Option<Ordinary> {
        let tree = Path::new("/sys/fs/cgroup");
        if !fs::read_to_string(tree.join("cgroup.controllers")).is_ok_and(|there| there.contains("memory")) {
            eprintln!("skipped: there is no cgroup v2 with controllers");
            return None;
        }
        let mut ordinary = Ordinary::new(program, ranges)?;
        let group = tree.join(ordinary.place().file_name().expect("a directory has a name"));
        let make = || {
            fs::write(tree.join("cgroup.subtree_control"), "+cpu +cpuset +io +memory +pids")?;
            fs::create_dir(&group)?;
            ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
                .iter()
                .try_for_each(|file| chown(group.join(file), Some(UID), Some(UID)))
        };
        make().expect("root may delegate a cgroup");
        ordinary.cgroup = Some(group);
        Some(ordinary)
    }

    /// Makes the user's home, and the files of the machine that tell of the user.
    fn furnish(&self, ranges: &str, archive: &Path) -> io::Result<()> {
        let place = self.place();
        fs::set_permissions(place, fs::Permissions::from_mode(0o755))?;
        for name in ["home", "run"] {
            fs::create_dir(place.join(name))?;
            chown(place.join(name), Some(UID), Some(UID))?;
        }
        fs::create_dir(place.join("etc"))?;
        let passwd = fs::read_to_string("/etc/passwd")?;
        let user = format!("{passwd}ordinary:x:{UID}:{UID}::{}/home:/bin/sh\n", place.display());
        fs::write(place.join("etc/passwd"), user)?;
        fs::write(place.join("etc/subuid"), ranges)?;
        fs::write(place.join("etc/subgid"), ranges)?;
        fs::copy(archive, place.join("busybox.tar"))?;
        fs::set_permissions(place.join("busybox.tar"), fs::Permissions::from_mode(0o644))?;
        Ok(())
    }

    /// The directory that the user's home is in, which is root's.
    pub fn place(&self) -> &Path {
        self.directory.path()
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Runs a shell script as the user, at home, in which `$SAMPAN` is the program and `$PLACE` where the home is.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn shell(&self, script: &str) -> Outcome {
        let place = self.place();
        // A machine has these files and this device for everybody, in one way or another. The first command is in the group that
        // is delegated, and has all others be below it.
        let machine = "mount -t overlay -o lowerdir=$PLACE/etc:/etc none /etc && mknod -m 666 $PLACE/tun c 10 200 2> /dev/null; \
                       mount --bind $PLACE/tun /dev/net/tun; cd $HOME && \
                       { [ -z \"$CGROUP\" ] || /bin/echo $$ > $CGROUP/cgroup.procs || /bin/echo $$ > $CGROUP/init/cgroup.procs; } 2> /dev/null && \
                       exec setpriv --reuid $ID --regid $ID --clear-groups --inh-caps=-all sh -c \"$SCRIPT\"";
        let mut command = Command::new("/usr/bin/unshare");
        command
            .args(["--mount", "/bin/sh", "-c", machine])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", place.join("run"))
            .env("PLACE", place)
            .env("ID", UID.to_string())
            .env("SCRIPT", script)
            .env("CGROUP", self.cgroup.as_deref().unwrap_or(Path::new("")))
            .env("SAMPAN", &self.program)
            .env("SAMPAN_TRASH_SPACE", "0");
        Process::spawn(command, place).expect("unshare starts").finish()
    }

    /// Runs `work` in the network namespace of the container that process `pid` is in.
    pub fn within_container<T>(&self, pid: &str, work: impl FnOnce() -> T) -> T {
        let network = fs::File::open(format!("/proc/{pid}/ns/net")).expect("the container runs");
        network::within(network, work).expect("root may enter a network namespace")
    }

    /// The processes that the user has in this place, with what they were called with.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let place = self.place();
        let is_ours = |pid: &Path| {
            let open = fs::read_dir(pid.join("fd")).into_iter().flatten().flatten();
            let is_here =
                open.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file.starts_with(place));
            is_here && fs::metadata(pid).is_ok_and(|file| file.uid() == UID)
        };
        let all = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let ours = all.filter(|pid| is_ours(pid));
        let told = |pid: PathBuf| {
            let command = fs::read_to_string(pid.join("cmdline")).unwrap_or_default().replace('\0', " ");
            Some((pid.file_name()?.to_str()?.parse().ok()?, command))
        };
        ours.filter_map(told).collect()
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        // What it made belongs to users that only its namespace has.
        let outcome =
            self.shell("$SAMPAN rm --force --volumes $($SAMPAN ps --all --quiet) 2> /dev/null; true");
        if !std::thread::panicking() {
            assert_eq!(outcome.code, 0, "{outcome}");
            eventually("the user has no process left", || {
                let left = self.processes();
                if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
            });
            if let Some(group) = &self.cgroup {
                eventually("the user's cgroup is empty", || remove_groups(group));
            }
        }
    }
}

/// Removes a cgroup and those in it.
fn remove_groups(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    Path::new("/usr/bin").join(program).exists()
}

/// The user's number, which nobody else has.
pub const UID: u32 = 64_242;
