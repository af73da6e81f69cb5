//! The options of volumes that are no directories of ours: what is mounted in their place, as docker's `local` driver
//! takes it. `type` is a file system, `device` what it is on, `o` the options of mount(8).

use std::{
    collections::BTreeMap,
    ffi::CString,
    io,
    net::{IpAddr, ToSocketAddrs},
    path::Path,
};

use rustix::mount::{MountFlags, MountPropagationFlags};
use types::Bytes;

use crate::error::EngineError;

type Options = BTreeMap<String, String>;

/// Why docker would refuse a volume with these options.
pub fn check(options: &Options) -> Result<(), String> {
    if let Some(unknown) = options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("invalid option: {unknown:?}"));
    }
    if let Some(size) = options.get("size") {
        size.parse::<Bytes>().map_err(|error| error.to_string())?;
    }
    for (given, needed) in [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")] {
        if options.contains_key(given) && !options.contains_key(needed) {
            return Err(format!("missing required option: {needed:?}"));
        }
    }
    Ok(())
}

/// How many bytes the volume may hold, if that is limited.
pub fn size(options: &Options) -> Option<u64> {
    let Bytes(bytes) = options.get("size")?.parse().ok()?;
    Some(bytes).filter(|bytes| *bytes > 0)
}

/// Whether something has to be mounted before the volume can be used.
pub fn takes_a_mount(options: &Options) -> bool {
    options.contains_key("device")
}

/// Mounts what `options` say on the directory `place`.
pub fn mount(options: &Options, place: &Path) -> Result<(), EngineError> {
    let given = |key: &str| options.get(key).map(String::as_str).unwrap_or_default();
    let (kind, device) = (given("type"), given("device"));
    let mut parsed = Parsed::of(given("o"));
    let failed = |parsed: &Parsed, why: io::Error| EngineError::VolumeMount {
        place: place.to_owned(),
        what: parsed.describe(device, place),
        why,
    };
    if kind.starts_with("nfs") || kind == "cifs" {
        parsed.resolve_address().map_err(|why| failed(&parsed, why))?;
    }
    let mounted = parsed.data().and_then(|data| {
        rustix::mount::mount(device, place, kind, parsed.flags, Some(data.as_c_str()))?;
        let read_only_bind = MountFlags::BIND | MountFlags::RDONLY;
        if parsed.flags.contains(read_only_bind) {
            rustix::mount::mount_remount(place, read_only_bind, c"")?;
        }
        if let Some(propagation) = parsed.propagation {
            rustix::mount::mount_change(place, propagation)?;
        }
        Ok(())
    });
    mounted.map_err(|why| failed(&parsed, why))
}

/// Options of mount(8), sorted by who they are for.
#[derive(Debug)]
struct Parsed {
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    /// What only the file system knows.
    data: Vec<String>,
}

impl Parsed {
    fn of(options: &str) -> Parsed {
        let mut parsed = Parsed { flags: MountFlags::empty(), propagation: None, data: Vec::new() };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            use MountFlags as Flag;
            let (flag, set) = match option {
                "defaults" | "remount" => continue,
                "ro" => (Flag::RDONLY, true),
                "rw" => (Flag::RDONLY, false),
                "bind" => (Flag::BIND, true),
                "rbind" => (Flag::BIND | Flag::REC, true),
                "nosuid" => (Flag::NOSUID, true),
                "suid" => (Flag::NOSUID, false),
                "nodev" => (Flag::NODEV, true),
                "dev" => (Flag::NODEV, false),
                "noexec" => (Flag::NOEXEC, true),
                "exec" => (Flag::NOEXEC, false),
                "sync" => (Flag::SYNCHRONOUS, true),
                "async" => (Flag::SYNCHRONOUS, false),
                "dirsync" => (Flag::DIRSYNC, true),
                "mand" => (Flag::PERMIT_MANDATORY_FILE_LOCKING, true),
                "nomand" => (Flag::PERMIT_MANDATORY_FILE_LOCKING, false),
                "noatime" => (Flag::NOATIME, true),
                "atime" => (Flag::NOATIME, false),
                "nodiratime" => (Flag::NODIRATIME, true),
                "diratime" => (Flag::NODIRATIME, false),
                "relatime" => (Flag::RELATIME, true),
                "norelatime" => (Flag::RELATIME, false),
                "strictatime" => (Flag::STRICTATIME, true),
                "nostrictatime" => (Flag::STRICTATIME, false),
                other => {
                    match propagation(other) {
                        Some(propagation) => parsed.propagation = Some(propagation),
                        None => parsed.data.push(other.to_owned()),
                    }
                    continue;
                }
            };
            parsed.flags.set(flag, set);
        }
        parsed
    }

    /// The kernel wants a server's address where people write its name.
    fn resolve_address(&mut self) -> io::Result<()> {
        for option in &mut self.data {
            let Some(name) = option.strip_prefix("addr=") else { continue };
            if name.parse::<IpAddr>().is_err() {
                let found = (name, 0).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
                *option = format!("addr={}", found.ip());
            }
        }
        Ok(())
    }

    fn data(&self) -> io::Result<CString> {
        Ok(CString::new(self.data.join(","))?)
    }

    fn describe(&self, device: &str, place: &Path) -> String {
        let mut text = format!("{device}:{}", place.display());
        if !self.flags.is_empty() {
            text.push_str(&format!(", flags: {:#x}", self.flags.bits()));
        }
        if !self.data.is_empty() {
            text.push_str(&format!(", data: {}", self.data.join(",")));
        }
        text
    }
}

fn propagation(word: &str) -> Option<MountPropagationFlags> {
    use MountPropagationFlags as Flag;
    let (kind, recursive) = match word.strip_prefix('r') {
        Some(kind) => (kind, Flag::REC),
        None => (word, Flag::empty()),
    };
    let kind = match kind {
        "private" => Flag::PRIVATE,
        "shared" => Flag::SHARED,
        "slave" => Flag::DOWNSTREAM,
        "unbindable" => Flag::UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

const KNOWN: [&str; 4] = ["device", "o", "size", "type"];

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_come_together_or_not_at_all() {
        let check = |pairs: &[(&str, &str)]| check(&options(pairs)).err().unwrap_or_default();
        assert_eq!(check(&[]), "");
        assert_eq!(check(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]), "");
        assert_eq!(check(&[("type", "tmpfs")]), "missing required option: \"device\"");
        assert_eq!(check(&[("device", "/srv")]), "missing required option: \"type\"");
        assert_eq!(check(&[("o", "bind")]), "missing required option: \"device\"");
        assert_eq!(check(&[("colour", "red")]), "invalid option: \"colour\"");
        assert_eq!(check(&[("size", "10m")]), "");
        assert_eq!(size(&options(&[("size", "10m")])), Some(10 << 20));
        assert_eq!(size(&options(&[("size", "0")])), None);
        assert_eq!(check(&[("size", "lots")]), "invalid size: 'lots'");
    }

    #[test]
    fn flags_are_the_kernels_and_the_rest_is_the_file_systems() {
        let parsed = Parsed::of("rw,addr=10.0.0.1,nosuid,ro,vers=4,rslave");
        assert_eq!(parsed.flags, MountFlags::RDONLY | MountFlags::NOSUID);
        assert_eq!(parsed.data, ["addr=10.0.0.1", "vers=4"]);
        assert_eq!(parsed.propagation, Some(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC));
        let described = parsed.describe(":/srv", Path::new("/place"));
        assert_eq!(described, ":/srv:/place, flags: 0x3, data: addr=10.0.0.1,vers=4");
    }

    #[test]
    fn a_servers_name_becomes_its_address() {
        let mut parsed = Parsed::of("addr=localhost,hard");
        parsed.resolve_address().unwrap();
        assert!(["addr=127.0.0.1", "addr=::1"].contains(&parsed.data[0].as_str()), "{parsed:?}");
    }
}
