//! Installs what a fresh machine needs beside Rust, a C compiler and make.
//!
//! Does nothing where everything is there already, and says what it is going to install where not.
//! Only Debian and its relatives are installed on; elsewhere the list is printed.

use std::{
    env, fs,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail, ensure};

pub fn run(_: &[String]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !need.sign.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("setup: this machine lacks");
    for need in &missing {
        eprintln!("  {:<24} {}", need.package, need.why);
    }
    if !has_apt(&fs::read_to_string("/etc/os-release").unwrap_or_default()) {
        bail!("cannot install on this distribution; please install the packages above by their names here");
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    apt_get(&["update", "--quiet=2"])?;
    apt_get(&[&["install", "--yes", "--quiet=2", "--no-install-recommends"], packages.as_slice()].concat())?;
    match missing.iter().find(|need| !need.sign.is_there()) {
        Some(need) => bail!("{} is installed, and still there is no {:?}", need.package, need.sign),
        None => Ok(()),
    }
}

/// A package, what for, and how to see that it is there.
struct Need {
    package: &'static str,
    sign: Sign,
    why: &'static str,
}

#[derive(Debug)]
enum Sign {
    Program(&'static str),
    PythonModule(&'static str),
    File(&'static str),
}

const NEEDS: &[Need] = &[
    Need {
        package: "mmdebstrap",
        sign: Sign::Program("mmdebstrap"),
        why: "makes base images from Debian packages",
    },
    Need {
        package: "debian-archive-keyring",
        sign: Sign::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
        why: "checks those packages' signatures",
    },
    Need {
        package: "python3-pip",
        sign: Sign::PythonModule("pip"),
        why: "fetches pip for the python images",
    },
    Need {
        package: "ca-certificates",
        sign: Sign::File("/etc/ssl/certs"),
        why: "trusts pip's package index",
    },
    Need { package: "uidmap", sign: Sign::Program("newuidmap"), why: "maps ids for users other than root" },
    Need { package: "passt", sign: Sign::Program("pasta"), why: "is the network of containers without root" },
    Need { package: "curl", sign: Sign::Program("curl"), why: "asks published ports, in tests and the demo" },
    Need { package: "nftables", sign: Sign::Program("nft"), why: "sets up hosts' firewalls, in tests" },
    Need {
        package: "iptables",
        sign: Sign::Program("iptables-nft"),
        why: "sets up hosts' firewalls, in tests",
    },
    Need { package: "ufw", sign: Sign::Program("ufw"), why: "is one of those firewalls, left disabled" },
    Need {
        package: "skopeo",
        sign: Sign::Program("skopeo"),
        why: "reads our images, and makes some, in tests",
    },
    Need {
        package: "qemu-system-x86",
        sign: Sign::Program("qemu-system-x86_64"),
        why: "boots the machines of `make test-vm`",
    },
];

impl Sign {
    fn is_there(&self) -> bool {
        match self {
            Sign::Program(name) => search_path().any(|dir| Path::new(&dir).join(name).is_file()),
            Sign::File(path) => Path::new(path).exists(),
            Sign::PythonModule(name) => Command::new("python3")
                .args(["-m", name, "--version"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
        }
    }
}

/// PATH, and where Debian keeps what it thinks only root wants.
fn search_path() -> impl Iterator<Item = String> {
    let path = env::var("PATH").unwrap_or_default();
    let dirs: Vec<String> = path.split(':').chain(["/usr/sbin", "/sbin"]).map(str::to_owned).collect();
    dirs.into_iter()
}

/// Whether `os_release` describes Debian or something made from it.
fn has_apt(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .any(|id| id == "debian" || id == "ubuntu")
}

/// Runs apt-get as root; asks for a password only where somebody can answer.
fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let is_root = fs::metadata("/proc/self").context("cannot read /proc/self")?.uid() == 0;
    let mut command = match (is_root, io::stdin().is_terminal()) {
        (true, _) => vec!["env"],
        (false, true) => vec!["sudo", "env"],
        (false, false) => vec!["sudo", "--non-interactive", "env"],
    };
    command.extend(["DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "apt-get"]);
    command.extend(arguments);
    eprintln!("setup: {}", command.join(" "));
    let status = Command::new(command[0])
        .args(&command[1..])
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("cannot run {}", command[0]))?;
    ensure!(status.success(), "apt-get {} ended with {status}", arguments[0]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_ubuntu_and_their_children_have_apt_and_others_have_not() {
        assert!(has_apt("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(has_apt("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!has_apt("ID=fedora\nPRETTY_NAME=\"not debian\"\n"));
        assert!(!has_apt(""));
    }

    #[test]
    fn a_program_is_there_when_path_leads_to_it() {
        assert!(Sign::Program("sh").is_there());
        assert!(!Sign::Program("no-program-has-this-name").is_there());
    }
}
