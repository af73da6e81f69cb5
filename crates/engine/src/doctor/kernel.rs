//! The kernel: its version, what it lets us do, and the isolation it has.

use std::{fs, io};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
    process::PidfdFlags,
};
use sys::{
    mounts::{Attributes, Depth},
    process::Namespaces,
};

use super::{
    Finding,
    trial::{trial, trial_with_directory},
};

pub fn examine() -> Vec<Finding> {
    let mut findings = vec![version(), privileges()];
    findings.extend(namespaces());
    findings.extend([calls(), seccomp(), security_module()]);
    findings
}

fn version() -> Finding {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let text = format!("Linux {release} on {}", uname.machine().to_string_lossy());
    match parse(&release) {
        Some(version) if version < OLDEST => {
            Finding::fail("version", text, "containers need Linux 5.12 or newer: upgrade the kernel")
        }
        _ => Finding::ok("version", text),
    }
}

/// The first two numbers of a release such as `6.1.0-13-amd64`.
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn privileges() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect();
    let user = rustix::process::geteuid();
    match (user.is_root(), missing.is_empty()) {
        (true, true) if sys::rootless::is_rootless() => Finding::warn(
            "privileges",
            "an ordinary user, who is root of a user namespace",
            "docs/rootless.md says what takes root",
        ),
        (true, true) => Finding::ok("privileges", "root, with what containers take"),
        (true, false) => {
            let text = format!("root without {}", missing.join(", "));
            Finding::fail(
                "privileges",
                text,
                "run sampan on the machine itself, or in a privileged container",
            )
        }
        (false, _) => {
            let text = format!("user {}, and containers take root", user.as_raw());
            Finding::fail("privileges", text, "run `sudo sampan doctor`, and sampan as root")
        }
    }
}

/// A finding for all the namespaces that every container has, and one for those that some ask for.
fn namespaces() -> [Finding; 2] {
    let lacking = |wanted: &[(&str, Namespaces)]| -> Vec<(String, String)> {
        let tried = wanted.iter().map(|(name, kind)| (*name, trial(*kind, || Ok(String::new()))));
        tried.filter_map(|(name, tried)| Some((name.to_owned(), tried.err()?.to_string()))).collect()
    };
    let each = [
        ("mount", Namespaces::MOUNT),
        ("pid", Namespaces::PID),
        ("network", Namespaces::NETWORK),
        ("ipc", Namespaces::IPC),
        ("uts", Namespaces::UTS),
        ("cgroup", Namespaces::CGROUP),
    ];
    let every = match by_error(lacking(&each)) {
        None => Finding::ok("namespaces", "mount, pid, network, ipc, uts and cgroup"),
        Some(lack) => Finding::fail(
            "namespaces",
            format!("cannot make {lack}"),
            "look for sysctls /proc/sys/user/max_*_namespaces that are 0, and for a seccomp filter around this shell",
        ),
    };
    let user = match by_error(lacking(&[("user", Namespaces::USER)])) {
        None => Finding::ok("user namespaces", "can be made"),
        Some(lack) => {
            Finding::warn("user namespaces", format!("cannot make {lack}"), user_namespaces_remedy())
        }
    };
    [every, user]
}

/// Things and the errors they met, those with the same error together. `None` if there are none.
fn by_error(mut failures: Vec<(String, String)>) -> Option<String> {
    failures.sort_by(|(_, a), (_, b)| a.cmp(b));
    let alike: Vec<String> = failures
        .chunk_by(|(_, a), (_, b)| a == b)
        .map(|alike| {
            let names: Vec<&str> = alike.iter().map(|(name, _)| name.as_str()).collect();
            format!("{}: {}", names.join(", "), alike[0].1)
        })
        .collect();
    (!alike.is_empty()).then(|| alike.join("; "))
}

fn user_namespaces_remedy() -> String {
    let is_zero = |path: &str| fs::read(path).is_ok_and(|value| value.trim_ascii() == b"0");
    if is_zero("/proc/sys/user/max_user_namespaces") {
        return "`sysctl -w user.max_user_namespaces=65536`, and the same in /etc/sysctl.d".to_owned();
    }
    if is_zero("/proc/sys/kernel/unprivileged_userns_clone") {
        return "`sysctl -w kernel.unprivileged_userns_clone=1`, and the same in /etc/sysctl.d".to_owned();
    }
    "without them `--userns=auto` is refused; the kernel needs CONFIG_USER_NS".to_owned()
}

/// System calls that old kernels lack and filters around containers refuse.
fn calls() -> Finding {
    let attributes = || {
        trial_with_directory(|_| {
            let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            rustix::mount::fsconfig_create(&context)?;
            let (flags, none) = (FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
            let mount = rustix::mount::fsmount(&context, flags, none)?;
            use std::os::fd::AsFd;
            sys::mounts::set_attributes(mount.as_fd(), Attributes::READ_ONLY, None, Depth::This)?;
            Ok(String::new())
        })
        .map(drop)
    };
    let open = || -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(CWD, ".", flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        Ok(())
    };
    let pidfd = || -> io::Result<()> {
        rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        Ok(())
    };
    let calls: [(&str, &dyn Fn() -> io::Result<()>); 3] =
        [("openat2", &open), ("pidfd_open", &pidfd), ("fsmount and mount_setattr", &attributes)];
    let refused =
        calls.iter().filter_map(|(name, call)| Some(((*name).to_owned(), call().err()?.to_string())));
    match by_error(refused.collect()) {
        None => Finding::ok("system calls", "clone3, openat2, pidfd_open, fsmount, mount_setattr"),
        Some(refused) => Finding::fail(
            "system calls",
            format!("refused: {refused}"),
            "upgrade the kernel, or the container engine around this shell, whose seccomp filter may not know them",
        ),
    }
}

fn seccomp() -> Finding {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    match actions.split_whitespace().any(|action| action == "errno") {
        true => Finding::ok("seccomp", actions.trim_end()),
        false => Finding::fail(
            "seccomp",
            "the kernel has no filters of system calls",
            "use a kernel with CONFIG_SECCOMP_FILTER; without it only `--security-opt seccomp=unconfined` starts",
        ),
    }
}

fn security_module() -> Finding {
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let known: Vec<&str> =
        modules.trim_end().split(',').filter(|name| ["apparmor", "selinux"].contains(name)).collect();
    match known.is_empty() {
        // Containers are as isolated as our own means make them.
        true => Finding::ok("security module", "neither AppArmor nor SELinux; labels cannot be asked for"),
        false => Finding::ok("security module", known.join(", ")),
    }
}

/// What every start of a container takes, of capabilities(7).
const NEEDED: [(u32, &str); 8] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (8, "CAP_SETPCAP"),
    (12, "CAP_NET_ADMIN"),
    (21, "CAP_SYS_ADMIN"),
    (27, "CAP_MKNOD"),
];

/// The first with mount_setattr(2).
const OLDEST: (u32, u32) = (5, 12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_for_one_reason_is_told_together() {
        let failure = |name: &str, error: &str| (name.to_owned(), error.to_owned());
        let failures = vec![failure("a", "no"), failure("b", "never"), failure("c", "no")];
        assert_eq!(by_error(failures).as_deref(), Some("b: never; a, c: no"));
        assert_eq!(by_error(Vec::new()), None);
    }

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for (release, expected) in [
            ("6.1.0-13-amd64", Some((6, 1))),
            ("5.9-rc1", Some((5, 9))),
            ("5.15.167.4-microsoft-standard-WSL2", Some((5, 15))),
            ("next", None),
            ("", None),
        ] {
            assert_eq!(parse(release), expected, "{release}");
        }
        assert!(parse("5.9.0") < Some(OLDEST) && parse("5.12.1") >= Some(OLDEST));
    }
}
