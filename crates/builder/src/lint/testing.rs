//! Asking all rules about a Dockerfile, for the tests of single ones.

use image::Configuration;

use super::*;
use crate::{config, parse, recipe::StageRecipe};

/// Checks what is found in a Dockerfile, each finding in one line.
pub fn check(dockerfile: &str, expected: &[&str]) {
    check_all(&[], "", dockerfile, expected);
}

/// The same with `--build-arg`s.
pub fn check_with(arguments: &[(&str, &str)], dockerfile: &str, expected: &[&str]) {
    check_all(arguments, "", dockerfile, expected);
}

/// The same with a .dockerignore.
pub fn check_ignoring(ignore: &str, dockerfile: &str, expected: &[&str]) {
    check_all(&[], ignore, dockerfile, expected);
}

fn check_all(arguments: &[(&str, &str)], ignore: &str, text: &str, expected: &[&str]) {
    let dockerfile = parse::parse(text).unwrap_or_else(|problem| panic!("{text}: {}", problem.message));
    let recipe = Recipe::read(&dockerfile).unwrap_or_else(|problem| panic!("{text}: {}", problem.message));
    let options = dockerfile.directives.check.as_ref().map_or("", |(options, _)| options);
    let options = Options::parse(options).expect("valid options");
    let arguments = arguments.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let circumstances = Circumstances {
        arguments: &arguments,
        target: None,
        platform: "linux/amd64".parse().expect("a platform"),
        ignore: &Ignore::parse(ignore).expect("valid patterns"),
        stop: None,
    };
    let mut findings = of_statements(text, &dockerfile, dockerfile.statements.len(), &options);
    findings.extend(of_recipe(text, &dockerfile, &recipe, &circumstances, &known_bases, &options));
    let summaries: Vec<String> = findings.iter().map(Finding::summary).collect();
    assert_eq!(summaries, expected, "{text}");
}

fn known_bases(stage: &StageRecipe) -> Option<Configuration> {
    let mut known = config::scratch(&"linux/amd64".parse().expect("a platform"));
    match stage.from.image.text.split(':').next().unwrap_or_default() {
        "base" => known.config.env = vec!["BASE_VARIABLE=1".into()],
        "shelled" => known.config.shell = Some(vec!["/bin/bash".into(), "-c".into()]),
        "other-platform" => (known.os, known.architecture) = ("plan9".into(), "mips".into()),
        _ => return None,
    }
    Some(known)
}
