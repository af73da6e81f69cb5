//! Checks that no crate slips out of the workspace's lints: they forbid `unsafe`, but only where a
//! manifest takes them over.

use std::fs;

use anyhow::{Context, ensure};
use cargo_metadata::MetadataCommand;

/// The one crate with lints of its own, because it may be unsafe.
const UNSAFE: &str = "sys";

pub fn run(_: &[String]) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the workspace")?;
    let root = fs::read_to_string(metadata.workspace_root.join("Cargo.toml"))?;
    ensure!(
        section(&root, "workspace.lints.rust").any(|line| line == "unsafe_code = \"forbid\""),
        "the workspace's lints no longer forbid unsafe code"
    );
    for package in metadata.workspace_packages().iter().filter(|package| package.name != UNSAFE) {
        let manifest = fs::read_to_string(&package.manifest_path)?;
        ensure!(
            section(&manifest, "lints").any(|line| line == "workspace = true"),
            "{} has to say [lints] workspace = true: only {UNSAFE} may be unsafe",
            package.manifest_path
        );
    }
    Ok(())
}

/// The lines below `[name]` in a manifest.
fn section<'a>(manifest: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let header = format!("[{name}]");
    let mut lines = manifest.lines().map(str::trim);
    lines.find(|line| *line == header);
    lines.take_while(|line| !line.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let manifest = "[lints]\nworkspace = true\n\n[package]\nname = \"x\"\n";
        assert_eq!(section(manifest, "lints").collect::<Vec<_>>(), ["workspace = true", ""]);
        assert_eq!(section(manifest, "package").collect::<Vec<_>>(), ["name = \"x\""]);
        assert_eq!(section(manifest, "absent").count(), 0);
    }
}
