//! Debian systems as layers, made by `mmdebstrap` with its default mirrors.
//!
//! What a machine or a moment would leave in the result is taken out of it (`tidy.sh`).

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

use anyhow::{Context, bail};
use tar::EntryType;

use super::tree::{EPOCH, header};

/// A minimal system of one release, with some packages more.
#[derive(Debug)]
pub struct System {
    pub suite: &'static str,
    pub packages: &'static [&'static str],
    /// More options for mmdebstrap: hooks, mostly.
    pub options: &'static [&'static str],
}

impl System {
    /// Writes the system to the file `layer`.
    pub fn make(&self, layer: &Path, scratch: &Path) -> anyhow::Result<()> {
        let mut file = File::create(layer)?;
        // With `output/dev` the tar would have device nodes, which only root can unpack, and without
        // there is nothing to mount on: so an empty /dev goes ahead of it.
        let mut dev = header(EntryType::Directory, 0o755, 0);
        dev.set_path("./dev/")?;
        dev.set_cksum();
        file.write_all(dev.as_bytes())?;

        let mut mmdebstrap = mmdebstrap("minbase", self.packages);
        mmdebstrap.args(["--skip=output/dev", concat!("--customize-hook=", include_str!("tidy.sh"))]);
        if self.suite != "bullseye" {
            // Since bookworm init-system-helpers wants usrmerge or usr-is-merged. The first, which apt
            // takes by itself, brings all of perl: 48 MB.
            mmdebstrap.arg("--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr");
        }
        mmdebstrap.args(self.options).args([self.suite, "-"]);
        run(&mut mmdebstrap, file, scratch)
    }
}

/// Writes a tar of just the files of `package` and of what it depends on, unpacked and not configured.
pub fn extract(suite: &str, package: &str, tar: &Path, scratch: &Path) -> anyhow::Result<()> {
    run(mmdebstrap("extract", &[package]).args([suite, "-"]), File::create(tar)?, scratch)
}

fn mmdebstrap(variant: &str, packages: &[&str]) -> Command {
    let mut command = Command::new("mmdebstrap");
    command.env("SOURCE_DATE_EPOCH", EPOCH.to_string()).env("LC_ALL", "C");
    command.args(["--quiet", "--format=tar"]).arg(format!("--variant={variant}"));
    command.args(LEFT_OUT.iter().map(|rule| format!("--dpkgopt={rule}")));
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command
}

/// What slim images do not have, and dpkg need not wait for the disk.
const LEFT_OUT: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
    "force-unsafe-io",
];

/// Runs `command` with its output going to `out`; what it says is shown only when it fails.
fn run(command: &mut Command, out: File, scratch: &Path) -> anyhow::Result<()> {
    let log = scratch.join("log");
    let status = command
        .stdout(out)
        .stderr(File::create(&log)?)
        .status()
        .context("cannot run mmdebstrap; `make setup` installs it")?;
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("mmdebstrap ended with {status}\n{}", said.trim_end());
    }
    Ok(())
}
