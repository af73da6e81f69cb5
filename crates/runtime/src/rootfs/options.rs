//! Mount options as the runtime specification lists them, sorted by who they are for.

use std::path::Path;

use sys::mounts::{Attributes, Depth, Propagation};

use crate::bundle::BELOW;

/// The options of one mount.
#[derive(Debug, Default, PartialEq)]
pub struct Options<'a> {
    /// Flags of the mount itself.
    pub set: Attributes,
    /// Flags of the mount and of those below it, and which of them are cleared first.
    pub set_below: Attributes,
    pub clear_below: Attributes,
    pub propagation: Option<Propagation>,
    /// Whether this is a bind mount, and of how much.
    pub bind: Option<Depth>,
    /// Whether files appear to be of other owners, and at which mounts.
    pub map: Option<Depth>,
    /// Whether a file system in memory starts with what lies at the destination.
    pub copy_up: bool,
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
                "bind" => parsed.bind = Some(Depth::This),
                "rbind" => parsed.bind = Some(Depth::WithThoseBelow),
                "private" | "rprivate" => parsed.propagation = Some(Propagation::Private),
                "slave" | "rslave" => parsed.propagation = Some(Propagation::Slave),
                "shared" | "rshared" => parsed.propagation = Some(Propagation::Shared),
                "unbindable" | "runbindable" => parsed.propagation = Some(Propagation::Unbindable),
                "idmap" => parsed.map = Some(Depth::This),
                "ridmap" => parsed.map = Some(Depth::WithThoseBelow),
                "tmpcopyup" => parsed.copy_up = true,
                // What a mount has unless told otherwise, or what has had no effect for long.
                "defaults" | "silent" | "loud" | "iversion" | "noiversion" | "acl" | "noacl" => {}
                ours if ours.starts_with("x-sampan.") => parsed.ours.push(ours),
                other if parsed.take_flag(other) => {}
                other => parsed.data.push(match other.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (other.to_owned(), None),
                }),
            }
        }
        parsed
    }

    /// Takes what is a flag; whether it is one.
    fn take_flag(&mut self, option: &str) -> bool {
        if let Some((_, clear, set)) = FLAGS.iter().find(|(name, ..)| *name == option) {
            // A bind mount keeps what its source has, so nothing is cleared; a new mount has nothing to clear.
            self.set = self.set.without(*clear) | *set;
            return true;
        }
        let for_those_below = option.strip_prefix('r');
        let Some((_, clear, set)) = FLAGS.iter().find(|(name, ..)| Some(*name) == for_those_below) else {
            return false;
        };
        self.set_below = self.set_below.without(*clear) | *set;
        self.clear_below |= *clear;
        true
    }

    /// All flags of a new mount, which has none below it.
    pub fn of_new_mount(&self) -> Attributes {
        self.set | self.set_below
    }

    /// The path of what is mounted, below the source; empty for all of it.
    pub fn below(&self) -> &'a Path {
        Path::new(self.ours.iter().find_map(|option| option.strip_prefix(BELOW)).unwrap_or_default())
    }
}

/// Flags of mounts: the option, what it clears, and what it sets then. With an `r` before it, the option is for the mounts
/// below as well.
const FLAGS: [(&str, Attributes, Attributes); 18] = {
    use Attributes as A;
    [
        ("ro", A::READ_ONLY, A::READ_ONLY),
        ("rw", A::READ_ONLY, A::NONE),
        ("nosuid", A::NO_SUID, A::NO_SUID),
        ("suid", A::NO_SUID, A::NONE),
        ("nodev", A::NO_DEVICES, A::NO_DEVICES),
        ("dev", A::NO_DEVICES, A::NONE),
        ("noexec", A::NO_EXEC, A::NO_EXEC),
        ("exec", A::NO_EXEC, A::NONE),
        ("nosymfollow", A::NO_SYMLINKS, A::NO_SYMLINKS),
        ("symfollow", A::NO_SYMLINKS, A::NONE),
        ("nodiratime", A::NO_DIRECTORY_ACCESS_TIMES, A::NO_DIRECTORY_ACCESS_TIMES),
        ("diratime", A::NO_DIRECTORY_ACCESS_TIMES, A::NONE),
        ("noatime", A::ACCESS_TIMES, A::NO_ACCESS_TIMES),
        ("atime", A::ACCESS_TIMES, A::NONE),
        ("strictatime", A::ACCESS_TIMES, A::STRICT_ACCESS_TIMES),
        ("nostrictatime", A::ACCESS_TIMES, A::NONE),
        ("relatime", A::ACCESS_TIMES, A::NONE),
        ("norelatime", A::ACCESS_TIMES, A::STRICT_ACCESS_TIMES),
    ]
};

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
        let (ro, none) = (Attributes::READ_ONLY, Attributes::NONE);
        for (option, own, below, cleared) in
            [("ro", ro, none, none), ("rro", none, ro, ro), ("rrw", none, none, ro), ("rw", none, none, none)]
        {
            let options = [option.to_owned()];
            let parsed = Options::parse(&options);
            assert_eq!((parsed.set, parsed.set_below, parsed.clear_below), (own, below, cleared), "{option}");
            assert_eq!(parsed.of_new_mount(), own | below, "{option}");
        }
    }

    #[test]
    fn the_last_of_the_ways_to_keep_access_times_holds() {
        let options = ["noatime", "nodiratime", "strictatime"].map(str::to_owned);
        let parsed = Options::parse(&options);
        assert_eq!(parsed.set, Attributes::NO_DIRECTORY_ACCESS_TIMES | Attributes::STRICT_ACCESS_TIMES);
        assert_eq!(Options::parse(&["relatime".to_owned()]), Options::default());
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
