//! pip and what it needs, as a layer.
//!
//! The wheels are unpacked, not installed: no interpreter of the image has to run, and nothing is
//! compiled or rewritten, so the same wheels give the same bytes.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

use super::tree::Tree;

/// Writes `wheels`, and the names `python` and `pip` under /usr/local/bin, to the file `layer`.
pub fn make(python: &str, wheels: &[&str], layer: &Path, scratch: &Path) -> anyhow::Result<()> {
    let [downloads, packages] = ["downloads", "packages"].map(|name| scratch.join(name));
    fs::create_dir(&downloads)?;
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:", "--dest"])
        .arg(&downloads)
        .args(wheels)
        // What this machine is bound to is meant for its own Python.
        .env_remove("PIP_CONSTRAINT"))?;
    for wheel in fs::read_dir(&downloads)? {
        let wheel = wheel?.path();
        run(Command::new("python3").args(["-m", "zipfile", "--extract"]).args([&wheel, &packages]))?;
    }

    let mut tree = Tree::default();
    // Debian's name for site-packages.
    tree.copy(&format!("usr/local/lib/python{python}/dist-packages"), &packages)?;
    tree.forget_suffix(".exe"); // launchers for Windows
    let major = python.split('.').next().unwrap_or(python);
    for version in ["", major, python] {
        tree.symlink(&format!("usr/local/bin/python{version}"), &format!("/usr/bin/python{python}"));
        tree.file(&format!("usr/local/bin/pip{version}"), 0o755, include_str!("pip-launcher.py"));
    }
    tree.write(layer)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}; `make setup` installs it", name.display()))?;
    ensure!(status.success(), "{} ended with {status}", name.display());
    Ok(())
}
