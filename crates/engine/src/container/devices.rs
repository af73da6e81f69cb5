//! Devices of the host in a container.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use super::spec::invalid;
use crate::error::EngineError;

/// A device, or a directory of them, that a container gets.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Device {
    pub host: PathBuf,
    pub container: PathBuf,
    /// Some of the letters `rwm`: read, write, make.
    pub access: String,
}

/// A line for the cgroup that says which devices may be opened: `c 1:8 rwm`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceRule(String);

/// No line of that form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid device cgroup format '{0}'")]
pub struct InvalidDeviceRule(String);

impl FromStr for DeviceRule {
    type Err = InvalidDeviceRule;

    fn from_str(text: &str) -> Result<DeviceRule, InvalidDeviceRule> {
        let number =
            |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let access = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b"rwm".contains(&b));
        let valid = match text.split(' ').collect::<Vec<_>>().as_slice() {
            ["a" | "b" | "c", numbers, letters] => {
                numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                    && access(letters)
            }
            _ => false,
        };
        if valid { Ok(DeviceRule(text.to_owned())) } else { Err(InvalidDeviceRule(text.to_owned())) }
    }
}

impl DeviceRule {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_rule(&self) -> Result<LinuxDeviceCgroup, EngineError> {
        let mut words = self.0.split([' ', ':']);
        let mut word = || words.next().unwrap_or_default();
        let kind = match word() {
            "b" => LinuxDeviceType::B,
            "c" => LinuxDeviceType::C,
            _ => LinuxDeviceType::A,
        };
        let (major, minor) = (word().parse().ok(), word().parse().ok());
        let mut rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(kind)
            .access(word())
            .build()
            .map_err(invalid)?;
        rule.set_major(major);
        rule.set_minor(minor);
        Ok(rule)
    }
}

/// The nodes to make for `devices`, each with what may be done with it.
pub(super) fn nodes(devices: &[Device]) -> Result<Vec<(LinuxDevice, String)>, EngineError> {
    let mut nodes = Vec::new();
    for device in devices {
        let path = device.host.display();
        let refused = |what: &str| {
            EngineError::Invalid(format!(
                "error gathering device information while adding custom device \"{path}\": {what}"
            ))
        };
        // A link stands for the device it leads to.
        let stat = fs::metadata(&device.host).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refused("no such file or directory"),
            _ => refused(&error.to_string()),
        })?;
        if stat.is_dir() {
            below(&device.host, &device.container, &device.access, &mut nodes)
                .map_err(|error| refused(&error.to_string()))?;
        } else {
            let node = node(&stat, &device.container).ok_or_else(|| refused("not a device node"))?;
            nodes.push((node?, device.access.clone()));
        }
    }
    Ok(nodes)
}

/// All devices of the host, for a container that may do anything.
pub(super) fn every() -> Result<Vec<LinuxDevice>, EngineError> {
    let mut nodes = Vec::new();
    below(Path::new("/dev"), Path::new("/dev"), "rwm", &mut nodes)?;
    Ok(nodes.into_iter().map(|(node, _)| node).collect())
}

/// The devices in `directory` and below, but for what is no matter of a container's: terminals, queues, shared memory.
fn below(
    directory: &Path,
    container: &Path,
    access: &str,
    nodes: &mut Vec<(LinuxDevice, String)>,
) -> Result<(), EngineError> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        let inside = container.join(&name);
        if kind.is_dir() {
            if !["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"].iter().any(|own| name == *own)
            {
                below(&entry.path(), &inside, access, nodes)?;
            }
        } else if (kind.is_block_device() || kind.is_char_device()) && name != "console" {
            // It may have gone meanwhile, as devices do.
            let Ok(stat) = entry.metadata() else { continue };
            if let Some(node) = node(&stat, &inside) {
                nodes.push((node?, access.to_owned()));
            }
        }
    }
    Ok(())
}

fn node(stat: &fs::Metadata, path: &Path) -> Option<Result<LinuxDevice, EngineError>> {
    let kind = match stat.file_type() {
        kind if kind.is_block_device() => LinuxDeviceType::B,
        kind if kind.is_char_device() => LinuxDeviceType::C,
        _ => return None,
    };
    let node = LinuxDeviceBuilder::default()
        .path(path)
        .typ(kind)
        .major(i64::from(rustix::fs::major(stat.rdev())))
        .minor(i64::from(rustix::fs::minor(stat.rdev())))
        .file_mode(stat.mode() & 0o777)
        .uid(stat.uid())
        .gid(stat.gid())
        .build();
    Some(node.map_err(invalid))
}

/// The rule that lets a container use `node` as `access` says.
pub(super) fn rule_for(node: &LinuxDevice, access: &str) -> Result<LinuxDeviceCgroup, EngineError> {
    let mut rule = LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(node.typ())
        .access(access)
        .build()
        .map_err(invalid)?;
    rule.set_major(Some(node.major()));
    rule.set_minor(Some(node.minor()));
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_what_the_kernel_takes() {
        for text in ["c 1:8 rwm", "b *:* m", "a 7:* rw"] {
            assert_eq!(text.parse::<DeviceRule>().map(|rule| rule.as_str().to_owned()), Ok(text.to_owned()));
        }
        for text in ["", "nosuch", "d 1:8 r", "c 1 r", "c 1:x r", "c 1:8 x", "c 1:8 rwmr", "c 1:8"] {
            assert!(text.parse::<DeviceRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_device_is_found_with_its_numbers_and_a_file_is_none() {
        let device =
            |host: &str| Device { host: host.into(), container: "/dev/mine".into(), access: "r".to_owned() };
        let found = nodes(&[device("/dev/null")]).expect("every machine has it");
        let [(node, access)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((node.major(), node.minor(), access.as_str()), (1, 3, "r"));
        assert_eq!(node.path(), Path::new("/dev/mine"));
        let refused = |host: &str| nodes(&[device(host)]).map_err(|error| error.to_string()).unwrap_err();
        let text = "error gathering device information while adding custom device";
        assert_eq!(refused("/dev/nosuch"), format!("{text} \"/dev/nosuch\": no such file or directory"));
        assert_eq!(refused("/proc/version"), format!("{text} \"/proc/version\": not a device node"));
    }
}
