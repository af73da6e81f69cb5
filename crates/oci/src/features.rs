//! What this runtime can do, in the words of the specification.

use std::path::Path;

use runtime::{all_capabilities, labels};
use serde_json::{Value, json};

use crate::VERSION;

/// The features, as the specification lays them out. What depends on the kernel is looked at, where that tells.
pub fn features() -> Value {
    let mut capabilities: Vec<String> = all_capabilities()
        .into_iter()
        .filter_map(|capability| serde_json::to_value(capability).ok()?.as_str().map(str::to_owned))
        .collect();
    capabilities.sort();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": mount_options(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": false },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW",
                    "SCMP_ACT_ERRNO",
                    "SCMP_ACT_KILL",
                    "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD",
                    "SCMP_ACT_LOG",
                    "SCMP_ACT_NOTIFY",
                    "SCMP_ACT_TRACE",
                    "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ",
                    "SCMP_CMP_GE",
                    "SCMP_CMP_GT",
                    "SCMP_CMP_LE",
                    "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ",
                    "SCMP_CMP_NE",
                ],
                "archs": match cfg!(target_arch = "aarch64") {
                    true => ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"].as_slice(),
                    false => ["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"].as_slice(),
                },
                "knownFlags": SECCOMP_FLAGS,
                "supportedFlags": SECCOMP_FLAGS,
            },
            "apparmor": { "enabled": labels::has_apparmor() },
            "selinux": { "enabled": labels::has_selinux() },
            "intelRdt": { "enabled": false },
            "memoryPolicy": {
                "modes": [
                    "MPOL_BIND",
                    "MPOL_DEFAULT",
                    "MPOL_INTERLEAVE",
                    "MPOL_LOCAL",
                    "MPOL_PREFERRED",
                    "MPOL_PREFERRED_MANY",
                    "MPOL_WEIGHTED_INTERLEAVE",
                ],
                "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
            "mountExtensions": { "idmap": { "enabled": Path::new("/proc/self/ns/user").exists() } },
            "netDevices": { "enabled": false },
        },
        "annotations": {},
    })
}

/// Flags, each for one mount and for those below it, and what else has a meaning of its own.
fn mount_options() -> Vec<String> {
    let flags = [
        "atime",
        "dev",
        "diratime",
        "exec",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "nosymfollow",
        "relatime",
        "ro",
        "rw",
        "strictatime",
        "suid",
        "symfollow",
    ];
    let others = [
        "async",
        "bind",
        "defaults",
        "dirsync",
        "idmap",
        "lazytime",
        "mand",
        "nolazytime",
        "nomand",
        "private",
        "rbind",
        "ridmap",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "shared",
        "slave",
        "sync",
        "tmpcopyup",
        "unbindable",
    ];
    let recursive = flags.iter().map(|flag| format!("r{flag}"));
    let mut all: Vec<String> =
        flags.iter().chain(&others).map(ToString::to_string).chain(recursive).collect();
    all.sort();
    all
}

const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Features;

    use super::*;

    #[test]
    fn features_are_what_the_specification_calls_features() {
        let features: Features = serde_json::from_value(features()).expect("of its form");
        assert_eq!(features.oci_version_max(), VERSION);
    }
}
