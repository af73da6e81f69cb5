//! `debian`: a minimal system that can install more with apt-get.

use super::{
    super::{
        debian::System,
        recipe::{Config, Layer, Recipe},
    },
    PATH,
};

pub const BOOKWORM_SLIM: Recipe = Recipe {
    name: "debian:bookworm-slim",
    layers: &[Layer::Debian(System { suite: "bookworm", packages: &[], options: &[] })],
    config: Config { env: &[PATH], cmd: &["bash"], ..Config::EMPTY },
    trusts_host: true,
};
