//! Whether this machine can run another's programs: RUN steps of images for foreign processors.
//!
//! The kernel hands a foreign program to an interpreter, if one is registered with binfmt_misc. What each of them is for
//! is seen in the bytes that it matches: the machine's number in an ELF file's header. See the kernel's
//! Documentation/admin-guide/binfmt-misc.rst.

use std::{fs, path::Path};

use types::Platform;

use crate::{
    BuildError,
    diagnostic::Problem,
    graph::{Action, Graph, OperationId},
    input::Input,
};

/// Fails if a process is to be run that cannot be, before anything is done.
pub fn check(graph: &Graph, input: &Input) -> Result<(), BuildError> {
    for (id, operation) in graph.operations.iter().enumerate() {
        if !matches!(operation.action, Action::Run(_)) {
            continue;
        }
        let Some(platform) = platform(graph, id) else { continue };
        if !can_run(&platform) {
            let message = format!("this machine cannot run programs for {platform}");
            let problem = Problem::new(message, operation.span.clone()).helped(format!(
                "register an interpreter with binfmt_misc, as the package qemu-user-binfmt does, or do this step in a \
                 stage of its own (FROM --platform=$BUILDPLATFORM) and COPY --from it; for {platform} alone \
                 COPY, ADD and settings work here"
            ));
            return Err(BuildError::Foreign { platform, diagnostic: input.diagnostic(problem) });
        }
    }
    Ok(())
}

/// The platform of the image that an operation stands on.
fn platform(graph: &Graph, mut id: OperationId) -> Option<Platform> {
    loop {
        match (&graph.operations[id].action, graph.operations[id].input) {
            (Action::Base(base), _) => return base.as_ref().map(|base| base.config.platform()),
            (_, Some(input)) => id = input,
            (_, None) => return None,
        }
    }
}

fn can_run(platform: &Platform) -> bool {
    let here = Platform::host();
    let is_natural = |one: &str, other: &str| here.architecture == one && platform.architecture == other;
    platform.will_do_for(&here)
        || is_natural("amd64", "386")
        || is_natural("arm64", "arm")
        // One that we know nothing of may be tried: the kernel will say.
        || machine(&platform.architecture).is_none_or(|machine| is_registered(machine, Path::new(REGISTERED)))
}

/// The number of a processor in ELF headers, as it stands there.
fn machine(architecture: &str) -> Option<[u8; 2]> {
    Some(match architecture {
        "386" => 3u16.to_le_bytes(),
        "ppc64le" => 21u16.to_le_bytes(),
        "ppc64" => 21u16.to_be_bytes(),
        "s390x" => 22u16.to_be_bytes(),
        "arm" => 40u16.to_le_bytes(),
        "amd64" => 62u16.to_le_bytes(),
        "mips64le" => 8u16.to_le_bytes(),
        "arm64" => 183u16.to_le_bytes(),
        "riscv64" => 243u16.to_le_bytes(),
        "loong64" => 258u16.to_le_bytes(),
        _ => return None,
    })
}

/// Whether an interpreter in use matches ELF files of this machine.
fn is_registered(machine: [u8; 2], directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let magic = text.lines().find_map(|line| line.strip_prefix("magic ")).unwrap_or_default();
        let wanted = format!("{:02x}{:02x}", machine[0], machine[1]);
        text.starts_with("enabled") && magic.starts_with("7f454c46") && magic.get(36..40) == Some(&wanted)
    })
}

const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_known_by_the_machine_it_is_for() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let entry = "enabled\ninterpreter /usr/bin/qemu\nflags: F\noffset 0\n\
                     magic 7f454c460201010000000000000000000200b700\nmask ff\n";
        fs::write(directory.path().join("whatever"), entry).expect("entry");
        let arm64 = machine("arm64").expect("known");
        assert!(is_registered(arm64, directory.path()));
        assert!(!is_registered(machine("s390x").expect("known"), directory.path()));
        fs::write(directory.path().join("whatever"), entry.replace("enabled", "disabled")).expect("entry");
        assert!(!is_registered(arm64, directory.path()));
    }

    #[test]
    fn this_machine_runs_its_own_programs() {
        assert!(can_run(&Platform::host()));
    }
}
