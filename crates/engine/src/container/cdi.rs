//! Devices by name, as the Container Device Interface has them: a vendor's file says what a device takes.
//!
//! See github.com/cncf-tags/container-device-interface. Specifications are JSON or YAML; one that cannot be read counts for
//! nothing, and is told of only when a device is not found. What the runtime does not have is refused.

use std::{collections::HashSet, fs, io, path::Path};

use oci_spec::runtime::{
    Hook, HookBuilder, Hooks, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Mount, MountBuilder,
};
use serde::Deserialize;

use super::{
    devices::{self, Device},
    isolation::DeviceRequest,
    spec::invalid,
};
use crate::error::EngineError;

/// What devices change about a container.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub env: Vec<String>,
    /// Each with what may be done with it.
    pub nodes: Vec<(LinuxDevice, String)>,
    pub mounts: Vec<Mount>,
    /// Groups that its first process is in as well.
    pub groups: Vec<u32>,
    pub hooks: Hooks,
}

/// Whether this is a device's full name: `vendor.example/class=name`.
pub fn is_name(text: &str) -> bool {
    let word = |text: &str, first: fn(&char) -> bool, more: &str| {
        text.chars().next().is_some_and(|c| first(&c))
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    word(vendor, char::is_ascii_alphabetic, "_-.")
        && word(class, char::is_ascii_alphabetic, "_-.")
        && word(name, char::is_ascii_alphanumeric, "_-.:")
}

/// What the devices that are asked for change, as the files in `directories` say; later directories win.
pub(super) fn find(requests: &[DeviceRequest], directories: &[&str]) -> Result<Edits, EngineError> {
    let mut edits = Edits::default();
    if requests.is_empty() {
        return Ok(edits);
    }
    let known = Known::read(directories)?;
    for request in requests {
        if request.is_for_processors() && !known.all.iter().any(|one| one.specification.kind == PROCESSORS) {
            let text = "could not select device driver \"\" with capabilities: [[gpu]]";
            return Err(EngineError::Invalid(text.to_owned()));
        }
    }
    let names: Vec<String> = requests.iter().flat_map(|request| request.names(PROCESSORS)).collect();
    let found: Vec<_> = names.iter().map(|name| known.device(name)).collect();
    let missing: Vec<&str> = names
        .iter()
        .zip(&found)
        .filter(|(_, found)| found.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(EngineError::NoDevices { names: missing.join(", "), unread: known.unread });
    }
    let mut applied = HashSet::new();
    for (name, (nth, device)) in names.iter().zip(found.into_iter().flatten()) {
        // What all devices of a file have in common is done once.
        if applied.insert(nth) {
            edits.add(&known.all[nth].specification.container_edits, name)?;
        }
        edits.add(&device.container_edits, name)?;
    }
    Ok(edits)
}

impl Edits {
    fn add(&mut self, given: &ContainerEdits, name: &str) -> Result<(), EngineError> {
        let beyond = [
            (given.intel_rdt.is_some(), "settings of Intel RDT, which are not supported"),
            (!given.net_devices.is_empty(), "network devices, which are not supported"),
        ];
        if let Some((_, what)) = beyond.iter().find(|(has, _)| *has) {
            let text = format!("CDI device injection failed: {name} has {what}");
            return Err(EngineError::Invalid(text));
        }
        for hook in &given.hooks {
            let Some(moment) = hook.moment(&mut self.hooks) else {
                let text = format!(
                    "CDI device injection failed: {name} has a hook of no moment: {:?}",
                    hook.hook_name
                );
                return Err(EngineError::Invalid(text));
            };
            moment.get_or_insert_default().push(hook.build()?);
        }
        self.env.extend(given.env.iter().cloned());
        for gid in given.additional_gids.iter().filter(|gid| **gid != 0) {
            if !self.groups.contains(gid) {
                self.groups.push(*gid);
            }
        }
        for node in &given.device_nodes {
            let access = node.permissions.clone().unwrap_or_else(|| "rwm".to_owned());
            // The same path again replaces what was there.
            self.nodes.retain(|(other, _)| *other.path() != *Path::new(&node.path));
            match (&node.kind, node.major, node.minor) {
                (Some(kind), Some(major), Some(minor)) => {
                    let kind = if kind == "b" { LinuxDeviceType::B } else { LinuxDeviceType::C };
                    let device = LinuxDeviceBuilder::default()
                        .path(&node.path)
                        .typ(kind)
                        .major(major)
                        .minor(minor)
                        .file_mode(node.file_mode.unwrap_or(0o666))
                        .uid(node.uid.unwrap_or(0))
                        .gid(node.gid.unwrap_or(0));
                    self.nodes.push((device.build().map_err(invalid)?, access));
                }
                _ => {
                    let host = node.host_path.as_ref().unwrap_or(&node.path).into();
                    let device = Device { host, container: node.path.clone().into(), access };
                    for (mut made, access) in devices::nodes(&[device])? {
                        made.set_file_mode(node.file_mode.or(made.file_mode()));
                        made.set_uid(node.uid.or(made.uid()));
                        made.set_gid(node.gid.or(made.gid()));
                        self.nodes.push((made, access));
                    }
                }
            }
        }
        for mount in &given.mounts {
            let options = match mount.options.is_empty() {
                true => vec!["rbind".to_owned(), "ro".to_owned(), "nosuid".to_owned(), "nodev".to_owned()],
                false => mount.options.clone(),
            };
            let mount = MountBuilder::default()
                .destination(&mount.container_path)
                .typ(mount.kind.as_deref().unwrap_or("bind"))
                .source(&mount.host_path)
                .options(options);
            self.mounts.push(mount.build().map_err(invalid)?);
        }
        Ok(())
    }
}

/// All specifications there are.
struct Known {
    all: Vec<Found>,
    /// What was wrong with those that could not be read.
    unread: Vec<String>,
}

struct Found {
    /// How its directory ranks.
    rank: usize,
    specification: Specification,
}

impl Known {
    fn read(directories: &[&str]) -> Result<Known, EngineError> {
        let mut known = Known { all: Vec::new(), unread: Vec::new() };
        for (rank, directory) in directories.iter().enumerate() {
            let entries = match fs::read_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|source| EngineError::File { path: directory.into(), source })?,
            };
            let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
            files.sort();
            for file in files {
                match read(&file) {
                    Some(Ok(specification)) => known.all.push(Found { rank, specification }),
                    Some(Err(why)) => known.unread.push(format!("{}: {why}", file.display())),
                    None => {}
                }
            }
        }
        Ok(known)
    }

    /// The device of this name, and which file has it. Two that have it, in directories of equal rank, have none.
    fn device(&self, name: &str) -> Option<(usize, &Named)> {
        let (kind, device) = name.split_once('=')?;
        let named = self.all.iter().enumerate().filter_map(|(nth, Found { rank, specification })| {
            let of_kind = (specification.kind == kind).then_some(&specification.devices)?;
            Some((*rank, nth, of_kind.iter().find(|known| known.name == device)?))
        });
        let named: Vec<_> = named.collect();
        let highest = named.iter().map(|(rank, ..)| *rank).max()?;
        match named.iter().filter(|(rank, ..)| *rank == highest).collect::<Vec<_>>().as_slice() {
            [(_, nth, device)] => Some((*nth, device)),
            _ => None,
        }
    }
}

/// The specification in a file; none, if its name is not that of one.
fn read(file: &Path) -> Option<Result<Specification, String>> {
    let parse: fn(&str) -> Result<Specification, String> = match file.extension()?.to_str()? {
        "json" => |text| serde_json::from_str(text).map_err(|error| error.to_string()),
        "yaml" => |text| serde_saphyr::from_str(text).map_err(|error| error.to_string()),
        _ => return None,
    };
    Some(fs::read_to_string(file).map_err(|error| error.to_string()).and_then(|text| parse(&text)))
}

/// Where vendors put their files, the more transient place last.
pub(super) const DIRECTORIES: &[&str] = &["/etc/cdi", "/var/run/cdi"];
/// The kind of devices that `--gpus` is about.
const PROCESSORS: &str = "nvidia.com/gpu";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Specification {
    #[serde(rename = "cdiVersion")]
    _version: String,
    kind: String,
    devices: Vec<Named>,
    #[serde(default)]
    container_edits: ContainerEdits,
    #[serde(default, rename = "annotations")]
    _annotations: serde::de::IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Named {
    name: String,
    #[serde(default)]
    container_edits: ContainerEdits,
    #[serde(default, rename = "annotations")]
    _annotations: serde::de::IgnoredAny,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<HostMount>,
    additional_gids: Vec<u32>,
    hooks: Vec<GivenHook>,
    intel_rdt: Option<serde::de::IgnoredAny>,
    net_devices: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    path: String,
    host_path: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<i64>,
    minor: Option<i64>,
    file_mode: Option<u32>,
    permissions: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GivenHook {
    hook_name: String,
    path: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    /// Seconds.
    timeout: Option<i64>,
}

impl GivenHook {
    /// Those of the same moment of a container's life; `None` if there is no such moment.
    fn moment<'a>(&self, hooks: &'a mut Hooks) -> Option<&'a mut Option<Vec<Hook>>> {
        Some(match &*self.hook_name {
            // Of an older version of the runtime's specification, and what most vendors have.
            #[allow(deprecated)]
            "prestart" => hooks.prestart_mut(),
            "createRuntime" => hooks.create_runtime_mut(),
            "createContainer" => hooks.create_container_mut(),
            "startContainer" => hooks.start_container_mut(),
            "poststart" => hooks.poststart_mut(),
            "poststop" => hooks.poststop_mut(),
            _ => return None,
        })
    }

    fn build(&self) -> Result<Hook, EngineError> {
        let mut hook = HookBuilder::default().path(&self.path).env(self.env.clone());
        if !self.args.is_empty() {
            hook = hook.args(self.args.clone());
        }
        if let Some(timeout) = self.timeout {
            hook = hook.timeout(timeout);
        }
        hook.build().map_err(invalid)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HostMount {
    host_path: String,
    container_path: String,
    #[serde(default)]
    options: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_vendor_and_a_class() {
        for text in ["vendor.example/class=name", "nvidia.com/gpu=0:1", "a/b=0"] {
            assert!(is_name(text), "{text}");
        }
        for text in
            ["/dev/null", "/dev/a=b", "vendor=name", "a/b", "a/b=", "a/b=c d", "1/b=c", "a./b=c", "a/b=c:"]
        {
            assert!(!is_name(text), "{text}");
        }
    }

    /// What asking for devices changes, or why it fails, with these files in two directories.
    fn check(files: &[(&str, &str)], requests: &[DeviceRequest]) -> Result<Edits, EngineError> {
        let root = std::env::temp_dir().join(format!(
            "cdi-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        for directory in ["low", "high"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (file, text) in files {
            fs::write(root.join(file), text).unwrap();
        }
        let (low, high) = (root.join("low"), root.join("high"));
        let directories = ["/nosuch", low.to_str().unwrap(), high.to_str().unwrap()];
        let found = find(requests, &directories);
        fs::remove_dir_all(&root).unwrap();
        found
    }

    fn named(names: &[&str]) -> Vec<DeviceRequest> {
        names.iter().map(|name| DeviceRequest::Named((*name).to_owned())).collect()
    }

    fn refusal(files: &[(&str, &str)], requests: &[DeviceRequest]) -> String {
        check(files, requests).map(drop).unwrap_err().to_string()
    }

    const THINGS: &str = r#"{
        "cdiVersion": "0.6.0",
        "kind": "vendor.example/thing",
        "annotations": { "a": "b" },
        "containerEdits": { "env": ["THINGS=1"] },
        "devices": [
            { "name": "null", "containerEdits": {
                "deviceNodes": [{ "path": "/dev/thing", "hostPath": "/dev/null", "permissions": "r" }],
                "mounts": [{ "hostPath": "/srv", "containerPath": "/srv" }],
                "additionalGids": [0, 44, 44]
            }},
            { "name": "other", "containerEdits": { "env": ["OTHER=1"] } },
            { "name": "hooked", "containerEdits": { "hooks": [{ "hookName": "sometimes", "path": "/bin/true" }] }},
            { "name": "linked", "containerEdits": { "hooks": [
                { "hookName": "createContainer", "path": "/bin/link", "args": ["link", "a"], "env": ["A=1"], "timeout": 5 }
            ]}},
            { "name": "cached", "containerEdits": { "intelRdt": { "closID": "x" } } }
        ]
    }"#;

    const PROCESSORS: &str = "
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: \"0\"
  containerEdits:
    env: [FIRST=1]
    deviceNodes:
    - path: /dev/nvidia0
      type: c
      major: 195
      minor: 0
      fileMode: 438
- name: all
  containerEdits:
    mounts:
    - hostPath: /usr/lib
      containerPath: /usr/lib/host
      options: [ro, rbind]
      type: bind
containerEdits:
  env:
  - NVIDIA_VISIBLE_DEVICES=void
";

    #[test]
    fn a_vendors_file_says_what_a_device_takes() {
        let files = [("low/thing.json", THINGS)];
        let edits =
            check(&files, &named(&["vendor.example/thing=null", "vendor.example/thing=other"])).unwrap();
        assert_eq!(edits.env, ["THINGS=1", "OTHER=1"]);
        assert_eq!((edits.nodes[0].0.minor(), edits.nodes[0].1.as_str()), (3, "r"));
        assert_eq!(edits.mounts[0].destination(), Path::new("/srv"));
        assert_eq!(edits.groups, [44]);
        assert_eq!(
            refusal(&files, &named(&["vendor.example/thing=nosuch", "vendor.example/thing=null", "a/b=c"])),
            "CDI device injection failed: unresolvable CDI devices vendor.example/thing=nosuch, a/b=c"
        );
        assert!(
            refusal(&files, &named(&["vendor.example/thing=hooked"])).contains("no moment: \"sometimes\"")
        );
        let edits = check(&files, &named(&["vendor.example/thing=linked"])).unwrap();
        let hook = &edits.hooks.create_container().as_ref().unwrap()[0];
        assert_eq!((hook.path().to_str(), hook.timeout()), (Some("/bin/link"), Some(5)));
        assert!(refusal(&files, &named(&["vendor.example/thing=cached"])).contains("Intel RDT"));
    }

    #[test]
    fn graphics_processors_are_devices_of_their_vendor() {
        let files = [("high/nvidia.yaml", PROCESSORS)];
        let edits = check(&files, &[DeviceRequest::Processors(Some(1))]).unwrap();
        assert_eq!(edits.env, ["NVIDIA_VISIBLE_DEVICES=void", "FIRST=1"]);
        assert_eq!((edits.nodes[0].0.major(), edits.nodes[0].0.file_mode()), (195, Some(0o666)));
        let edits = check(&files, &[DeviceRequest::Processors(None)]).unwrap();
        assert_eq!(edits.mounts[0].destination(), Path::new("/usr/lib/host"));
        assert_eq!(
            refusal(&files, &[DeviceRequest::Chosen(vec!["GPU-1".to_owned()])]),
            "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=GPU-1"
        );
        assert_eq!(
            refusal(&[("low/thing.json", THINGS)], &[DeviceRequest::Processors(None)]),
            "could not select device driver \"\" with capabilities: [[gpu]]"
        );
    }

    #[test]
    fn of_two_files_the_one_in_the_later_directory_counts_and_equals_do_not() {
        let with = |value: &str| THINGS.replace("OTHER=1", value);
        let other = named(&["vendor.example/thing=other"]);
        let (low, high) = (with("OTHER=low"), with("OTHER=high"));
        let edits = check(&[("low/a.json", &low), ("high/b.json", &high)], &other).unwrap();
        assert_eq!(edits.env, ["THINGS=1", "OTHER=high"]);
        assert!(refusal(&[("low/a.json", &low), ("low/b.json", &high)], &other).contains("unresolvable"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_of_when_a_device_is_missing() {
        let files = [
            ("low/bad.json", "{"),
            ("low/new.yaml", "cdiVersion: 9\nkind: a/b\nfuture: 1\ndevices: []"),
            ("low/a.txt", "x"),
        ];
        match check(&files, &named(&["a/b=c"])) {
            Err(EngineError::NoDevices { names, unread }) => {
                assert_eq!(names, "a/b=c");
                assert!(unread[0].contains("bad.json") && unread[1].contains("future"), "{unread:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}
