//! `redis`: Debian's redis-server behind an entry point like upstream's.

use super::{
    super::{
        debian::System,
        recipe::{Config, Layer, Recipe},
    },
    PATH,
};

pub const LATEST: Recipe = Recipe {
    name: "redis:latest",
    layers: &[
        Layer::Debian(System {
            suite: "trixie",
            packages: &["redis-server"],
            options: &["--customize-hook=rm -rf \"$1/etc/redis\" \"$1/var/lib/redis\""],
        }),
        Layer::Files(&[
            ("data/", 0o755, ""),
            ("usr/local/bin/docker-entrypoint.sh", 0o755, include_str!("redis-entrypoint.sh")),
        ]),
    ],
    config: Config {
        env: &[PATH, "REDIS_VERSION=8.0"],
        entrypoint: &["docker-entrypoint.sh"],
        cmd: &["redis-server"],
        ports: &["6379/tcp"],
        volumes: &["/data"],
        working_dir: "/data",
    },
    trusts_host: false,
};
