//! `machine`: a system with a kernel, as virtual machines boot it in tests.

use super::super::{
    debian::System,
    recipe::{Config, Layer, Recipe},
};

pub const TRIXIE: Recipe = Recipe {
    name: "machine:trixie",
    layers: &[Layer::Debian(System {
        suite: "trixie",
        packages: &[
            "linux-image-cloud-amd64",
            "kmod",
            "systemd-sysv",
            "busybox-static",
            "e2fsprogs",
            "procps",
            "uidmap",
            "passt",
        ],
        options: &[UNPACK_MODULES, "--customize-hook=rm -f \"$1\"/boot/initrd.img-*"],
    })],
    config: Config::EMPTY,
    trusts_host: false,
};

/// An emulated processor would take seconds at each boot to unpack what the first container needs.
const UNPACK_MODULES: &str = r#"--customize-hook=
find "$1"/usr/lib/modules -name '*.ko.xz' -exec xz --decompress {} +
for modules in "$1"/usr/lib/modules/*; do chroot "$1" depmod "${modules##*/}"; done"#;
