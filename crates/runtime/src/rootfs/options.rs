//! Mount options as the runtime specification lists them, sorted by who they are for.

use std::path::Path;

use sys::mounts::{Attributes, Depth, Propagation};

use crate::bundle::BELOW;

/// The options of one mount.
#[derive(Debug, Default, PartialEq)]
pub struct Options<'a> {
    /// Flags of the mount itself.
    pub set: Attributes,
    /// Whether they are for the mounts below it too.
    pub set_below: bool,
    pub propagation: Option<Propagation>,
    /// Whether this is a bind mount, and of how much.
    pub bind: Option<Depth>,
    /// Options the filesystem takes: `key` or `key=value`.
    pub data: Vec<(String, Option<String>)>,
    /// Options that only the engine knows.
    pub ours: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Sorts `options`; what is no known flag is the filesystem's.
    pub fn parse(options: &'a [String]) -> Options<'a> {
        let mut parsed = Options::default();
        for option in options {
            match option.as_str() {
                "ro" => parsed.set |= Attributes::READ_ONLY,
                "rro" => {
                    parsed.set |= Attributes::READ_ONLY;
                    parsed.set_below = true;
                }
                "nosuid" => parsed.set |= Attributes::NO_SUID,
                "nodev" => parsed.set |= Attributes::NO_DEVICES,
                "noexec" => parsed.set |= Attributes::NO_EXEC,
                "bind" => parsed.bind = Some(Depth::This),
                "rbind" => parsed.bind = Some(Depth::WithThoseBelow),
                "private" | "rprivate" => parsed.propagation = Some(Propagation::Private),
                "slave" | "rslave" => parsed.propagation = Some(Propagation::Slave),
                "shared" | "rshared" => parsed.propagation = Some(Propagation::Shared),
                // What a mount has unless told otherwise. A bind mount keeps what its source has.
                "defaults" | "rw" | "suid" | "dev" | "exec" | "relatime" | "strictatime" => {}
                ours if ours.starts_with("x-sampan.") => parsed.ours.push(ours),
                other => parsed.data.push(match other.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (other.to_owned(), None),
                }),
            }
        }
        parsed
    }

    /// The path of what is mounted, below the source; empty for all of it.
    pub fn below(&self) -> &'a Path {
        Path::new(self.ours.iter().find_map(|option| option.strip_prefix(BELOW)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_to_the_mount_and_the_rest_to_the_filesystem() {
        let options = ["nosuid", "noexec", "mode=755", "size=65536k", "newinstance"].map(str::to_owned);
        let parsed = Options::parse(&options);
        assert_eq!(parsed.set, Attributes::NO_SUID | Attributes::NO_EXEC);
        assert_eq!(
            parsed.data,
            [
                ("mode".into(), Some("755".into())),
                ("size".into(), Some("65536k".into())),
                ("newinstance".into(), None)
            ]
        );
        assert_eq!(parsed.bind, None);
    }

    #[test]
    fn what_is_below_a_read_only_mount_is_meant_if_it_says_so() {
        for (option, below) in [("ro", false), ("rro", true)] {
            let options = [option.to_owned()];
            let parsed = Options::parse(&options);
            assert_eq!((parsed.set, parsed.set_below), (Attributes::READ_ONLY, below), "{option}");
        }
    }

    #[test]
    fn a_bind_mount_tells_its_depth_and_propagation() {
        let options = ["rbind", "rslave", "ro", "x-sampan.copy-up"].map(str::to_owned);
        let parsed = Options::parse(&options);
        assert_eq!(parsed.bind, Some(Depth::WithThoseBelow));
        assert_eq!(parsed.propagation, Some(Propagation::Slave));
        assert_eq!((parsed.set, parsed.below()), (Attributes::READ_ONLY, Path::new("")));
        assert_eq!(parsed.ours, ["x-sampan.copy-up"]);
    }

    #[test]
    fn what_of_the_source_is_mounted_is_a_path_below_it() {
        let options = ["bind", "x-sampan.below=a,b/c=d"].map(str::to_owned);
        assert_eq!(Options::parse(&options).below(), Path::new("a,b/c=d"));
    }
}
