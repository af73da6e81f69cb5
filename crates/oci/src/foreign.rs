//! Another engine's specification, made one that the `runtime` crate carries out to the letter.

use std::{collections::BTreeSet, os::unix::fs::MetadataExt, path::Path};

use oci_spec::runtime::{
    Capability, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace,
    LinuxNamespaceType, LinuxNetwork, LinuxResources, Process, Spec,
};
use runtime::bundle::{OURS, TO_THE_LETTER};
use serde_json::{Map, Value, json};

use crate::{OciError, error::Context, systemd::Scope};

/// Reads a specification. Capabilities that nobody knows are left out; that is what the warnings say.
pub fn parse(text: &[u8]) -> Result<(Spec, Vec<String>), OciError> {
    let mut spec: Value = serde_json::from_slice(text).context("reading config.json")?;
    let warnings = spec.get_mut("process").map(without_unknown_capabilities).unwrap_or_default();
    Ok((serde_json::from_value(spec).context("reading config.json")?, warnings))
}

/// Reads the process section of a specification, in the same way.
pub fn parse_process(text: &[u8]) -> Result<(Process, Vec<String>), OciError> {
    let mut process: Value = serde_json::from_slice(text).context("reading the process")?;
    if let Some(process) = process.as_object_mut() {
        process.entry("user").or_insert_with(|| json!({ "uid": 0, "gid": 0 }));
    }
    let warnings = without_unknown_capabilities(&mut process);
    Ok((serde_json::from_value(process).context("reading the process")?, warnings))
}

fn without_unknown_capabilities(process: &mut Value) -> Vec<String> {
    let mut unknown = BTreeSet::new();
    let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut) {
        set.retain(|name| {
            let is_known = serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !is_known {
                unknown.insert(name.as_str().unwrap_or_default().to_owned());
            }
            is_known
        });
    }
    ignoring(unknown.into_iter().collect())
}

/// Those of `names` that are capabilities, and a warning of the others.
pub fn capabilities(names: Vec<String>) -> (Vec<Capability>, Vec<String>) {
    let known = |name: &String| serde_json::from_value(name.as_str().into()).ok();
    let (named, unknown): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| known(name).is_some());
    (named.iter().filter_map(known).collect(), ignoring(unknown))
}

fn ignoring(unknown: Vec<String>) -> Vec<String> {
    match unknown.is_empty() {
        true => Vec::new(),
        false => vec![format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" "))],
    }
}

/// Takes out of `spec` what only our own engine may say, adds what other runtimes add, and refuses what cannot be carried
/// out.
pub fn adopt(mut spec: Spec, bundle: &Path) -> Result<Spec, OciError> {
    let refuse = |why: &str| Err(OciError::Config(why.to_owned()));
    if !spec.version().is_empty() && !spec.version().starts_with("1.") {
        return refuse(&format!("unsupported version of the runtime specification: {}", spec.version()));
    }
    let Some(process) = spec.process_mut() else { return refuse("process property must not be empty") };
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return refuse("args must not be empty");
    }
    if !process.cwd().is_absolute() {
        return refuse("Cwd must be an absolute path");
    }
    // A word of Windows' specifications, and of our own.
    process.user_mut().set_username(None);
    let Some(root) = spec.root_mut() else { return refuse("root filesystem is not specified") };
    let path = bundle.join(root.path());
    if !path.is_dir() {
        return refuse(&format!("invalid rootfs: {} is not a directory", path.display()));
    }
    root.set_path(path);
    for mount in spec.mounts().iter().flatten() {
        let options = mount.options().iter().flatten();
        let words = mount.typ().iter().chain(options);
        if words.into_iter().any(|word| word.starts_with("x-sampan."))
            || mount.destination() == Path::new("/")
        {
            return refuse(&format!("invalid mount at {}", mount.destination().display()));
        }
    }
    let mut annotations = spec.annotations().clone().unwrap_or_default();
    annotations.retain(|name, _| !name.starts_with(OURS));
    annotations.insert(TO_THE_LETTER.to_owned(), String::new());
    spec.set_annotations(Some(annotations));
    let Some(linux) = spec.linux_mut() else { return refuse("the linux property must not be empty") };
    if linux.intel_rdt().is_some() {
        return refuse("intelRdt is not supported");
    }
    if linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        return refuse("netDevices are not supported");
    }
    if linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()) && !runtime::labels::has_selinux()
    {
        return refuse("selinux label is specified in config, but selinux is disabled or not supported");
    }
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    for (position, namespace) in namespaces.iter().enumerate() {
        if namespaces[..position].iter().any(|earlier| earlier.typ() == namespace.typ()) {
            return refuse(&format!("malformed spec file: duplicated ns {:?}", namespace.typ()));
        }
    }
    for name in linux.sysctl().iter().flat_map(|sysctl| sysctl.keys()) {
        check_sysctl(name, namespaces)?;
    }
    let resources = linux.resources().clone().unwrap_or_default();
    let network = resources.network().as_ref();
    let has_priorities = |network: &LinuxNetwork| {
        network.class_id().is_some_and(|class| class != 0)
            || network.priorities().as_ref().is_some_and(|all| !all.is_empty())
    };
    if network.is_some_and(has_priorities) || resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty()) {
        return refuse("limits of network classes, network priorities and rdma are not supported");
    }
    let has_mappings = linux.uid_mappings().as_ref().is_some_and(|mappings| !mappings.is_empty());
    if has_mappings && !namespaces.iter().any(|one| one.typ() == LinuxNamespaceType::User) {
        return refuse("user namespace mappings specified, but user namespace isn't enabled in the config");
    }
    linux.set_resources(Some(with_usual_devices(resources)));
    Ok(spec)
}

/// Refuses kernel parameters that are not the container's own.
fn check_sysctl(name: &str, namespaces: &[LinuxNamespace]) -> Result<(), OciError> {
    let refuse = |why: String| Err(OciError::Config(why));
    let is_apart = |kind| namespaces.iter().any(|one| one.typ() == kind && !is_the_hosts(one));
    let dotted = name.replace('/', ".");
    let kind = match dotted.as_str() {
        "kernel.hostname" => {
            return refuse(format!(
                "sysctl {name:?} is not allowed as it conflicts with the OCI \"hostname\" field"
            ));
        }
        "kernel.domainname" => LinuxNamespaceType::Uts,
        "kernel.msgmax"
        | "kernel.msgmnb"
        | "kernel.msgmni"
        | "kernel.sem"
        | "kernel.shmall"
        | "kernel.shmmax"
        | "kernel.shmmni"
        | "kernel.shm_rmid_forced" => LinuxNamespaceType::Ipc,
        other if other.starts_with("fs.mqueue.") => LinuxNamespaceType::Ipc,
        other if other.starts_with("user.") => LinuxNamespaceType::User,
        other if other.starts_with("net.") => {
            return match is_apart(LinuxNamespaceType::Network) {
                true => Ok(()),
                false => refuse(format!("sysctl {name:?} not allowed in host network namespace")),
            };
        }
        _ => return refuse(format!("sysctl {name:?} is not in a separate kernel namespace")),
    };
    match is_apart(kind) {
        true => Ok(()),
        false => refuse(format!("sysctl {name:?} is not allowed in the hosts {kind} namespace")),
    }
}

/// Whether this is the namespace that the calling process is in.
fn is_the_hosts(namespace: &LinuxNamespace) -> bool {
    let file = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let own = format!("/proc/self/ns/{}", namespace.typ());
    namespace
        .path()
        .as_ref()
        .is_some_and(|path| file(path).is_some_and(|joined| file(Path::new(&own)) == Some(joined)))
}

/// Adds the devices that every container may use, after all rules. What no rule allows is refused.
fn with_usual_devices(mut resources: LinuxResources) -> LinuxResources {
    let given = resources.devices().clone().unwrap_or_default();
    let rules = [rule(false, LinuxDeviceType::A, None, None, "rwm")].into_iter().chain(given);
    let usual = USUAL.iter().map(|(kind, major, minor, access)| rule(true, *kind, *major, *minor, access));
    resources.set_devices(Some(rules.chain(usual).collect()));
    resources
}

fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access);
    let rule = if let Some(major) = major { rule.major(major) } else { rule };
    let rule = if let Some(minor) = minor { rule.minor(minor) } else { rule };
    rule.build().expect("every field is optional")
}

/// Kind, numbers, access: making any device, and using the harmless ones, terminals, and tunnels of the container's own
/// network.
const USUAL: [(LinuxDeviceType, Option<i64>, Option<i64>, &str); 11] = {
    use LinuxDeviceType::{B, C};
    [
        (C, None, None, "m"),
        (B, None, None, "m"),
        (C, Some(1), Some(3), "rwm"),
        (C, Some(1), Some(8), "rwm"),
        (C, Some(1), Some(7), "rwm"),
        (C, Some(5), Some(0), "rwm"),
        (C, Some(1), Some(5), "rwm"),
        (C, Some(1), Some(9), "rwm"),
        (C, Some(136), None, "rwm"),
        (C, Some(5), Some(2), "rwm"),
        (C, Some(10), Some(200), "rwm"),
    ]
};

/// The container's scope, where systemd makes cgroups.
pub fn scope(spec: &Spec, id: &str) -> Result<Scope, OciError> {
    Scope::parse(cgroups_path(spec), id)
}

/// The container's cgroup, from the root of each tree.
pub fn cgroup(spec: &Spec, id: &str) -> Result<String, OciError> {
    match cgroups_path(spec) {
        "" => Ok(id.to_owned()),
        "/" => Err(OciError::Config("the root cgroup cannot be a container's own".to_owned())),
        path if path.contains(':') && !path.contains('/') => Err(OciError::Config(format!(
            "cgroupsPath {path:?} is systemd's, which --systemd-cgroup has make it"
        ))),
        path => Ok(path.to_owned()),
    }
}

fn cgroups_path(spec: &Spec) -> &str {
    let linux = spec.linux().as_ref();
    linux.and_then(|linux| linux.cgroups_path().as_deref()).and_then(Path::to_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: impl FnOnce(&mut Value)) -> Spec {
        let mut spec = crate::template(false);
        spec["root"]["path"] = json!("/");
        change(&mut spec);
        serde_json::from_value(spec).expect("a specification")
    }

    fn check_refused(change: impl FnOnce(&mut Value), why: &str) {
        let error = adopt(spec(change), Path::new("/")).expect_err(why);
        assert_eq!(error.to_string(), why);
    }

    #[test]
    fn what_is_for_our_own_engine_is_not_heard_from_others() {
        let adopted = adopt(
            spec(|spec| {
                spec["annotations"] = json!({"org.sampan.init": "", "a": "b"});
                spec["process"]["user"]["username"] = json!("root");
            }),
            Path::new("/"),
        );
        let adopted = adopted.expect("adopted");
        let annotations = adopted.annotations().clone().expect("there are some");
        assert_eq!(annotations.len(), 2, "{annotations:?}");
        assert!(annotations.contains_key("a") && annotations.contains_key(TO_THE_LETTER));
        assert_eq!(adopted.process().as_ref().expect("there is one").user().username(), &None);
        check_refused(
            |spec| spec["mounts"] = json!([{"destination": "/x", "type": "x-sampan.secret"}]),
            "invalid mount at /x",
        );
        check_refused(
            |spec| spec["mounts"] = json!([{"destination": "/", "type": "overlay"}]),
            "invalid mount at /",
        );
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused() {
        check_refused(
            |spec| drop(spec.as_object_mut().expect("one").remove("process")),
            "process property must not be empty",
        );
        check_refused(|spec| spec["process"]["args"] = json!([]), "args must not be empty");
        check_refused(|spec| spec["process"]["cwd"] = json!("x"), "Cwd must be an absolute path");
        check_refused(
            |spec| spec["ociVersion"] = json!("2.0.0"),
            "unsupported version of the runtime specification: 2.0.0",
        );
        check_refused(
            |spec| spec["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "mount"}]),
            "malformed spec file: duplicated ns Mount",
        );
    }

    #[test]
    fn parameters_of_the_host_are_not_the_containers() {
        let sysctl = |name: &str| {
            adopt(spec(|spec| spec["linux"]["sysctl"] = json!({ name: "1" })), Path::new("/")).map(drop)
        };
        for own in [
            "net.ipv4.ip_forward",
            "kernel.msgmax",
            "fs.mqueue.msg_max",
            "kernel.domainname",
            "net/core/somaxconn",
        ] {
            assert!(sysctl(own).is_ok(), "{own}");
        }
        let error = sysctl("kernel.pid_max").expect_err("the host's").to_string();
        assert_eq!(error, "sysctl \"kernel.pid_max\" is not in a separate kernel namespace");
        assert!(sysctl("kernel.hostname").is_err() && sysctl("user.max_user_namespaces").is_err());
        let shared = |spec: &mut Value| {
            spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
            spec["linux"]["namespaces"] =
                json!([{"type": "mount"}, {"type": "network", "path": "/proc/self/ns/net"}]);
        };
        check_refused(shared, "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace");
    }

    #[test]
    fn capabilities_that_nobody_knows_are_left_out_with_a_warning() {
        let text = r#"{"process": {"user": {}, "cwd": "/", "args": ["a"],
            "capabilities": {"bounding": ["CAP_KILL", "CAP_NONSENSE"], "ambient": ["CAP_NONSENSE"]}}}"#;
        let (spec, warnings) = parse(text.as_bytes()).expect("a specification");
        assert_eq!(warnings, ["ignoring unknown or unavailable capabilities: [CAP_NONSENSE]"]);
        let capabilities = spec.process().as_ref().and_then(|process| process.capabilities().clone());
        let capabilities = capabilities.expect("they are there");
        assert_eq!(capabilities.bounding(), &Some([Capability::Kill].into()));
        assert_eq!(capabilities.ambient().as_ref().map(|set| set.len()), Some(0));
    }

    #[test]
    fn all_devices_are_refused_but_the_usual_and_those_that_are_allowed() {
        let adopted = adopt(spec(|_| {}), Path::new("/")).expect("adopted");
        let rules =
            adopted.linux().as_ref().and_then(|linux| linux.resources().clone()).expect("there are some");
        let rules = rules.devices().clone().expect("there are some");
        assert_eq!(rules.len(), 2 + USUAL.len());
        assert!(
            rules[..2].iter().all(|rule| !rule.allow()) && rules[2..].iter().all(LinuxDeviceCgroup::allow)
        );
    }

    #[test]
    fn a_cgroup_is_where_the_specification_says_or_called_like_the_container() {
        let path = |path: &str| cgroup(&spec(|spec| spec["linux"]["cgroupsPath"] = json!(path)), "id").ok();
        assert_eq!(path("").as_deref(), Some("id"));
        assert_eq!(path("/docker/abc").as_deref(), Some("/docker/abc"));
        assert_eq!(path("system.slice:docker:abc"), None);
    }

    #[test]
    fn specifications_that_nobody_would_write_are_refused_or_say_nothing_to_our_engine() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/config");
        let words = [
            "\"",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "-1",
            "18446744073709551616",
            "1e999",
            "..",
            "x-sampan.",
            "org.sampan.",
            "\"type\":\"user\"",
            "\"path\":\"/proc/self/ns/net\"",
        ];
        testkit::fuzz(&corpus, &words, |bytes| {
            let Ok((spec, _)) = parse(bytes) else { return };
            let Ok(adopted) = adopt(spec, Path::new("/")) else { return };
            let annotations = adopted.annotations().clone().unwrap_or_default();
            assert!(annotations.keys().all(|name| !name.starts_with(OURS) || name == TO_THE_LETTER));
            let mounts = adopted.mounts().iter().flatten();
            let words = mounts.flat_map(|mount| mount.typ().iter().chain(mount.options().iter().flatten()));
            assert!(words.into_iter().all(|word| !word.starts_with("x-sampan.")));
            assert!(adopted.root().as_ref().is_some_and(|root| root.path().is_dir()));
            let _ = cgroup(&adopted, "container");
        });
    }
}
