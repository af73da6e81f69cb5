//! What a security module is to know a process by. A kernel without the module cannot, and nobody is to think it did.

use std::{fs, io, path::Path};

use oci_spec::runtime::Process;

use crate::failure::{Context, Failure};

/// Has the program that the calling process becomes labelled as `process` says.
pub fn apply(process: &Process) -> Result<(), Failure> {
    let is_said = |label: &&String| !label.is_empty();
    if let Some(profile) = process.apparmor_profile().as_ref().filter(is_said) {
        if !has_apparmor() {
            return Err(Failure::setup("apparmor: config provided but apparmor not supported"));
        }
        // Since Linux 5.8 the module has files of its own; before, it shares them with the others.
        let own = Path::new("/proc/self/attr/apparmor/exec");
        let file = if own.exists() { own } else { Path::new(EXEC) };
        fs::write(file, format!("exec {profile}")).context(format_args!("apparmor profile {profile}"))?;
    }
    if let Some(label) = process.selinux_label().as_ref().filter(is_said) {
        if !has_selinux() {
            let message = "selinux label is specified in config, but selinux is disabled or not supported";
            return Err(Failure::setup(message));
        }
        fs::write(EXEC, label).context(format_args!("selinux label {label}"))?;
    }
    Ok(())
}

pub fn has_apparmor() -> bool {
    let enabled: io::Result<String> = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|enabled| enabled.starts_with('Y'))
}

pub fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

const EXEC: &str = "/proc/self/attr/exec";
