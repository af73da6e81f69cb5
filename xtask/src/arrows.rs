//! Checks the arrows between the workspace's crates: who may use whom.
//!
//! Arrows point down only. A new one is a decision: it is made here, in this table, or not at all.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Each crate, and whom it may use besides `types`, which everyone may.
const ALLOWED: &[(&str, &[&str])] = &[
    // Of the lower ones: `monitor` for its role, `sys` for signals and the terminal of a foreground container,
    // `image` for the configuration it inspects and imports, `distribution` to log in and to copy between registries,
    // `oci` to be a runtime for other engines.
    (
        "sampan",
        &[
            "api",
            "stack",
            "builder",
            "engine",
            "registry",
            "distribution",
            "monitor",
            "runtime",
            "image",
            "oci",
            "sys",
        ],
    ),
    ("api", &["builder", "engine", "stack"]),
    ("stack", &["builder", "engine"]),
    // `distribution` to fetch what has a URL by the way that registries are reached.
    ("builder", &["engine", "distribution", "image"]),
    // `sys` to signal processes by pidfd, with any number docker knows.
    ("engine", &["monitor", "runtime", "network", "distribution", "image", "sys"]),
    ("monitor", &["runtime", "network", "sys"]),
    // `distribution` to fetch what a pull-through cache does not have.
    ("registry", &["distribution", "image"]),
    // The formats that both ends of the protocol speak of: manifests, indexes, descriptors.
    ("distribution", &["image"]),
    ("image", &["sys"]),
    ("network", &["sys"]),
    ("oci", &["runtime", "sys"]),
    ("runtime", &["sys"]),
    ("sys", &[]),
    ("types", &[]),
    // A sandbox is a network namespace with interfaces of its own, and processes in it.
    ("testkit", &["network", "sys"]),
    ("xtask", &[]),
];

/// What everyone may use.
const SHARED: &str = "types";

/// What everyone may use in tests, and nobody in the program.
const TESTS_ONLY: &str = "testkit";

pub fn run(_: &[String]) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the workspace")?;
    let faults: Vec<String> = arrows(&metadata).iter().filter_map(|arrow| arrow.fault(ALLOWED)).collect();
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}\nthe table of allowed arrows is at the top of {}", faults.join("\n"), file!());
}

/// `from` names `to` in its manifest.
#[derive(Clone, Copy)]
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    in_tests: bool,
}

fn arrows(metadata: &Metadata) -> Vec<Arrow<'_>> {
    let members: BTreeSet<&str> = metadata.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    let mut arrows = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|d| members.contains(d.name.as_str())) {
            arrows.push(Arrow {
                from: package.name.as_str(),
                to: &dependency.name,
                in_tests: dependency.kind == DependencyKind::Development,
            });
        }
    }
    arrows
}

impl Arrow<'_> {
    /// What is wrong with this arrow, if anything.
    fn fault(self, allowed: &[(&str, &[&str])]) -> Option<String> {
        let Arrow { from, to, in_tests } = self;
        if to == TESTS_ONLY {
            return (!in_tests).then(|| format!("{from} -> {to}: {to} is for dev-dependencies only"));
        }
        let Some((_, may)) = allowed.iter().find(|(name, _)| *name == from) else {
            return Some(format!("{from} -> {to}: {from} has no row in the table"));
        };
        if to == SHARED && from != SHARED || may.contains(&to) {
            return None;
        }
        let may = [&[SHARED], *may].concat().join(", ");
        Some(format!("{from} -> {to}: {from} may use only {may}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, &[&str])] = &[("top", &["bottom"]), ("bottom", &[])];

    fn check(from: &str, to: &str, in_tests: bool, expected: Option<&str>) {
        assert_eq!(Arrow { from, to, in_tests }.fault(TABLE).as_deref(), expected);
    }

    #[test]
    fn an_arrow_in_the_table_and_any_arrow_to_types_may_be() {
        check("top", "bottom", false, None);
        check("top", "bottom", true, None);
        check("bottom", "types", false, None);
    }

    #[test]
    fn any_other_arrow_is_named_with_its_rule() {
        check("bottom", "top", false, Some("bottom -> top: bottom may use only types"));
        check("bottom", "top", true, Some("bottom -> top: bottom may use only types"));
        check("new", "bottom", false, Some("new -> bottom: new has no row in the table"));
    }

    #[test]
    fn the_testkit_is_for_tests() {
        check("top", "testkit", true, None);
        check("top", "testkit", false, Some("top -> testkit: testkit is for dev-dependencies only"));
    }

    #[test]
    fn the_table_itself_has_no_cycle() {
        fn reaches(from: &str, goal: &str) -> bool {
            let next = ALLOWED.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, may)| *may);
            next.iter().any(|crate_| *crate_ == goal || reaches(crate_, goal))
        }
        for (name, _) in ALLOWED {
            assert!(!reaches(name, name), "{name} reaches itself");
        }
    }
}
