//! `python`: Debian's interpreters, with pip beside them as upstream's images have it.

use super::super::{
    debian::System,
    recipe::{Config, Layer, Recipe},
};

pub const PYTHON2_SLIM: Recipe = Recipe {
    name: "python:2.7-slim",
    layers: &[
        Layer::Debian(System {
            suite: "bullseye",
            packages: &["python2.7", "media-types", "ca-certificates", "netbase"],
            options: &[concat!("--essential-hook=", include_str!("no-mime-support.sh"))],
        }),
        // The last versions that run on 2.7.
        Layer::Pip { python: "2.7", wheels: &["pip==20.3.4", "setuptools==44.1.1", "wheel==0.37.1"] },
    ],
    config: Config {
        env: &[
            PATH,
            "LANG=C.UTF-8",
            "PYTHONIOENCODING=UTF-8",
            "PYTHON_VERSION=2.7.18",
            "PYTHON_PIP_VERSION=20.3.4",
        ],
        cmd: &["python2"],
        ..Config::EMPTY
    },
    trusts_host: true,
};

pub const PYTHON3_SLIM: Recipe = Recipe {
    name: "python:3-slim",
    layers: &[
        Layer::Debian(System {
            suite: "trixie",
            packages: &["python3", "ca-certificates", "netbase"],
            options: &[
                // With this marker (PEP 668) `pip install` refuses to work.
                "--customize-hook=rm -f \"$1\"/usr/lib/python3*/EXTERNALLY-MANAGED",
                // Compiled with the times of this run in them.
                "--customize-hook=find \"$1/usr\" -name __pycache__ -prune -exec rm -rf {} +",
            ],
        }),
        Layer::Pip { python: "3.13", wheels: &["pip==26.3"] },
    ],
    config: Config {
        env: &[PATH, "LANG=C.UTF-8", "PYTHON_VERSION=3.13"],
        cmd: &["python3"],
        ..Config::EMPTY
    },
    trusts_host: true,
};

/// pip and what it installs come first.
const PATH: &str = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";
