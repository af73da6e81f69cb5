//! What a container has mounted besides its root, as `-v`, `--mount` and `--tmpfs` say it.

use std::path::PathBuf;

use engine::{
    EngineError,
    container::{Below, Mount, MountSource, Ownership, VolumesFrom},
};
use types::Bytes;

use crate::commands::volume::create::map;

/// `[source:]destination[:options]`, as `-v` takes it.
pub fn volume(text: &str) -> anyhow::Result<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts.as_slice() {
        [destination] => ("", *destination, ""),
        [source, destination] => (*source, *destination, ""),
        [source, destination, options] => (*source, *destination, *options),
        _ => return Err(refused(format!("invalid volume specification: '{text}'"))),
    };
    if destination.is_empty() || (parts.len() > 1 && source.is_empty()) {
        anyhow::bail!("invalid spec: {text}: empty section between colons");
    }
    let source = if source.starts_with('/') {
        MountSource::Bind(source.into())
    } else if source.starts_with('.') {
        MountSource::Bind(std::path::absolute(source)?)
    } else {
        MountSource::Volume(source.to_owned())
    };
    let is_volume = matches!(source, MountSource::Volume(_));
    let unusable = |why: &str| {
        let kind = if is_volume { "volume" } else { "bind" };
        refused(format!(
            "invalid volume specification: '{text}': invalid mount config for type {kind:?}: {why}"
        ))
    };
    if !destination.starts_with('/') {
        let why = format!("invalid mount path: '{destination}' mount path must be absolute");
        return Err(unusable(&why));
    }
    if destination.trim_end_matches('/').is_empty() {
        return Err(unusable(ROOT_IS_TAKEN));
    }
    let mut mount = Mount { copy_up: is_volume, ..Mount::new(source, destination) };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => mount.read_only = true,
            "nocopy" if is_volume => mount.copy_up = false,
            "copy" if is_volume => {}
            // SELinux labels on a host without SELinux, and consistency on a host that always is.
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" | "default" => {}
            "U" | "idmap" => mount.ownership = Ownership::Mapped,
            option if !is_volume && PROPAGATIONS.contains(&option) => mount.propagation = option.to_owned(),
            _ => return Err(refused(format!("invalid mode: {options}"))),
        }
    }
    Ok(mount)
}

/// `destination[:options]`, as `--tmpfs` takes it.
pub fn tmpfs(text: &str) -> anyhow::Result<Mount> {
    let (destination, options) = text.split_once(':').unwrap_or((text, ""));
    let mut memory = Vec::new();
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let key = option.split('=').next().unwrap_or_default();
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            _ if TMPFS_OPTIONS.contains(&key) => memory.push(option.to_owned()),
            _ => return Err(refused(format!("invalid tmpfs option {option:?}"))),
        }
    }
    Ok(Mount { read_only, ..Mount::new(MountSource::Tmpfs(memory), destination) })
}

/// What docker's command passes on, and its engine refuses.
fn refused(why: String) -> anyhow::Error {
    EngineError::Invalid(why).into()
}

/// `container[:ro]`, as `--volumes-from` takes it.
pub fn volumes_from(text: &str) -> anyhow::Result<VolumesFrom> {
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    if container.is_empty() {
        anyhow::bail!("invalid volumes-from specification: '{text}'");
    }
    let read_only = match mode {
        "" | "rw" | "z" | "Z" => false,
        "ro" => true,
        _ => return Err(refused(format!("invalid mode: {mode}"))),
    };
    Ok(VolumesFrom { container: container.to_owned(), read_only })
}

/// The fields of `--mount`.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    propagation: Option<String>,
    below: Option<Below>,
    force_read_only: bool,
    create_source: bool,
    no_copy: bool,
    subpath: Option<String>,
    labels: Vec<String>,
    driver: String,
    driver_options: Vec<String>,
    image_subpath: Option<String>,
    size: Option<Bytes>,
    mode: Option<u32>,
    ownership: Ownership,
    /// The families of options that were given: `bind`, `volume`, `image`, `tmpfs`.
    families: Vec<&'static str>,
}

/// `type=…,source=…,target=…` and so on, as `--mount` takes it.
pub fn fields(text: &str) -> Result<Fields, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("value is empty".to_owned());
    }
    let mut fields = Fields { kind: "volume".to_owned(), ..Fields::default() };
    for field in split(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        if key != key.trim() {
            return Err(format!("invalid option '{key}' in '{field}': option should not have whitespace"));
        }
        fields.set(&key.to_lowercase(), value, &field)?;
    }
    fields.check()?;
    Ok(fields)
}

impl Fields {
    fn set(&mut self, key: &str, value: Option<&str>, field: &str) -> Result<(), String> {
        let family = key.split_once('-').map_or("", |(family, _)| family);
        if let Some(family) = ["bind", "volume", "image", "tmpfs"].into_iter().find(|known| *known == family)
        {
            self.families.push(family);
        }
        let invalid = |value: &str| format!("invalid value for {key}: {value}");
        let switch = || match value.unwrap_or("true") {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            other => Err(invalid(other)),
        };
        // Those that may stand alone.
        match key {
            "readonly" | "ro" => return switch().map(|on| self.read_only = on),
            "volume-nocopy" => return switch().map(|on| self.no_copy = on),
            "bind-create-src" => return switch().map(|on| self.create_source = on),
            "bind-nonrecursive" => {
                return switch().map(|on| self.below = on.then_some(Below::Left));
            }
            "idmap" | "u" => {
                self.ownership = Ownership::Mapped;
                return Ok(());
            }
            _ => {}
        }
        let Some(value) = value else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        match key {
            "type" => self.kind = value.to_lowercase(),
            "source" | "src" => self.source = value.to_owned(),
            "target" | "dst" | "destination" => self.target = value.to_owned(),
            "consistency" => {}
            "bind-propagation" => self.propagation = Some(value.to_lowercase()),
            "bind-recursive" => match value {
                "enabled" => {}
                "disabled" => self.below = Some(Below::Left),
                "writable" => self.below = Some(Below::Writable),
                "readonly" => self.force_read_only = true,
                _ => {
                    let allowed = r#"must be "enabled", "disabled", "writable", or "readonly""#;
                    return Err(format!("{} ({allowed})", invalid(value)));
                }
            },
            "volume-subpath" => self.subpath = Some(value.to_owned()),
            "volume-label" => self.labels.push(value.to_owned()),
            "volume-driver" => self.driver = value.to_owned(),
            "volume-opt" => self.driver_options.push(value.to_owned()),
            "image-subpath" => self.image_subpath = Some(value.to_owned()),
            "tmpfs-size" => self.size = Some(value.parse().map_err(|_| invalid(value))?),
            "tmpfs-mode" => self.mode = Some(u32::from_str_radix(value, 8).map_err(|_| invalid(value))?),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }

    /// What docker's command refuses before it asks the engine.
    fn check(&self) -> Result<(), String> {
        if self.kind.is_empty() {
            return Err("type is required".to_owned());
        }
        for family in ["volume", "image", "bind", "tmpfs"] {
            if self.families.contains(&family) && self.kind != family {
                return Err(format!("cannot mix '{family}-*' options with mount type '{}'", self.kind));
            }
        }
        let without_read_only = |value: &str| {
            format!("option 'bind-recursive={value}' requires 'readonly' to be specified in conjunction")
        };
        match (self.below, self.force_read_only, self.read_only) {
            (Some(Below::Writable), _, false) => Err(without_read_only("writable")),
            (_, true, false) => Err(without_read_only("readonly")),
            (_, true, _) if self.propagation.as_deref() != Some("rprivate") => Err(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// The mount, unless docker's engine would refuse it.
    pub fn into_mount(self) -> anyhow::Result<Mount> {
        let kind = self.kind.clone();
        let refused = |why: &str| Err(refused(format!("invalid mount config for type {kind:?}: {why}")));
        if self.target.is_empty() {
            return refused("field Target must not be empty");
        }
        if !self.target.starts_with('/') {
            return refused(&format!("invalid mount path: '{}' mount path must be absolute", self.target));
        }
        if self.target.trim_end_matches('/').is_empty() {
            return refused(ROOT_IS_TAKEN);
        }
        let source = match kind.as_str() {
            "bind" | "image" if self.source.is_empty() => return refused("field Source must not be empty"),
            "tmpfs" if !self.source.is_empty() => return refused("field Source must not be specified"),
            "volume"
                if self.source.is_empty() && self.subpath.as_ref().is_some_and(|path| !path.is_empty()) =>
            {
                return refused("must not set Subpath when using anonymous volumes");
            }
            "bind" => {
                let here = self.source == "." || self.source.starts_with("./");
                let path = match here {
                    true => std::path::absolute(&self.source)?,
                    false => PathBuf::from(&self.source),
                };
                if !path.is_absolute() {
                    return refused(&format!(
                        "invalid mount path: '{}' mount path must be absolute",
                        self.source
                    ));
                }
                MountSource::Bind(path)
            }
            "volume" => MountSource::Volume(self.source),
            "image" => MountSource::Image { name: self.source, manifest: None },
            "tmpfs" => {
                let mut options = vec![format!("mode={:o}", self.mode.unwrap_or(0o1777))];
                options.extend(self.size.filter(|size| size.0 > 0).map(|size| format!("size={}", size.0)));
                MountSource::Tmpfs(options)
            }
            _ => return refused("mount type unknown"),
        };
        let propagation = self.propagation.unwrap_or_default();
        if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation.as_str()) {
            return refused(&format!("invalid propagation mode: {propagation}"));
        }
        Ok(Mount {
            read_only: self.read_only || kind == "image",
            propagation,
            copy_up: kind == "volume" && !self.no_copy,
            subpath: self.subpath.or(self.image_subpath).unwrap_or_default(),
            below: self.below.unwrap_or_default(),
            must_exist: kind == "bind" && !self.create_source,
            ownership: self.ownership,
            driver: self.driver,
            labels: map(&self.labels),
            options: map(&self.driver_options),
            by_fields: true,
            ..Mount::new(source, &self.target)
        })
    }
}

/// The fields of a line of comma-separated values, of which one may stand in quotes.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().expect("never empty");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => return Err("parse error on line 1, column 1: bare \" in non-quoted-field".to_owned()),
            ',' if !quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    match quoted {
        true => Err("parse error on line 1, column 1: extraneous or missing \" in quoted-field".to_owned()),
        false => Ok(fields),
    }
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
const ROOT_IS_TAKEN: &str = "invalid specification: destination can't be '/'";
/// What tmpfs(5) and mount(8) know.
const TMPFS_OPTIONS: [&str; 26] = [
    "async",
    "atime",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "gid",
    "mode",
    "mpol",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nr_blocks",
    "nr_inodes",
    "relatime",
    "size",
    "strictatime",
    "suid",
    "sync",
    "uid",
    "huge",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check_volume(text: &str, expected: &str) {
        let actual = match volume(text) {
            Ok(m) => format!("{:?} {} ro={} copy={}", m.source, m.destination, m.read_only, m.copy_up),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn volumes_are_told_from_directories_by_their_first_letter() {
        check_volume("/data", "Volume(\"\") /data ro=false copy=true");
        check_volume("db:/data:ro", "Volume(\"db\") /data ro=true copy=true");
        check_volume("db:/data:nocopy", "Volume(\"db\") /data ro=false copy=false");
        check_volume("/srv:/data:ro,z", "Bind(\"/srv\") /data ro=true copy=false");
        check_volume(":/data", "invalid spec: :/data: empty section between colons");
        check_volume("a:b:c:d", "invalid volume specification: 'a:b:c:d'");
        check_volume("/a:/b:what", "invalid mode: what");
        check_volume(
            "/srv:/",
            "invalid volume specification: '/srv:/': invalid mount config for type \"bind\": invalid \
             specification: destination can't be '/'",
        );
    }

    fn check_mount(text: &str, expected: &str) {
        let mount = fields(text).map(|fields| fields.into_mount().map_err(|error| error.to_string()));
        let actual = match mount.and_then(|mount| mount) {
            Ok(m) => format!("{:?} {} ro={} {:?}", m.source, m.destination, m.read_only, m.below),
            Err(error) => error,
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn a_mount_is_told_by_its_fields() {
        check_mount("type=bind,src=/srv,dst=/data,ro", "Bind(\"/srv\") /data ro=true AsMount");
        check_mount("source=db,target=/data", "Volume(\"db\") /data ro=false AsMount");
        check_mount(
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700",
            "Tmpfs([\"mode=700\", \"size=1048576\"]) /t ro=false AsMount",
        );
        check_mount("type=bind,src=/srv,dst=/d,bind-recursive=disabled", "Bind(\"/srv\") /d ro=false Left");
        check_mount(
            "type=bind,src=/srv,dst=/d,ro,bind-recursive=writable",
            "Bind(\"/srv\") /d ro=true Writable",
        );
        check_mount(
            "type=image,src=busybox,dst=/d",
            "Image { name: \"busybox\", manifest: None } /d ro=true AsMount",
        );
        check_mount("\"type=volume\",\"src=a\",dst=/x", "Volume(\"a\") /x ro=false AsMount");
    }

    #[test]
    fn what_makes_no_mount_is_refused_in_dockers_words() {
        let invalid = |kind: &str, why: &str| format!("invalid mount config for type \"{kind}\": {why}");
        for (text, expected) in [
            ("", "value is empty".to_owned()),
            ("type=bind,src", "invalid field 'src' must be a key=value pair".to_owned()),
            ("colour=red", "unexpected key 'colour' in 'colour=red'".to_owned()),
            ("type=,dst=/x", "type is required".to_owned()),
            ("readonly=maybe,dst=/x", "invalid value for readonly: maybe".to_owned()),
            ("type=tmpfs,dst=/x,tmpfs-size=lots", "invalid value for tmpfs-size: lots".to_owned()),
            ("type=tmpfs,dst=/x,tmpfs-mode=999", "invalid value for tmpfs-mode: 999".to_owned()),
            ("type=bind,src=/a,dst=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'".to_owned()),
            ("type=volume,dst=/x,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'".to_owned()),
            ("dst=/x,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'volume'".to_owned()),
            ("type=bind,src=/a,dst=/x,bind-recursive=no", "invalid value for bind-recursive: no (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")".to_owned()),
            ("type=bind,src=/a,dst=/x,bind-recursive=writable", "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction".to_owned()),
            ("type=bind,src=/a,dst=/x,bind-recursive=readonly,ro", "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction".to_owned()),
            ("type=bind,dst=/x", invalid("bind", "field Source must not be empty")),
            ("type=bind,src=/a", invalid("bind", "field Target must not be empty")),
            ("type=bind,src=a,dst=/x", invalid("bind", "invalid mount path: 'a' mount path must be absolute")),
            ("type=bind,src=/a,dst=x", invalid("bind", "invalid mount path: 'x' mount path must be absolute")),
            ("type=bind,src=/a,dst=/", invalid("bind", "invalid specification: destination can't be '/'")),
            ("type=tmpfs,src=/a,dst=/x", invalid("tmpfs", "field Source must not be specified")),
            ("type=disk,dst=/x", invalid("disk", "mount type unknown")),
            ("type=bind,src=/a,dst=/x,bind-propagation=odd", invalid("bind", "invalid propagation mode: odd")),
            ("dst=/x,volume-subpath=a", invalid("volume", "must not set Subpath when using anonymous volumes")),
        ] {
            check_mount(text, &expected);
        }
    }

    #[test]
    fn a_containers_volumes_can_be_had_read_only() {
        assert_eq!(
            volumes_from("one:ro").map(|from| (from.container, from.read_only)).unwrap(),
            ("one".into(), true)
        );
        assert!(!volumes_from("one").unwrap().read_only);
        assert_eq!(volumes_from("one:odd").map(drop).unwrap_err().to_string(), "invalid mode: odd");
    }

    #[test]
    fn memory_takes_the_options_that_it_knows() {
        assert_eq!(
            tmpfs("/t:size=1m,ro,noexec").unwrap().source,
            MountSource::Tmpfs(vec!["size=1m".into(), "noexec".into()])
        );
        assert_eq!(tmpfs("/t:odd=1").unwrap_err().to_string(), "invalid tmpfs option \"odd=1\"");
    }
}
