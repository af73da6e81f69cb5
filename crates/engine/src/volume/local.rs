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
    let kind = given("type");
    let mut parsed = Parsed::of(given("o"));
    let unknown = |host: String| EngineError::VolumeAddress { place: place.to_owned(), host };
    let device = parsed.resolve(kind, given("device")).map_err(unknown)?;
    let mounted = parsed.data().and_then(|data| {
        rustix::mount::mount(device.as_str(), place, kind, parsed.flags, Some(data.as_c_str()))?;
        let read_only_bind = MountFlags::BIND | MountFlags::RDONLY;
        if parsed.flags.contains(read_only_bind) {
            rustix::mount::mount_remount(place, read_only_bind, c"")?;
        }
        if let Some(propagation) = parsed.propagation {
            rustix::mount::mount_change(place, propagation)?;
        }
        Ok(())
    });
    mounted.map_err(|why| EngineError::VolumeMount {
        place: place.to_owned(),
        what: parsed.describe(&device, place),
        why,
    })
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

    /// What the kernel is to mount: it wants a server's address where people write its name. Fails with a name that
    /// nobody knows.
    fn resolve(&mut self, kind: &str, device: &str) -> Result<String, String> {
        let device = device.to_owned();
        if !(kind.starts_with("nfs") || kind == "cifs") {
            return Ok(device);
        }
        if let Some(option) = self.data.iter_mut().find(|option| option.starts_with("addr=")) {
            let name = &option["addr=".len()..];
            if name.parse::<IpAddr>().is_err() {
                *option = format!("addr={}", address_of(name)?);
                return Ok(device);
            }
        }
        match device.strip_prefix("//").and_then(|rest| rest.split_once('/')) {
            Some((host, share)) if kind == "cifs" && !host.is_empty() && host.parse::<IpAddr>().is_err() => {
                Ok(format!("//{}/{share}", address_of(host)?))
            }
            _ => Ok(device),
        }
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
            let shown = |option: &String| match option.starts_with("password=") {
                true => "password=********".to_owned(),
                false => option.clone(),
            };
            let data: Vec<String> = self.data.iter().map(shown).collect();
            text.push_str(&format!(", data: {}", data.join(",")));
        }
        text
    }
}

/// The address of a server, that of IPv4 if it has both kinds.
fn address_of(name: &str) -> Result<IpAddr, String> {
    let found: Vec<_> = (name, 0).to_socket_addrs().into_iter().flatten().map(|found| found.ip()).collect();
    let found = found.iter().find(|address| address.is_ipv4()).or(found.first());
    found.copied().ok_or_else(|| name.to_owned())
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
        let check = |kind: &str, options: &str, device: &str| {
            let mut parsed = Parsed::of(options);
            let device = parsed.resolve(kind, device)?;
            Ok(format!("{device} {}", parsed.data.join(",")))
        };
        let ok = |text: &str| Ok::<_, String>(text.to_owned());
        assert_eq!(check("nfs", "addr=localhost,hard", ":/srv"), ok(":/srv addr=127.0.0.1,hard"));
        assert_eq!(check("nfs4", "addr=10.0.0.1,rw", ":/srv"), ok(":/srv addr=10.0.0.1"));
        assert_eq!(check("cifs", "username=u", "//localhost/a/b"), ok("//127.0.0.1/a/b username=u"));
        assert_eq!(check("ext4", "addr=localhost", "//localhost/a"), ok("//localhost/a addr=localhost"));
        assert_eq!(check("nfs", "addr=nosuch.invalid", ":/srv"), Err("nosuch.invalid".to_owned()));
    }

    #[test]
    fn passwords_are_not_told() {
        let described = Parsed::of("username=u,password=p").describe("//h/s", Path::new("/place"));
        assert_eq!(described, "//h/s:/place, data: username=u,password=********");
    }
}
