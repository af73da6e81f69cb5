//! Devices by name, as the Container Device Interface has them: a vendor's file says what a device takes.
//!
//! See github.com/cncf-tags/container-device-interface. Specifications are read as JSON; hooks are refused, for nothing of
//! the host is run on a container's behalf.

use std::{fs, io, path::Path};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Mount, MountBuilder};
use serde::Deserialize;

use super::{
    devices::{self, Device},
    spec::invalid,
};
use crate::error::EngineError;

/// What a device changes about a container.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub env: Vec<String>,
    /// Each with what may be done with it.
    pub nodes: Vec<(LinuxDevice, String)>,
    pub mounts: Vec<Mount>,
}

/// Whether this is a device's full name: `vendor.example/class=name`.
pub fn is_name(text: &str) -> bool {
    let word = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    word(vendor, "_-.") && word(class, "_-.") && word(name, "_-.:")
}

/// What the devices with these names change, as the files in `directories` say; later directories win.
pub(super) fn find(names: &[String], directories: &[&str]) -> Result<Edits, EngineError> {
    let mut edits = Edits::default();
    if names.is_empty() {
        return Ok(edits);
    }
    let specifications = read_all(directories)?;
    let mut unknown = Vec::new();
    for name in names {
        let (kind, device) = name.split_once('=').unwrap_or((name, ""));
        let found = specifications.iter().rev().filter(|specification| specification.kind == kind).find_map(
            |specification| {
                let device = specification.devices.iter().find(|known| known.name == device)?;
                Some((specification, device))
            },
        );
        match found {
            Some((specification, device)) => {
                edits.add(&specification.container_edits, name)?;
                edits.add(&device.container_edits, name)?;
            }
            None => unknown.push(name.as_str()),
        }
    }
    match unknown.is_empty() {
        true => Ok(edits),
        false => Err(failed(&format!("unresolvable CDI devices {}", unknown.join(", ")))),
    }
}

impl Edits {
    fn add(&mut self, given: &ContainerEdits, name: &str) -> Result<(), EngineError> {
        if !given.hooks.is_empty() {
            return Err(failed(&format!("{name} has hooks, which are not run")));
        }
        self.env.extend(given.env.iter().cloned());
        for node in &given.device_nodes {
            let access = node.permissions.clone().unwrap_or_else(|| "rwm".to_owned());
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
                    self.nodes.extend(devices::nodes(&[device])?);
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
                .typ("bind")
                .source(&mount.host_path)
                .options(options);
            self.mounts.push(mount.build().map_err(invalid)?);
        }
        Ok(())
    }
}

fn read_all(directories: &[&str]) -> Result<Vec<Specification>, EngineError> {
    let mut all = Vec::new();
    for directory in directories {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|source| EngineError::File { path: directory.into(), source })?,
        };
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        {
            all.push(read(file)?);
        }
    }
    Ok(all)
}

fn read(file: &Path) -> Result<Specification, EngineError> {
    let text = fs::read(file).map_err(|source| EngineError::File { path: file.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|error| failed(&format!("{}: {error}", file.display())))
}

fn failed(why: &str) -> EngineError {
    EngineError::Invalid(format!("CDI device injection failed: {why}"))
}

/// Where vendors put their files, the more transient place last.
pub(super) const DIRECTORIES: &[&str] = &["/etc/cdi", "/var/run/cdi"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification {
    kind: String,
    devices: Vec<Named>,
    #[serde(default)]
    container_edits: ContainerEdits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    name: String,
    #[serde(default)]
    container_edits: ContainerEdits,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<HostMount>,
    hooks: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HostMount {
    host_path: String,
    container_path: String,
    #[serde(default)]
    options: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_vendor_and_a_class() {
        for text in ["vendor.example/class=name", "nvidia.com/gpu=0:1"] {
            assert!(is_name(text), "{text}");
        }
        for text in ["/dev/null", "/dev/a=b", "vendor=name", "a/b", "a/b=", "a/b=c d"] {
            assert!(!is_name(text), "{text}");
        }
    }

    #[test]
    fn a_vendors_file_says_what_a_device_takes() {
        let directory = std::env::temp_dir().join(format!("cdi-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let text = r#"{
            "cdiVersion": "0.6.0",
            "kind": "vendor.example/thing",
            "containerEdits": { "env": ["THINGS=1"] },
            "devices": [
                { "name": "null", "containerEdits": {
                    "deviceNodes": [{ "path": "/dev/thing", "hostPath": "/dev/null", "permissions": "r" }],
                    "mounts": [{ "hostPath": "/srv", "containerPath": "/srv" }]
                }},
                { "name": "hooked", "containerEdits": { "hooks": [{ "hookName": "prestart", "path": "/bin/true" }] }}
            ]
        }"#;
        fs::write(directory.join("thing.json"), text).unwrap();
        let find = |name: &str| find(&[name.to_owned()], &["/nosuch", directory.to_str().unwrap()]);
        let edits = find("vendor.example/thing=null").unwrap();
        assert_eq!(edits.env, ["THINGS=1"]);
        assert_eq!((edits.nodes[0].0.minor(), edits.nodes[0].1.as_str()), (3, "r"));
        assert_eq!(edits.mounts[0].destination(), Path::new("/srv"));
        let refused = |name: &str| find(name).map(drop).unwrap_err().to_string();
        assert_eq!(
            refused("vendor.example/thing=nosuch"),
            "CDI device injection failed: unresolvable CDI devices vendor.example/thing=nosuch"
        );
        assert!(refused("vendor.example/thing=hooked").contains("hooks"));
        fs::remove_dir_all(&directory).unwrap();
    }
}
