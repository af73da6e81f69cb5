//! `busybox`: Debian's static busybox, all its applets hard links of one file, as upstream's image has
//! them (which is also a good test for whoever unpacks it).

use std::{fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path, process::Command};

use anyhow::{Context, ensure};
use tar::Archive;

use super::{
    super::{
        debian,
        recipe::{Config, Layer, Recipe},
        tree::Tree,
    },
    PATH,
};

pub const LATEST: Recipe = Recipe {
    name: "busybox:latest",
    layers: &[Layer::Busybox],
    config: Config { env: &[PATH], cmd: &["sh"], ..Config::EMPTY },
    trusts_host: false,
};

/// Writes the whole small system to the file `layer`.
pub fn make(layer: &Path, scratch: &Path) -> anyhow::Result<()> {
    let tar = scratch.join("package.tar");
    debian::extract("bookworm", "busybox-static", &tar, scratch)?;
    let program =
        busybox_in(&tar).context("cannot read the package")?.context("no busybox in the package")?;
    let applets = applets(&program, &scratch.join("busybox"))?;

    let mut tree = Tree::of(SMALL_SYSTEM);
    tree.file("bin/busybox", 0o755, program);
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        tree.link(&format!("bin/{applet}"), "bin/busybox");
    }
    tree.symlink("usr/bin/env", "/bin/env");
    tree.write(layer)
}

fn busybox_in(tar: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    for entry in Archive::new(File::open(tar)?).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() && entry.path()?.ends_with("bin/busybox") {
            let mut program = Vec::new();
            entry.read_to_end(&mut program)?;
            return Ok(Some(program));
        }
    }
    Ok(None)
}

/// Asks the program itself, by way of a file at `path`, which names it answers to.
fn applets(program: &[u8], path: &Path) -> anyhow::Result<String> {
    std::fs::write(path, program)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
    let output = Command::new(path).arg("--list").output().context("cannot run busybox")?;
    ensure!(output.status.success(), "busybox --list ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// What programs expect around them, in an image without Debian's base files.
const SMALL_SYSTEM: &[(&str, u32, &str)] = &[
    ("dev/", 0o755, ""),
    ("etc/group", 0o644, GROUP),
    ("etc/nsswitch.conf", 0o644, "hosts: files dns\n"),
    ("etc/passwd", 0o644, PASSWD),
    ("etc/shadow", 0o640, "root:*:::::::\nnobody:*:::::::\n"),
    ("home/", 0o755, ""),
    ("proc/", 0o755, ""),
    ("root/", 0o700, ""),
    ("run/", 0o755, ""),
    ("sys/", 0o755, ""),
    ("tmp/", 0o1777, ""),
    ("usr/local/bin/", 0o755, ""),
    ("usr/sbin/", 0o755, ""),
    ("var/log/", 0o755, ""),
    ("var/tmp/", 0o1777, ""),
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
";

const GROUP: &str = "root:x:0:
daemon:x:1:
tty:x:5:
www-data:x:33:
users:x:100:
nogroup:x:65534:
";
